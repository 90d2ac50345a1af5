// SPDX-License-Identifier: Apache-2.0
import { BdevError, BdevEventType, ClaimType, DifPiFormat, DifType } from '@bdevkit/module-sdk'
import type { Bdev, BdevDesc, BdevEvent, BdevGeometry, BdevHost, DescChannel } from '@bdevkit/module-sdk'
import { DATA_OFFSET_BYTES_MIN } from './superblock.js'

/** What all members have alike beside their block size. */
export type MemberFormat = Required<Pick<BdevGeometry, 'mdSizeBytes' | 'mdInterleave' | 'difType' | 'difIsHeadOfMd' | 'difPiFormat' | 'difCheckFlags'>>

/** No metadata. */
export const NO_METADATA: MemberFormat = {
  mdSizeBytes: 0, mdInterleave: false, difType: DifType.Disable, difIsHeadOfMd: false, difPiFormat: DifPiFormat.Guard16, difCheckFlags: 0,
}

/** The format of a bdev. */
export function formatOf({ mdSizeBytes, mdInterleave, difType, difIsHeadOfMd, difPiFormat, difCheckFlags }: Bdev): MemberFormat {
  return { mdSizeBytes, mdInterleave, difType, difIsHeadOfMd, difPiFormat, difCheckFlags }
}

/** One slot of an array, and the bdev in it where there is one (`struct raid_base_bdev_info`). */
export class RaidMember {
  readonly slot: number
  /** Of the bdev, or of the one that is waited for; `null` in an empty slot. */
  name: string | null = null
  uuid: string | null = null
  desc: BdevDesc | null = null
  /** The app thread's channel. */
  leg: DescChannel | null = null
  dataOffsetBlocks = 0
  dataSizeBlocks = 0
  /** Its size, as last seen. */
  baseNumBlocks = 0
  /** It takes part. */
  configured = false
  /** It is being rebuilt: written, but not read. */
  target = false
  /** Settles when the array works without it, as `true` where that is on disk; `null` while it stays. */
  leaving: Promise<boolean> | null = null
  /** Its bdev goes away, or it was taken out, while the array cannot do without. */
  gone = false

  constructor(slot: number) {
    this.slot = slot
  }

  /** Whether its data is good and will be. */
  get inSync(): boolean {
    return this.configured && !this.target && this.leaving === null
  }

  /**
   * Opens and claims its bdev, by UUID where that is known, else by name.
   * @throws BdevError ENODEV there is none; EPERM another has it; EINVAL the bdev of that UUID has another name.
   */
  open(host: BdevHost, who: string, onEvent: (event: BdevEvent) => void): Bdev {
    const found = host.bdevByName(this.uuid ?? this.name ?? '')
    if (found === undefined) throw new BdevError('ENODEV', `${who}: there is no bdev "${this.name ?? this.uuid}" yet`)
    if (this.uuid !== null && this.name !== null && found.name !== this.name && !this.#isAlias(host, found)) {
      throw new BdevError('EINVAL', `${who}: wanted bdev "${this.name}" to have UUID ${this.uuid}, found that on "${found.name}"`)
    }
    const desc = host.openBdev(found.name, { write: true, onEvent })
    try {
      desc.claim(ClaimType.ExclWrite)
    } catch (thrown) {
      desc.close()
      throw thrown
    }
    const leg = desc.getIoChannel()
    if (leg === null) {
      desc.releaseClaim()
      desc.close()
      throw new BdevError('ENOMEM', `${who}: bdev "${found.name}" gives no channel; the log says why`)
    }
    this.desc = desc
    this.leg = leg
    this.name = found.name
    this.uuid = found.uuid
    this.baseNumBlocks = found.numBlocks
    return found
  }

  /**
   * Places the data on the bdev: with a superblock behind the room for it, which is as large as is best, or as has to be where
   * the data would not fit. @throws BdevError EINVAL it is too small, or its data would lie over the superblock.
   */
  place(bdev: Bdev, room: { readonly wanted: number; readonly fewest: number } | null, who: string, warn: (message: string) => void): void {
    if (room !== null) {
      const least = DATA_OFFSET_BYTES_MIN / bdev.dataBlockSizeBytes
      const roomy = room.wanted + this.dataSizeBlocks <= bdev.numBlocks
      const wanted = this.dataOffsetBlocks === 0 ? (roomy ? room.wanted : room.fewest) : this.dataOffsetBlocks
      if (wanted < least) throw new BdevError('EINVAL', `${who}: the superblock of bdev "${bdev.name}" says that its data begins at block ${wanted}, among what is written down before block ${least}; it is left alone`)
      const boundary = bdev.optimalIoBoundaryBlocks
      const best = boundary === 0 ? wanted : Math.ceil(wanted / boundary) * boundary
      if (this.dataOffsetBlocks !== 0 && best !== wanted) warn(`${who}: the data of bdev "${bdev.name}" begins at block ${wanted}; ${best} would fit its boundaries`)
      this.dataOffsetBlocks = this.dataOffsetBlocks === 0 ? best : wanted
    }
    if (this.dataOffsetBlocks >= bdev.numBlocks) {
      throw new BdevError('EINVAL', `${who}: bdev "${bdev.name}" has ${bdev.numBlocks} blocks, but data begins at block ${this.dataOffsetBlocks}; use a larger one`)
    }
    if (this.dataSizeBlocks === 0) this.dataSizeBlocks = bdev.numBlocks - this.dataOffsetBlocks
    else if (this.dataOffsetBlocks + this.dataSizeBlocks > bdev.numBlocks) {
      throw new BdevError('EINVAL', `${who}: bdev "${bdev.name}" has ${bdev.numBlocks} blocks, but wanted are ${this.dataOffsetBlocks} + ${this.dataSizeBlocks}; use a larger one`)
    }
  }

  /** Empties the slot: the array keeps neither bdev nor, where `forget` says so, its UUID. */
  release(forget: boolean): void {
    const { desc, leg } = this
    this.name = null
    if (forget) this.uuid = null
    this.desc = null
    this.leg = null
    this.dataOffsetBlocks = 0
    this.configured = false
    this.target = false
    this.leaving = null
    this.gone = false
    leg?.put()
    desc?.releaseClaim()
    desc?.close()
  }

  #isAlias(host: BdevHost, found: Bdev): boolean {
    return host.bdevByName(this.name ?? '') === found
  }
}

/** Handles an event of a member's bdev: what there is to know of it. */
export interface MemberEvents {
  removed(member: RaidMember): void
  resized(member: RaidMember): void
}

/** For `RaidMember.open`. */
export function memberEvents(member: RaidMember, events: MemberEvents): (event: BdevEvent) => void {
  return ({ type }) => {
    if (type === BdevEventType.Remove) events.removed(member)
    else if (type === BdevEventType.Resize) events.resized(member)
  }
}

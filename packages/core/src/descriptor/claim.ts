// SPDX-License-Identifier: Apache-2.0
import type { ClaimOptions } from '@bdevkit/module-sdk'
import { BdevError, ClaimType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { CLAIM_NAME_MAX } from '../limits.js'
import type { ModuleRecord } from '../module/module-record.js'
import { Access } from '../io/access.js'
import type { Desc } from './desc.js'

/** Names of the claim types, as `bdev_get_bdevs` has them. */
export const CLAIM_TYPE_NAMES: readonly string[] = [
  'not_claimed', 'exclusive_write', 'read_many_write_one', 'read_many_write_none', 'read_many_write_shared',
]

/** One holder of a claim. */
export interface Claim {
  readonly owner: string
  readonly module: ModuleRecord | null
  /** The descriptor that holds it; a v1 claim outlives its descriptor. */
  readonly desc: Desc | null
  readonly name: string
  /** When it was taken. */
  readonly sinceMs: number
}

/** Who may write to a bdev (`spdk_bdev_module_claim_bdev_desc`); framework.md of SPDK has the conflict matrix. */
export class BdevClaims {
  type: number = ClaimType.None
  readonly holders: Claim[] = []
  readonly #bdev: Bdev
  #sharedKey: bigint = 0n

  constructor(bdev: Bdev) {
    this.#bdev = bdev
  }

  /** Takes a claim for `desc`. The order of the checks is SPDK's. */
  take(desc: Desc, type: number, options: ClaimOptions): void {
    const name = options.name ?? ''
    const given = options.sharedClaimKey ?? 0
    if (typeof given === 'number' && !Number.isSafeInteger(given)) this.#refuse(desc, type, 'EINVAL', `the shared claim key is ${given}`, 'give an integer')
    const key = BigInt(given)
    if (this.type !== ClaimType.None && this.type !== type) this.#conflict(desc, type)
    if (this.holders.some(holder => holder.desc === desc) && type !== ClaimType.ExclWrite) {
      this.#refuse(desc, type, 'EPERM', 'this descriptor holds a claim already', 'close it first')
    }
    switch (type) {
      case ClaimType.ExclWrite:
        if (this.type !== ClaimType.None) this.#conflict(desc, type)
        break
      case ClaimType.ReadManyWriteOne:
        if (key !== 0n) this.#refuse(desc, type, 'EINVAL', 'a shared claim key is given', 'leave it out')
        if (this.type !== ClaimType.None) this.#conflict(desc, type)
        this.#refuseOtherWriters(desc, type)
        break
      case ClaimType.ReadManyWriteNone:
        if (desc.write) this.#refuse(desc, type, 'EINVAL', 'the descriptor is open for writing', 'open it read-only')
        if (key !== 0n) this.#refuse(desc, type, 'EINVAL', 'a shared claim key is given', 'leave it out')
        if (this.type === ClaimType.None) this.#refuseOtherWriters(desc, type)
        break
      case ClaimType.ReadManyWriteShared:
        if (key === 0n) this.#refuse(desc, type, 'EINVAL', 'no shared claim key is given', 'give a non-zero one')
        if (this.type === ClaimType.None) this.#refuseOtherWriters(desc, type)
        else if (this.#sharedKey !== key) this.#conflict(desc, type)
        break
      default:
        this.#refuse(desc, type, 'ENOTSUP', 'no such claim type', 'use one of ClaimType')
    }
    if (name.length > CLAIM_NAME_MAX) this.#refuse(desc, type, 'EINVAL', `the name has ${name.length} characters`, `use at most ${CLAIM_NAME_MAX}`)
    this.type = type
    this.#sharedKey = key
    this.holders.push({ owner: desc.owner, module: desc.module, desc, name, sinceMs: this.#bdev.host.reactor.clock.nowMs() })
    if (type !== ClaimType.ReadManyWriteNone) desc.access |= Access.Write
  }

  /** Releases a v1 claim that `desc`'s module holds. */
  releaseExclWrite(desc: Desc): void {
    if (this.type !== ClaimType.ExclWrite || this.holders[0]?.module !== desc.module) {
      throw new BdevError('EINVAL', `${desc.owner}: release of the claim on bdev "${this.#bdev.name}": wanted an exclusive_write claim of its own, found ${this.describe()}`)
    }
    this.#clear()
  }

  /** A descriptor closes: its v2 claim ends. */
  descClosed(desc: Desc): void {
    if (this.type === ClaimType.ExclWrite) return
    const at = this.holders.findIndex(holder => holder.desc === desc)
    if (at < 0) return
    this.holders.splice(at, 1)
    if (this.holders.length === 0) this.#clear()
  }

  /** For messages: the claim and who holds it. */
  describe(): string {
    if (this.type === ClaimType.None) return 'no claim'
    return `claim ${CLAIM_TYPE_NAMES[this.type]} of ${this.holders.map(holder => holder.owner + (holder.name === '' ? '' : ` (${holder.name})`)).join(', ')}`
  }

  #clear(): void {
    this.type = ClaimType.None
    this.holders.length = 0
    this.#sharedKey = 0n
  }

  #conflict(desc: Desc, type: number): never {
    return this.#refuse(desc, type, 'EPERM', this.describe(), 'remove that holder first')
  }

  #refuseOtherWriters(desc: Desc, type: number): void {
    const writer = this.#bdev.descs.find(other => other !== desc && other.write)
    if (writer !== undefined) this.#refuse(desc, type, 'EPERM', `${writer.owner} has it open for writing`, 'close that first')
  }

  #refuse(desc: Desc, type: number, code: 'EPERM' | 'EINVAL' | 'ENOTSUP', found: string, todo: string): never {
    const want = CLAIM_TYPE_NAMES[type] ?? `type ${type}`
    throw new BdevError(code, `${desc.owner}: wanted claim ${want} on bdev "${this.#bdev.name}", but ${found}; ${todo}`)
  }
}

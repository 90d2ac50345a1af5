// SPDX-License-Identifier: Apache-2.0
import type { BdevFnTable, BdevIo as SdkBdevIo, Part as SdkPart, PartBase as SdkPartBase, PartBaseSpec, PartSpec } from '@bdevkit/module-sdk'
import { BdevError, BdevEventType, ClaimType, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { uuidBytes, uuidV5 } from '../bdev/uuid.js'
import type { Desc } from '../descriptor/desc.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { Host } from '../host/host.js'
import type { BdevIo } from '../io/bdev-io.js'
import type { ModuleRecord } from '../module/module-record.js'
import { hasRefTags } from '../io/io-metadata.js'
import { NOT_REMAPPED, submitRemapped } from './part-dif.js'

/** Namespace of part UUIDs (SPDK lib/bdev/part.c). */
const PART_UUID_NAMESPACE = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8'

/** Raw NVMe commands address the whole base: no part passes them on. */
const NOT_OF_PARTS = new Set<number>([IoType.NvmeAdmin, IoType.NvmeIo, IoType.NvmeIoMd, IoType.NvmeIovMd, IoType.NvmeNssr])

/** A sub-range of a base. */
export class Part implements SdkPart {
  readonly base: PartBase
  readonly offsetBlocks: number
  readonly ctx: any

  constructor(base: PartBase, offsetBlocks: number, ctx: unknown) {
    this.base = base
    this.offsetBlocks = offsetBlocks
    this.ctx = ctx
  }
}

/** What all parts of all modules do. */
const partFn: BdevFnTable<Part, DescChannel> = {
  destruct(part) {
    return part.base.partGone(part)
  },
  submitRequest(base, io) {
    io.forward(base, ((io as BdevIo).bdev.ctx as Part).offsetBlocks)
  },
  ioTypeSupported(part, type) {
    const { bdev } = part.base
    return !NOT_OF_PARTS.has(type) && (bdev.supportedTypes & (1 << type)) !== 0 && !(NOT_REMAPPED.has(type) && hasRefTags(bdev))
  },
  getIoChannel(part) {
    return part.base.desc.getIoChannel()
  },
}

/** What parts do whose blocks carry reference tags. */
function submitDif(base: DescChannel, io: SdkBdevIo): void {
  submitRemapped(base, io as BdevIo, ((io as BdevIo).bdev.ctx as Part).offsetBlocks)
}

/** UUID of a part, as SPDK derives it: version 5 over base UUID, offset and length, both little-endian. */
export function partUuid(baseUuid: string, offsetBlocks: number, numBlocks: number): string {
  const bytes = new Uint8Array(32)
  bytes.set(uuidBytes(baseUuid))
  const view = new DataView(bytes.buffer)
  view.setBigUint64(16, BigInt(offsetBlocks), true)
  view.setBigUint64(24, BigInt(numBlocks), true)
  return uuidV5(PART_UUID_NAMESPACE, bytes)
}

/** A bdev cut into parts: see the contract. */
export class PartBase implements SdkPartBase {
  readonly bdev: Bdev
  readonly desc: Desc
  readonly #host: Host
  readonly #module: ModuleRecord
  readonly #fn: BdevFnTable<Part, DescChannel>
  /** Reference tags are remapped. */
  readonly #remaps: boolean
  readonly #onClosed: (() => void) | undefined
  readonly #parts: Bdev<Part>[] = []
  #closed: Promise<void> | null = null
  #empty: (() => void) | null = null

  constructor(host: Host, module: ModuleRecord, name: string, spec: PartBaseSpec) {
    this.#host = host
    this.#module = module
    this.#onClosed = spec.onClosed
    this.desc = host.openFor(
      name,
      {
        onEvent: event => {
          if (event.type === BdevEventType.Remove) void this.close()
          else if (event.type === BdevEventType.Resize) module.log.notice(`bdev "${this.bdev.name}" has ${this.bdev.numBlocks} blocks now; its parts keep their ranges`)
        },
      },
      `module "${module.name}"`,
      module,
    )
    this.bdev = this.desc.bdev
    this.#remaps = hasRefTags(this.bdev)
    this.#fn = { ...spec.fn, ...partFn, ...(this.#remaps ? { submitRequest: submitDif } : {}) }
  }

  createPart<Ctx>(spec: PartSpec<Ctx>): Bdev<SdkPart<Ctx>> {
    const base = this.bdev
    const who = `part "${spec.name}" of bdev "${base.name}" by module "${this.#module.name}"`
    const { offsetBlocks, numBlocks } = spec
    const whole = (blocks: number): boolean => Number.isSafeInteger(blocks) && blocks >= 0
    if (this.#closed !== null) throw new BdevError('ENODEV', `${who}: the base is closed`)
    if (!whole(offsetBlocks) || !whole(numBlocks) || numBlocks === 0 || offsetBlocks + numBlocks > base.numBlocks) {
      throw new BdevError('EINVAL', `${who}: wanted a range within its ${base.numBlocks} blocks, found ${numBlocks} at ${offsetBlocks}`)
    }
    const first = this.#parts.length === 0
    if (first) {
      const writer = base.descs.find(other => other !== this.desc && other.write)
      if (writer !== undefined) throw new BdevError('EPERM', `${who}: ${writer.owner} has the base open for writing; close that first`)
      this.desc.claim(ClaimType.ExclWrite)
    }
    try {
      const bdev = this.#host.registerBdev<SdkPart<Ctx>>(this.#module, {
        ...base.geometry(),
        name: spec.name,
        numBlocks,
        productName: spec.productName,
        uuid: spec.uuid ?? partUuid(base.uuid, offsetBlocks, numBlocks),
        aliases: spec.aliases ?? [],
        // The base's memory holds the base's reference tags.
        lendsReadBuffers: base.lendsReadBuffers && !this.#remaps,
        ctx: new Part(this, offsetBlocks, spec.ctx),
        fn: this.#fn as BdevFnTable,
      })
      this.#parts.push(bdev as Bdev<Part>)
      return bdev
    } catch (thrown) {
      if (first) this.desc.releaseClaim()
      throw thrown
    }
  }

  parts(): readonly Bdev<Part>[] {
    return this.#parts
  }

  close(): Promise<void> {
    try {
      this.#host.assertAppThread(`module "${this.#module.name}": close of the parts of bdev "${this.bdev.name}"`)
    } catch (thrown) {
      return Promise.reject(thrown as Error)
    }
    this.#closed ??= this.#close()
    return this.#closed
  }

  /** A part has been destructed. The last one takes the base with it. @internal */
  partGone(part: Part): void {
    this.#parts.splice(this.#parts.findIndex(bdev => bdev.ctx === part), 1)
    if (this.#parts.length > 0) return
    this.desc.thread.execMsg(() => this.desc.releaseClaim(), undefined)
    this.#empty?.()
    void this.close()
  }

  async #close(): Promise<void> {
    if (this.#parts.length > 0) {
      const empty = new Promise<void>(resolve => (this.#empty = resolve))
      for (const bdev of this.#parts) {
        if (bdev.status !== 'ready') continue
        this.#host.unregisterBdev(bdev).catch((thrown: unknown) => this.#module.reportThrow(`removal of part "${bdev.name}"`, thrown))
      }
      await empty
    }
    await new Promise<void>(resolve => {
      this.desc.thread.execMsg(() => {
        this.desc.close()
        resolve()
      }, undefined)
    })
    this.#onClosed?.()
  }
}

// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'
import type {
  Bdev,
  BdevFnTable,
  BdevHost,
  BdevIo,
  BdevModule,
  BdevModuleInstance,
  BdevSpec,
  DescChannel,
  IoChannel,
  IoDevice,
  VbdevBase,
  VbdevParams,
  Vbdevs,
  VbdevsSpec,
} from '@bdevkit/module-sdk'

/** What a fake disk serves unless told otherwise. */
export const ALL_TYPES: readonly number[] = [
  IoType.Read,
  IoType.Write,
  IoType.Unmap,
  IoType.Flush,
  IoType.Reset,
  IoType.WriteZeroes,
  IoType.Compare,
  IoType.Abort,
]

/** Those that a fake disk serves where a test asks for them. */
export const MORE_TYPES: readonly number[] = [
  IoType.CompareAndWrite,
  IoType.Copy,
  IoType.Zcopy,
  IoType.SeekData,
  IoType.SeekHole,
  IoType.WriteUncorrectable,
  IoType.NvmeAdmin,
  IoType.NvmeIo,
  IoType.NvmeIoMd,
  IoType.NvmeNssr,
]

/** How to make a fake disk. */
export interface FakeDiskOptions extends Partial<BdevSpec> {
  /** I/O types that it serves. */
  types?: readonly number[]
  /** Whether I/O waits for the test (`held`) instead of completing inside submitRequest. */
  hold?: boolean
  /** Has a channel of its own instead of the module's. */
  ownDevice?: boolean
}

/** A RAM disk whose completions the test controls. */
export class FakeDisk {
  readonly module: FakeModule
  readonly data: Uint8Array
  /** Separate metadata. */
  readonly md: Uint8Array
  readonly types: readonly number[]
  readonly device: IoDevice<object>
  bdev!: Bdev<FakeDisk>
  /** Whether I/O waits for `complete`. */
  hold: boolean
  /** I/O that waits, oldest first. */
  readonly held: BdevIo[] = []
  /** I/O that has reached submitRequest, as `type offset+count`. */
  readonly seen: string[] = []
  /** Answers that are given instead of doing the work, first come first served. */
  readonly answers: number[] = []
  /** Replaces submitRequest where set. */
  submit: ((io: BdevIo, disk: FakeDisk) => unknown) | null = null
  /** Replaces destruct where set. */
  destruct: (() => void | Promise<void>) | null = null
  destructs = 0
  /** Answer of a SEEK. */
  seekAnswer = Infinity

  constructor(module: FakeModule, options: FakeDiskOptions) {
    this.module = module
    this.hold = options.hold ?? false
    this.types = options.types ?? ALL_TYPES
    this.device =
      options.ownDevice === true ? module.host.registerIoDevice({ name: 'own', createChannel: () => ({}) }) : module.device
    const sizeBytes = (options.numBlocks ?? 1024) * (options.blockSizeBytes ?? 512)
    this.data = new Uint8Array(sizeBytes > 0 ? Math.min(sizeBytes, 1 << 24) : 0)
    this.md = new Uint8Array(options.mdInterleave === true ? 0 : Math.max(0, (options.numBlocks ?? 1024) * (options.mdSizeBytes ?? 0)))
  }

  /** The number of the I/O that has arrived at the module. */
  arrive(io: BdevIo): unknown {
    this.seen.push(`${NAMES[io.type] ?? io.type} ${io.offsetBlocks}+${io.numBlocks}`)
    if (this.submit !== null) return this.submit(io, this)
    const answer = this.answers.shift()
    if (answer !== undefined) io.complete(answer)
    else if (io.type === IoType.Abort) io.complete(this.abort(io) ? IoStatus.Success : IoStatus.Failed)
    else if (this.hold) this.held.push(io)
    else io.complete(this.serve(io))
    return undefined
  }

  /** Does what the I/O says, without completing it. */
  serve(io: BdevIo): number {
    const size = io.bdev.blockSizeBytes
    let at = io.offsetBlocks * size
    const lengthBytes = io.numBlocks * size
    const lend = (): number => {
      if (this.md.length === 0) io.lend(this.data, at, lengthBytes)
      else io.lend(this.data, at, lengthBytes, this.md, io.offsetBlocks * io.bdev.mdSizeBytes)
      return IoStatus.Success
    }
    const mdAt = io.offsetBlocks * io.bdev.mdSizeBytes
    const mdBytes = io.numBlocks * io.bdev.mdSizeBytes
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) return lend()
        io.mdBuf?.set(this.md.subarray(mdAt, mdAt + mdBytes), io.mdOff)
        for (let i = 0; i < io.iovCnt; i++) {
          const iov = io.iovs[i]!
          iov.buf.set(this.data.subarray(at, at + iov.len), iov.off)
          at += iov.len
        }
        return IoStatus.Success
      case IoType.Write:
        if (io.mdBuf !== null) this.md.set(io.mdBuf.subarray(io.mdOff, io.mdOff + mdBytes), mdAt)
        for (let i = 0; i < io.iovCnt; i++) {
          const iov = io.iovs[i]!
          this.data.set(iov.buf.subarray(iov.off, iov.off + iov.len), at)
          at += iov.len
        }
        return IoStatus.Success
      case IoType.Compare:
        for (let i = 0; i < io.iovCnt; i++) {
          const iov = io.iovs[i]!
          for (let k = 0; k < iov.len; k++) if (this.data[at + k] !== iov.buf[iov.off + k]) return IoStatus.Miscompare
          at += iov.len
        }
        return IoStatus.Success
      case IoType.CompareAndWrite:
        return this.compareAndWrite(io, at)
      case IoType.Copy:
        this.data.copyWithin(at, io.srcOffsetBlocks * size, io.srcOffsetBlocks * size + lengthBytes)
        return IoStatus.Success
      case IoType.Zcopy:
        return io.zcopyStart ? lend() : IoStatus.Success
      case IoType.SeekData:
      case IoType.SeekHole:
        io.setSeekOffset(this.seekAnswer)
        return IoStatus.Success
      case IoType.WriteUncorrectable:
        return IoStatus.Success
      case IoType.Unmap:
      case IoType.WriteZeroes:
        this.data.fill(0, at, at + lengthBytes)
        return IoStatus.Success
      case IoType.Flush:
      case IoType.Reset:
        return IoStatus.Success
      default:
        return IoStatus.Failed
    }
  }

  private compareAndWrite(io: BdevIo, startByte: number): number {
    let at = startByte
    for (const { buf, off, len } of io.iovs.slice(0, io.iovCnt)) {
      if (Buffer.compare(buf.subarray(off, off + len), this.data.subarray(at, at + len)) !== 0) return IoStatus.Miscompare
      at += len
    }
    at = startByte
    for (const { buf, off, len } of io.fusedIovs.slice(0, io.fusedIovCnt)) {
      this.data.set(buf.subarray(off, off + len), at)
      at += len
    }
    return IoStatus.Success
  }

  /** Ends a held I/O: by doing it, or with `status`. Default: the oldest. */
  complete(io: BdevIo | undefined = this.held[0], status?: number): void {
    if (io === undefined) throw new Error('no I/O is held')
    this.held.splice(this.held.indexOf(io), 1)
    io.complete(status ?? this.serve(io))
  }

  /** Ends every held I/O. */
  completeAll(status?: number): void {
    // What completes one may abort another.
    for (const io of [...this.held]) if (this.held.includes(io)) this.complete(io, status)
  }

  /** Ends the target of an ABORT where it is held. */
  private abort(io: BdevIo): boolean {
    const target = io.abortTarget
    if (target === null || !this.held.includes(target)) return false
    this.complete(target, IoStatus.Aborted)
    return true
  }
}

const NAMES: Record<number, string> = {
  [IoType.Read]: 'read',
  [IoType.Write]: 'write',
  [IoType.Unmap]: 'unmap',
  [IoType.Flush]: 'flush',
  [IoType.Reset]: 'reset',
  [IoType.WriteZeroes]: 'zeroes',
  [IoType.Compare]: 'compare',
  [IoType.Abort]: 'abort',
  [IoType.CompareAndWrite]: 'compare_and_write',
  [IoType.Copy]: 'copy',
  [IoType.Zcopy]: 'zcopy',
  [IoType.SeekData]: 'seek_data',
  [IoType.SeekHole]: 'seek_hole',
  [IoType.WriteUncorrectable]: 'write_uncorrectable',
}

const diskFn: BdevFnTable<FakeDisk, object> = {
  destruct(disk) {
    disk.destructs++
    disk.module.calls?.push(`destruct ${disk.bdev.name}`)
    return disk.destruct?.()
  },
  submitRequest(_channel, io) {
    return (io.bdev.ctx as FakeDisk).arrive(io) as void
  },
  ioTypeSupported(disk, type) {
    return disk.types.includes(type)
  },
  getIoChannel(disk) {
    return disk.device.getIoChannel() as IoChannel<object> | null
  },
}

/** Hooks that a test gives to a fake module, each with the module itself. */
export type FakeHooks = Partial<{
  [Hook in keyof BdevModuleInstance]: BdevModuleInstance[Hook]
}>

/** A module whose bdevs the test makes itself. */
export class FakeModule {
  readonly name: string
  readonly value: BdevModule
  /** Where the module writes which of its functions were called. */
  readonly calls: string[] | null
  host!: BdevHost
  device!: IoDevice<object>
  readonly disks = new Map<string, FakeDisk>()

  constructor(name = 'fake', hooks: FakeHooks = {}, calls: string[] | null = null) {
    this.name = name
    this.calls = calls
    this.value = defineBdevModule({
      name,
      sdk: '0.1',
      setup: host => {
        this.host = host
        this.device = host.registerIoDevice({ name, createChannel: () => ({}) })
        return hooks
      },
    })
  }

  /** Registers a disk of 1024 blocks of 512 bytes that does everything, but for `options`. */
  create(name: string, options: FakeDiskOptions = {}): FakeDisk {
    const disk = new FakeDisk(this, options)
    const { types: _types, hold: _hold, ownDevice: _own, ...spec } = options
    this.disks.set(name, disk)
    disk.bdev = this.host.registerBdev({
      name,
      numBlocks: 1024,
      blockSizeBytes: 512,
      productName: 'fake',
      ctx: disk,
      fn: diskFn,
      ...spec,
    })
    return disk
  }
}

/** One forwarding vbdev. */
export interface Relay {
  readonly name: string
  readonly base: VbdevBase
  readonly module: RelayModule
}

/** How a relay module differs from one that passes everything on. */
export interface RelayOptions extends Partial<Omit<VbdevsSpec<VbdevParams, Relay>, 'attach'>> {
  /** Runs instead of `io.forward(base)`. */
  submit?: (base: DescChannel, io: BdevIo) => unknown
  /** Added to the spec of each vbdev. */
  spec?: (base: VbdevBase, params: VbdevParams) => Partial<BdevSpec>
  types?: readonly number[]
  hooks?: FakeHooks
}

/** A module of vbdevs that pass I/O on to their base. */
export class RelayModule {
  readonly value: BdevModule
  readonly options: RelayOptions
  host!: BdevHost
  vbdevs!: Vbdevs<VbdevParams>

  constructor(name = 'relay', options: RelayOptions = {}) {
    this.options = options
    const { submit: _submit, spec: _spec, types: _types, hooks = {}, ...rest } = options
    this.value = defineBdevModule({
      name,
      sdk: '0.1',
      setup: host => {
        this.host = host
        this.vbdevs = host.vbdevs<VbdevParams, Relay>({ attach: (base, params) => this.#attach(base, params), ...rest })
        return hooks
      },
    })
  }

  /** Asks for a vbdev. */
  create(name: string, base: string): string {
    return this.vbdevs.create({ name, base_bdev_name: base })
  }

  #attach(base: VbdevBase, params: VbdevParams): BdevSpec<Relay> {
    return {
      ...base.geometry(),
      name: params.name,
      productName: 'relay',
      ctx: { name: params.name, base, module: this },
      fn: relayFn,
      lendsReadBuffers: base.bdev.lendsReadBuffers,
      ...this.options.spec?.(base, params),
    }
  }
}

const relayFn: BdevFnTable<Relay, DescChannel> = {
  destruct(relay) {
    return relay.base.close()
  },
  submitRequest(base, io) {
    const submit = (io.bdev.ctx as Relay).module.options.submit
    if (submit === undefined) io.forward(base)
    else return submit(base, io) as void
  },
  ioTypeSupported(relay, type) {
    return relay.module.options.types?.includes(type) ?? relay.base.ioTypeSupported(type)
  },
  getIoChannel(relay) {
    return relay.base.getIoChannel()
  },
}

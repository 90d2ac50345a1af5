// SPDX-License-Identifier: Apache-2.0
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevHost, BdevIo, DescChannel, Iov, TweakMode } from '@bdevkit/module-sdk'
import crypto from '../src/index.js'

export const KEY = '00112233445566778899aabbccddeeff'
export const KEY2 = 'ffeeddccbbaa99887766554433221100'

/** How an I/O ended. */
export interface Ended {
  status: number
  nvme: [sct: number, sc: number]
  errno: number
}

/** A host with the module, and with base bdevs whose bytes and answers the test has in its hands. */
export class Rig {
  readonly host: Host
  readonly log: string[] = []
  own!: BdevHost
  /** Bytes of the base. */
  readonly disk: Uint8Array
  /** What the base was asked to do. */
  readonly seen: number[] = []
  /** I/O that the base has not answered, while `hold` is set. */
  readonly held: BdevIo[] = []
  hold = false
  /** How the base answers RESET. */
  resetStatus: number = IoStatus.Success
  /** How many of the next I/Os the base has no memory for. */
  nomem = 0
  readonly blockSizeBytes: number
  #channel: DescChannel | undefined
  #close: (() => void) | undefined

  constructor(blockSizeBytes = 512, numBlocks = 1024, options: Parameters<typeof createHost>[0] = {}) {
    this.blockSizeBytes = blockSizeBytes
    this.disk = new Uint8Array(blockSizeBytes * numBlocks)
    this.host = createHost({ log: (level, source, message) => void this.log.push(`${level}: ${source}: ${message}`), ...options })
    this.host.use(crypto)
    this.host.use(defineBdevModule({ name: 'bases', sdk: '0.1', setup: own => ((this.own = own), {}) }))
  }

  async start(): Promise<this> {
    await this.host.init()
    return this
  }

  key(name = 'key0', key = KEY, key2 = KEY2, tweak_mode?: TweakMode): void {
    this.host.keys.create({ name, cipher: 'AES_XTS', key, key2, ...(tweak_mode !== undefined && { tweak_mode }) })
  }

  addBase(name = 'Base0', extra: object = {}): void {
    const { own, disk, seen, held, blockSizeBytes } = this
    const device = own.registerIoDevice({ name, createChannel: () => null })
    own.registerBdev<null, null, null>({
      name, ctx: null, productName: 'Base', blockSizeBytes, numBlocks: disk.length / blockSizeBytes, ...extra,
      fn: {
        destruct: () => device.unregister(),
        ioTypeSupported: (_ctx, type) => type !== IoType.Invalid && type !== IoType.Copy,
        getIoChannel: () => device.getIoChannel(),
        submitRequest: (_channel, io) => {
          seen.push(io.type)
          if (this.nomem > 0) {
            this.nomem--
            return io.complete(IoStatus.Nomem)
          }
          const at = io.offsetBlocks * blockSizeBytes
          const lengthBytes = io.numBlocks * blockSizeBytes
          if (io.type === IoType.Read) own.accel.copyToIovs(io.iovs, io.iovCnt, disk, at, lengthBytes)
          if (io.type === IoType.Write) own.accel.copyFromIovs(disk, at, io.iovs, io.iovCnt, lengthBytes)
          if (io.type === IoType.Reset) io.complete(this.resetStatus)
          else if (this.hold) held.push(io)
          else io.complete(IoStatus.Success)
        },
      },
    })
  }

  /** Calls an RPC handler of the module. */
  async call(method: string, params: object): Promise<unknown> {
    const { handlers } = this.host.modules.find(({ name }) => name === 'crypto')!.instance
    return (handlers as Record<string, (p: object) => unknown>)[method]!(params)
  }

  create(extra: object = {}): Promise<unknown> {
    return this.call('bdev_crypto_create', { base_bdev_name: 'Base0', name: 'Crypto0', key_name: 'key0', ...extra })
  }

  get channel(): DescChannel {
    if (this.#channel === undefined) {
      const desc = this.host.openBdev('Crypto0', { write: true, onEvent: ({ type }) => type === 0 && this.close() })
      const channel = desc.getIoChannel()!
      this.#channel = channel
      this.#close = () => {
        channel.put()
        desc.close()
      }
    }
    return this.#channel
  }

  close(): void {
    this.#close?.()
    this.#close = undefined
    this.#channel = undefined
  }

  /** Submits; settles when the I/O has ended. */
  submit(start: (cb: (io: BdevIo) => void) => number): Promise<Ended> {
    return new Promise((resolve, reject) => {
      const rc = start(io => {
        resolve({ status: io.status, nvme: [io.nvmeSct, io.nvmeSc], errno: io.aioErrno })
        io.free()
      })
      if (rc !== 0) reject(new Error(`refused with ${rc}`))
    })
  }

  write(lba: number, ...pieces: Uint8Array[]): Promise<Ended> {
    const iovs = this.#iovs(pieces)
    const blocks = pieces.reduce((sum, { length }) => sum + length, 0) / this.blockSizeBytes
    return this.submit(cb => this.channel.writevBlocks(iovs, iovs.length, lba, blocks, cb, null))
  }

  read(lba: number, ...pieces: Uint8Array[]): Promise<Ended> {
    const iovs = this.#iovs(pieces)
    const blocks = pieces.reduce((sum, { length }) => sum + length, 0) / this.blockSizeBytes
    return this.submit(cb => this.channel.readvBlocks(iovs, iovs.length, lba, blocks, cb, null))
  }

  async stop(): Promise<void> {
    this.hold = false
    for (const io of this.held.splice(0)) io.complete(IoStatus.Success)
    this.close()
    await this.host.finish()
  }

  #iovs(pieces: Uint8Array[]): Iov[] {
    return pieces.map(piece => ({ buf: piece, off: 0, len: piece.length }))
  }
}

/** Lets queued work happen. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}

/** The 16 bytes that OpenSSL takes as tweak of data unit `unit`, as the decision on tweaks has them. */
export function tweakOf(mode: TweakMode, unit: number): Buffer {
  const tweak = Buffer.alloc(16)
  const number = BigInt(unit)
  if (mode === 'SIMPLE_LBA' || mode === 'INCR_512_UPPER_LBA') tweak.writeBigUInt64LE(number, 8)
  else tweak.writeBigUInt64LE(number, 0)
  if (mode === 'JOIN_NEG_LBA_WITH_LBA') tweak.writeBigUInt64LE(~number & 0x7fff_ffff_ffff_ffffn, 8)
  return tweak
}

/** What OpenSSL makes of `bytes`, which begin at block `lba`. */
export function opensslXts(
  direction: 'encrypt' | 'decrypt',
  bytes: Uint8Array,
  { key, key2, mode, blockSizeBytes, lba }: { key: string; key2: string; mode: TweakMode; blockSizeBytes: number; lba: number },
): Buffer {
  const unitBytes = mode.startsWith('INCR_512') ? 512 : blockSizeBytes
  const both = Buffer.from(key + key2, 'hex')
  const firstUnit = (lba * blockSizeBytes) / unitBytes
  const units: Buffer[] = []
  for (let at = 0; at < bytes.length; at += unitBytes) {
    const tweak = tweakOf(mode, firstUnit + at / unitBytes)
    const make = direction === 'encrypt' ? createCipheriv : createDecipheriv
    units.push(make(`aes-${both.length * 4}-xts`, both, tweak).update(bytes.subarray(at, at + unitBytes)))
  }
  return Buffer.concat(units)
}

// SPDX-License-Identifier: Apache-2.0
// Metadata and protection information from the application to the medium, through modules of every kind.
import { bdevInfoJson, createHost, type BdevHandle, type Host } from '@bdevkit/core'
import {
  DifFlag, DifType, IoStatus, type BdevIo, type DifContext, type DifContextSpec, type Iov, type JsonObject, type RpcCall,
} from '@bdevkit/module-sdk'
import delay from '@bdevkit/modules-delay'
import error from '@bdevkit/modules-error'
import malloc from '@bdevkit/modules-malloc'
import nullModule from '@bdevkit/modules-null'
import passthru from '@bdevkit/modules-passthru'
import split from '@bdevkit/modules-split'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let host: Host
let log: string[]

beforeEach(async () => {
  log = []
  host = createHost({ strict: true, log: (level, source, message) => void log.push(`${level} ${source}: ${message}`) })
  for (const module of [malloc, nullModule, passthru, split, delay, error]) host.use(module)
  await host.init()
})
afterEach(() => host.finish())

async function rpc(method: string, params: object): Promise<unknown> {
  for (const { instance } of host.modules) {
    const handler = (instance.handlers as Record<string, (params: object) => unknown>)[method]
    if (handler !== undefined) return handler(params)
  }
  throw new Error(`no method ${method}`)
}

const info = (name: string): JsonObject => bdevInfoJson(host.bdevByName(name)!)
const calls = (): RpcCall[] => host.modules.flatMap(({ instance }) => [...(instance.configJson?.() ?? [])]) as RpcCall[]

function bytesFrom(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0, x = seed | 1; i < length; i++) {
    x = Math.imul(x, 1_664_525) + 1_013_904_223
    bytes[i] = x >>> 24
  }
  return bytes
}

const iov = (buf: Uint8Array): Iov[] => [{ buf, off: 0, len: buf.length }]

/** Blocks of random data, with or without their metadata, and protection information that counts from `refTag`. */
function blocks(context: DifContext, seed: number, numBlocks: number, refTag: number): { data: Uint8Array; metadata?: Uint8Array } {
  const data = bytesFrom(seed, numBlocks * context.blockSizeBytes)
  context.initRefTag = refTag
  if (context.mdInterleave) {
    host.accel.dif.generate(context, iov(data), 1, numBlocks)
    return { data }
  }
  const metadata = bytesFrom(seed + 1, numBlocks * context.mdSizeBytes)
  host.accel.dif.dixGenerate(context, iov(data), 1, metadata, 0, numBlocks)
  return { data, metadata }
}

const contextOf = (name: string): DifContext => host.accel.dif.context(host.bdevByName(name)! as DifContextSpec)

/** Submits on a raw channel and answers the completed I/O's status and NVMe codes. */
function submit(name: string, hideMetadata: boolean, start: (channel: any, cb: (io: BdevIo) => void) => number): Promise<[number, number, number]> {
  return new Promise((resolve, reject) => {
    host.appThread.execMsg(() => {
      const desc = host.openBdev(name, { write: true, hideMetadata, onEvent: () => undefined })
      const channel = desc.getIoChannel()!
      const rc = start(channel, io => {
        resolve([io.status, io.nvmeSct, io.nvmeSc])
        io.free()
        channel.put()
        desc.close()
      })
      if (rc === 0) return
      channel.put()
      desc.close()
      reject(new Error(`errno ${-rc}`))
    }, null)
  })
}

/** The stack of issue: parts, delays and errors above the disk, each a whole view of it. */
async function stackOn(base: string): Promise<string> {
  await rpc('bdev_passthru_create', { name: 'PT', base_bdev_name: base })
  const latency = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 }
  await rpc('bdev_delay_create', { name: 'Slow', base_bdev_name: 'PT', ...latency })
  await rpc('bdev_error_create', { base_name: 'Slow' })
  await rpc('bdev_split_create', { base_bdev: 'EE_Slow', split_count: 2 })
  return 'EE_Slowp1'
}

describe('what is told of metadata', () => {
  it('is what SPDK tells', async () => {
    await rpc('bdev_malloc_create', { name: 'MallocDif', num_blocks: 2048, block_size: 512, md_size: 8, dif_type: 1 })
    await rpc('bdev_null_create', { name: 'NullMd', num_blocks: 1000, block_size: 4096, md_size: 64, dif_type: 1 })
    await rpc('bdev_malloc_create', { name: 'Plain', num_blocks: 8, block_size: 512, md_size: 16 })
    const checks = { dif_is_head_of_md: false, enabled_dif_check_types: { reftag: true, apptag: false, guard: true }, dif_pi_format: 0 }
    expect(info('MallocDif')).toMatchObject({ block_size: 512, md_size: 8, md_interleave: false, dif_type: 1, ...checks })
    expect(info('NullMd')).toMatchObject({ block_size: 4160, md_size: 64, md_interleave: true, dif_type: 1, ...checks })
    const plain = info('Plain')
    expect(plain).toMatchObject({ md_size: 16, md_interleave: false, dif_type: 0 })
    expect(plain).not.toHaveProperty('dif_pi_format')
    const members = Object.keys(info('MallocDif'))
    expect(members.slice(members.indexOf('numa_id'), members.indexOf('assigned_rate_limits'))).toEqual([
      'numa_id', 'md_size', 'md_interleave', 'dif_type', 'dif_is_head_of_md', 'enabled_dif_check_types', 'dif_pi_format',
    ])
  })

  it('is the same through passthru, delay, error and split, and after a reload of the configuration', async () => {
    await rpc('bdev_null_create', { name: 'Null0', num_blocks: 64, block_size: 512, md_size: 16, dif_type: 3, dif_is_head_of_md: true })
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 4096, md_size: 64, md_interleave: true, dif_type: 2, dif_pi_format: 2 })
    const top = await stackOn('M0')
    const about = (name: string): object => {
      const { block_size, md_size, md_interleave, dif_type, dif_is_head_of_md, enabled_dif_check_types, dif_pi_format } = info(name)
      return { block_size, md_size, md_interleave, dif_type, dif_is_head_of_md, enabled_dif_check_types, dif_pi_format }
    }
    for (const name of ['PT', 'Slow', 'EE_Slow', top]) expect(about(name)).toEqual(about('M0'))
    const saved = calls().filter(({ method }) => /malloc|null/.test(method))
    const before = saved.map(({ params }) => info((params as { name: string }).name))
    for (const name of ['M0', 'Null0']) await host.unregisterBdev(host.bdevByName(name)!)
    for (const { method, params } of saved) await rpc(method, params as object)
    const claims = { claimed: expect.anything() as unknown, claim_type: expect.anything() as unknown }
    saved.forEach(({ params }, i) => expect({ ...info((params as { name: string }).name), ...claims }).toEqual({ ...before[i], ...claims }))
  })
})

const formats = [
  { block_size: 512, md_size: 8, dif_type: 1 },
  { block_size: 512, md_size: 64, dif_type: 2, dif_is_head_of_md: true },
  { block_size: 512, md_size: 16, dif_type: 3 },
  { block_size: 4096, md_size: 16, dif_type: 1, dif_pi_format: 1 },
  { block_size: 4096, md_size: 64, dif_type: 1, dif_pi_format: 2, dif_is_head_of_md: true },
].flatMap(format => [{ ...format, md_interleave: true }, { ...format, md_interleave: false }])

describe.each(formats)('a RAM disk with %j', format => {
  const refTags = format.dif_type !== DifType.Type3

  /** Opens `name`, does something, closes. */
  async function using(name: string, body: (disk: BdevHandle) => Promise<void>): Promise<void> {
    const disk = await host.open(name, { write: true })
    try {
      await body(disk)
    } finally {
      await disk.close()
    }
  }

  beforeEach(() => rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, ...format }))

  it.each([
    ['itself', async () => 'M0', 0],
    ['parts above errors above delays above a passthru', () => stackOn('M0'), 32],
  ])('keeps blocks with their protection information, through %s', async (_name, make, offset) => {
    const name = await make()
    const context = contextOf(name)
    const bs = context.blockSizeBytes
    await using(name, async disk => {
      const { data, metadata } = blocks(context, 1, 4, 3)
      const md = metadata === undefined ? {} : { metadata }
      const sent = data.slice()
      await disk.write(data, 3 * bs, md)
      expect(data).toEqual(sent)
      const back = metadata === undefined ? {} : { metadata: new Uint8Array(metadata.length) }
      expect(await disk.read(3 * bs, 4 * bs, back)).toEqual(data)
      expect(back.metadata).toEqual(metadata)
      await disk.compare(data, 3 * bs, md)
      const again = blocks(context, 5, 1, 9)
      await disk.write(again.data, 9 * bs, again.metadata === undefined ? {} : { metadata: again.metadata })
      // A copy carries the reference tags of where it is.
      await disk.copy(12 * bs, 3 * bs, 3 * bs)
      await disk.copy(13 * bs, 12 * bs, 3 * bs)
      const copied = await disk.read(13 * bs, bs, metadata === undefined ? {} : { metadata: new Uint8Array(context.mdSizeBytes) })
      expect(copied.subarray(0, 512)).toEqual(data.subarray(0, 512))
      // What was never written, or zeroed, has checks off.
      for (const range of [0, 3]) {
        if (range === 3) await disk.writeZeroes(3 * bs, 4 * bs)
        const fresh = metadata === undefined ? {} : { metadata: new Uint8Array(4 * context.mdSizeBytes) }
        const zeroes = await disk.read((range === 3 ? 3 : 20) * bs, 4 * bs, fresh)
        if (metadata !== undefined) expect(zeroes.every(byte => byte === 0)).toBe(true)
        const tags = fresh.metadata ?? zeroes.subarray(bs - context.mdSizeBytes, bs)
        expect(tags.some(byte => byte === 0xff)).toBe(true)
      }
    })
    if (offset === 0) return
    // Below, reference tags count from the start of the disk.
    const base = await host.open('M0')
    const below = await base.read((offset + 9) * bs, bs, format.md_interleave ? {} : { metadata: new Uint8Array(context.mdSizeBytes) })
    expect(below.length).toBe(bs)
    await base.close()
  })

  it('refuses what does not fit its protection information, and keeps what it had', async () => {
    const context = contextOf('M0')
    const bs = context.blockSizeBytes
    await using('M0', async disk => {
      const good = blocks(context, 1, 2, 7)
      const md = good.metadata === undefined ? {} : { metadata: good.metadata }
      await disk.write(good.data, 7 * bs, md)
      const bad = good.data.slice()
      bad[bs + 5]! ^= 4
      await expect(disk.write(bad, 7 * bs, md)).rejects.toMatchObject({ code: 'EIO' })
      expect(log.filter(line => /^(error|warn)/.test(line))).toEqual([expect.stringContaining('protection information of block 8, error type 4')])
      const moved = disk.write(good.data, 8 * bs, md)
      if (refTags) await expect(moved).rejects.toMatchObject({ code: 'EIO' })
      else await moved
      const back = good.metadata === undefined ? {} : { metadata: new Uint8Array(good.metadata.length / 2) }
      expect(await disk.read(7 * bs, bs, back)).toEqual(good.data.subarray(0, bs))
    })
  })
})

describe('bdev_dif_insert_strip: a descriptor that hides metadata', () => {
  it.each([
    { md_size: 8 }, { md_size: 16 }, { md_size: 16, dif_is_head_of_md: true }, { md_size: 64, dif_type: 3 },
  ])('inserts and strips it, with %j', async params => {
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 512, md_interleave: true, dif_type: 1, ...params })
    const data = bytesFrom(3, 8 * 512)
    await using(async disk => {
      expect([disk.blockSizeBytes, disk.sizeBytes]).toEqual([512, 64 * 512])
      await disk.write(data, 4 * 512)
      expect(await disk.read(4 * 512, 8 * 512)).toEqual(data)
      await disk.compare(data, 4 * 512)
      await expect(disk.compare(data, 5 * 512)).rejects.toMatchObject({ code: 'EILSEQ' })
      await disk.writeZeroes(0, 512)
      expect(await disk.read(0, 512)).toEqual(new Uint8Array(512))
    })
    // Below lie whole blocks, with what a reader of them checks.
    const context = contextOf('M0')
    const whole = await host.open('M0')
    const raw = await whole.read(4 * context.blockSizeBytes, 8 * context.blockSizeBytes)
    await whole.close()
    context.initRefTag = 4
    expect(host.accel.dif.verify(context, iov(raw), 1, 8)).toBe(true)
    expect(raw.subarray(0, 512)).toEqual(data.subarray(0, 512))
  })

  async function using(body: (disk: BdevHandle) => Promise<void>): Promise<void> {
    const disk = await host.open('M0', { write: true, hideMetadata: true })
    try {
      await body(disk)
    } finally {
      await disk.close()
    }
  }

  it('open_ext_v2_test: shows blocks as if there were no metadata; cannot hide separate metadata', async () => {
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 512, md_size: 8, md_interleave: true, dif_type: 1 })
    await rpc('bdev_malloc_create', { name: 'M1', num_blocks: 64, block_size: 512, md_size: 8, dif_type: 1 })
    const onEvent = (): undefined => undefined
    const shown = host.openBdev('M0', { onEvent })
    const hidden = host.openBdev('M0', { onEvent, hideMetadata: true })
    const seen = ({ blockSizeBytes, mdSizeBytes, mdInterleave, difType, difCheckFlags }: typeof shown): unknown[] => [
      blockSizeBytes, mdSizeBytes, mdInterleave, difType, difCheckFlags,
    ]
    expect(seen(shown)).toEqual([520, 8, true, DifType.Type1, DifFlag.GuardCheck | DifFlag.ReftagCheck])
    expect(seen(hidden)).toEqual([512, 0, false, DifType.Disable, 0])
    shown.close()
    hidden.close()
    expect(() => host.openBdev('M1', { onEvent, hideMetadata: true })).toThrow(/M1.*separate/)
  })

  it.each([
    ['the data', 3, 0x82],
    ['the guard', 512, 0x82],
    ['the reference tag', 519, 0x84],
  ])('bdev_io_dif_error_status_test: a read of a block with a flipped bit in %s is a media error', async (_name, at, sc) => {
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 512, md_size: 8, md_interleave: true, dif_type: 1 })
    await using(disk => disk.write(bytesFrom(1, 512), 512))
    const { buf, off } = (host.bdevByName('M0')!.ctx as { buf: Uint8Array; off: number })
    buf[off + 520 + at]! ^= 1
    const into = new Uint8Array(512)
    const read = (hide: boolean) => submit('M0', hide, (channel, cb) => channel.readBlocks(hide ? into : new Uint8Array(520), 0, 1, 1, cb, null) as number)
    expect(await read(true)).toEqual([IoStatus.NvmeError, 2, sc])
    expect(into).toEqual(new Uint8Array(512))
    expect(await read(false)).toEqual([IoStatus.Failed, 0, 0])
  })
})

describe('a null bdev with protection information', () => {
  it('returns blocks that a reader accepts, and refuses those that do not fit', async () => {
    await rpc('bdev_null_create', { name: 'Null0', num_blocks: 64, block_size: 512, md_size: 8, dif_type: 1 })
    const context = contextOf('Null0')
    const disk = await host.open('Null0', { write: true })
    const raw = await disk.read(5 * 520, 2 * 520)
    context.initRefTag = 5
    expect(host.accel.dif.verify(context, iov(raw), 1, 2)).toBe(true)
    await disk.write(raw, 5 * 520)
    await expect(disk.write(raw, 6 * 520)).rejects.toMatchObject({ code: 'EIO' })
    await disk.close()
  })

  it.each([
    ['bdev_null_create', { dif_type: 1 }],
    ['bdev_null_create', { md_size: 8, dif_type: 1, dif_pi_format: 2 }],
    ['bdev_null_create', { md_size: 16, dif_type: 1, dif_pi_format: 1 }],
    ['bdev_malloc_create', { md_size: 8, dif_type: 1, dif_pi_format: 1 }],
    ['bdev_malloc_create', { md_size: 16, dif_type: 1, dif_pi_format: 3 }],
  ])('%s refuses %j with EINVAL', async (method, params) => {
    await expect(rpc(method, { name: 'X', num_blocks: 64, block_size: 512, ...params })).rejects.toMatchObject({ code: 'EINVAL' })
    expect(host.usage().dmaBytes).toBe(0)
  })
})

describe('separate metadata', () => {
  it('is refused where the bdev has none of its own', async () => {
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 512 })
    const disk = await host.open('M0', { write: true })
    await expect(disk.write(new Uint8Array(512), 0, { metadata: new Uint8Array(8) })).rejects.toMatchObject({ code: 'EINVAL' })
    await disk.close()
    await expect(submit('M0', false, (ch, cb) => ch.readBlocksWithMd(new Uint8Array(512), 0, new Uint8Array(8), 0, 0, 1, cb, null) as number)).rejects.toThrow('errno 22')
  })

  it('may be left out; a check may be left out, too', async () => {
    await rpc('bdev_malloc_create', { name: 'M0', num_blocks: 64, block_size: 512, md_size: 8, dif_type: 1 })
    const context = contextOf('M0')
    const { data, metadata } = blocks(context, 1, 1, 0)
    const write = (options: object) => submit('M0', false, (ch, cb) => ch.writevBlocksExt(iov(data), 1, 5, 1, cb, null, options) as number)
    expect(await write({ mdBuf: metadata })).toEqual([IoStatus.Failed, 0, 0])
    expect(await write({ mdBuf: metadata, difCheckFlagsExcludeMask: DifFlag.ReftagCheck })).toEqual([IoStatus.Success, 0, 0])
    expect(await write({})).toEqual([IoStatus.Success, 0, 0])
    const read = (options: object) => submit('M0', false, (ch, cb) => ch.readvBlocksExt(iov(new Uint8Array(512)), 1, 5, 1, cb, null, options) as number)
    const mdBuf = new Uint8Array(9)
    expect(await read({ mdBuf, mdOff: 1 })).toEqual([IoStatus.Failed, 0, 0])
    expect(await read({ mdBuf, mdOff: 1, difCheckFlagsExcludeMask: DifFlag.ReftagCheck })).toEqual([IoStatus.Success, 0, 0])
    expect(mdBuf.subarray(1)).toEqual(metadata)
    await expect(read({ mdBuf: new Uint8Array(8), mdOff: 1 })).rejects.toThrow('errno 22')
  })
})

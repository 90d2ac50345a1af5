// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType, type BdevHost, type BdevIo, type DescChannel } from '@bdevkit/module-sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import error from '../src/index.js'

const { Success, Aborted, Failed, NvmeError, AioError } = IoStatus
const BLOCK = 512
const GOLDEN_UUID = '4e9730ea-7492-59df-b57d-ce6272975178'

let host: Host
let own: BdevHost
let log: string[]
let data: Uint8Array
/** What the base was asked to do. */
let seen: number[]
/** I/O that the base holds, while `hold` is set. */
let held: BdevIo[]
let hold: boolean
let channel: DescChannel
let close: () => void

const bases = defineBdevModule({ name: 'bases', sdk: '0.1', setup: given => ((own = given), {}) })

function addBase(name = 'Base0', numBlocks = 1024, uuid?: string): void {
  const device = own.registerIoDevice({ name, createChannel: () => null })
  own.registerBdev<null, null, null>({
    name, ctx: null, productName: 'Base', blockSizeBytes: BLOCK, numBlocks, lendsReadBuffers: true, ...(uuid !== undefined && { uuid }),
    fn: {
      destruct: () => device.unregister(),
      ioTypeSupported: (_ctx, type) => type !== IoType.Invalid && type !== IoType.Compare && type !== IoType.Copy,
      getIoChannel: () => device.getIoChannel(),
      submitRequest(_channel, io) {
        seen.push(io.type)
        const at = io.offsetBlocks * BLOCK
        const lengthBytes = io.numBlocks * BLOCK
        if (io.type === IoType.Read && io.iovCnt === 0) io.lend(data, at, lengthBytes)
        else if (io.type === IoType.Read) own.accel.copyToIovs(io.iovs, io.iovCnt, data, at, lengthBytes)
        else if (io.type === IoType.Write) own.accel.copyFromIovs(data, at, io.iovs, io.iovCnt, lengthBytes)
        if (hold && io.type !== IoType.Reset) held.push(io)
        else io.complete(Success)
      },
    },
  })
}

async function call(method: string, params: object): Promise<unknown> {
  const handlers = host.modules.find(({ name }) => name === 'error')!.instance.handlers as Record<string, (p: object) => unknown>
  return handlers[method]!(params)
}

const inject = (params: object): Promise<unknown> => call('bdev_error_inject_error', { name: 'EE_Base0', ...params })
const setRules = (...rules: object[]): Promise<unknown> => call('bdev_error_set_rules', { name: 'EE_Base0', rules })
const getRules = async (): Promise<Record<string, unknown>[]> => (await call('bdev_error_get_rules', { name: 'EE_Base0' })) as Record<string, unknown>[]

interface Ended { status: number; sct: number; sc: number; errno: number; bytes: Uint8Array }

/** Submits; settles when it has ended. The argument of the I/O is the promise's own object, for ABORT. */
function submit(start: (cb: (io: BdevIo) => void, arg: object) => number, arg: object = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const rc = start(io => {
      const bytes = new Uint8Array(io.iovCnt === 0 ? 0 : io.iovs[0]!.len)
      if (bytes.length > 0) bytes.set(io.iovs[0]!.buf.subarray(io.iovs[0]!.off, io.iovs[0]!.off + bytes.length))
      resolve({ status: io.status, sct: io.nvmeSct, sc: io.nvmeSc, errno: io.aioErrno, bytes })
      io.free()
    }, arg)
    if (rc !== 0) reject(new Error(`refused with ${rc}`))
  })
}

const read = (lba = 0, n = 1, arg?: object): Promise<Ended> => submit((cb, a) => channel.readBlocks(new Uint8Array(n * BLOCK), 0, lba, n, cb, a), arg)
const write = (lba = 0, buf = new Uint8Array(BLOCK), arg?: object): Promise<Ended> =>
  submit((cb, a) => channel.writeBlocks(buf, 0, lba, buf.length / BLOCK, cb, a), arg)
const statuses = async (...ends: Promise<Ended>[]): Promise<number[]> => (await Promise.all(ends)).map(({ status }) => status)
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

function openTop(): void {
  const desc = host.openBdev('EE_Base0', { write: true, onEvent: () => close() })
  channel = desc.getIoChannel()!
  close = () => {
    close = () => {}
    channel.put()
    desc.close()
  }
}

beforeEach(async () => {
  log = []
  seen = []
  held = []
  hold = false
  data = new Uint8Array(1024 * BLOCK).fill(0x11)
  host = createHost({ log: (level, _source, message) => void log.push(`${level}: ${message}`) })
  host.use(error)
  host.use(bases)
  await host.init()
  addBase()
  await call('bdev_error_create', { base_name: 'Base0' })
  openTop()
})
afterEach(async () => {
  close()
  await host.finish()
  const errors = log.filter(line => line.startsWith('error'))
  if (errors.length > 0) throw new Error(`the host logged errors:\n${errors.join('\n')}`)
})

describe('injection', () => {
  it('fails as many I/Os of a type as asked, then none', async () => {
    await inject({ io_type: 'read', error_type: 'failure', num: 2 })
    expect(await statuses(read(), write(), read(), read())).toEqual([Failed, Success, Failed, Success])
    expect(seen).toEqual([IoType.Write, IoType.Read])
  })

  it('of all types hits read, write, unmap and flush, each as often; clear ends it', async () => {
    const all = (): Promise<number[]> => statuses(
      read(), write(),
      submit((cb, arg) => channel.unmapBlocks(0, 1, cb, arg)),
      submit((cb, arg) => channel.flushBlocks(0, 1, cb, arg)),
      submit((cb, arg) => channel.writeZeroesBlocks(0, 1, cb, arg)),
    )
    await inject({ io_type: 'all', error_type: 'failure', num: 5 })
    expect(await all()).toEqual([Failed, Failed, Failed, Failed, Success])
    await inject({ io_type: 'clear', error_type: 'failure' })
    expect(await all()).toEqual([Success, Success, Success, Success, Success])
  })

  it('answers with the NVMe status asked for', async () => {
    await inject({ io_type: 'read', error_type: 'nvme_failure', nvme_sct: 2, nvme_sc: 0x81 })
    expect(await read()).toMatchObject({ status: NvmeError, sct: 2, sc: 0x81 })
    expect(await read()).toMatchObject({ status: Success })
  })

  it('with nomem lets the framework try again until it passes', async () => {
    hold = true
    const other = write(5)
    await inject({ io_type: 'read', error_type: 'nomem', num: 3 })
    const refused = read()
    await turn()
    hold = false
    for (const io of held.splice(0)) io.complete(Success)
    expect(await statuses(other, refused)).toEqual([Success, Success])
  })

  it('hits only from the queue depth on', async () => {
    await inject({ io_type: 'write', error_type: 'failure', num: 10, queue_depth: 2 })
    hold = true
    const ends = [write(0), write(1), write(2), write(3)]
    await turn()
    for (const io of held.splice(0)) io.complete(Success)
    expect(await statuses(...ends)).toEqual([Success, Success, Failed, Failed])
  })

  it('corrupts one byte of what is read, never the base\'s data, also where memory is borrowed', async () => {
    await inject({ io_type: 'read', error_type: 'corrupt_data', corrupt_offset: 700, corrupt_value: 0xff, num: 2 })
    const wanted = new Uint8Array(2 * BLOCK).fill(0x11)
    wanted[700] = 0xee
    expect((await read(0, 2)).bytes).toEqual(wanted)
    const borrowed = await submit((cb, arg) => channel.readvBlocks([], 0, 0, 2, cb, arg))
    expect(borrowed.bytes).toEqual(wanted)
    expect(data.every(byte => byte === 0x11)).toBe(true)
    expect((await read(0, 2)).bytes[700]).toBe(0x11)
  })

  it('corrupts one byte of what is written at its offset, never the writer\'s buffer', async () => {
    await inject({ io_type: 'write', error_type: 'corrupt_data', corrupt_offset: 600, corrupt_value: 1 })
    const mine = new Uint8Array(2 * BLOCK).fill(0x40)
    expect(await statuses(write(4, mine))).toEqual([Success])
    expect(mine.every(byte => byte === 0x40)).toBe(true)
    expect(data[4 * BLOCK + 600]).toBe(0x41)
    expect(data.subarray(4 * BLOCK, 6 * BLOCK).filter(byte => byte !== 0x40).length).toBe(1)
    await inject({ io_type: 'write', error_type: 'corrupt_data', corrupt_offset: 5000, corrupt_value: 1 })
    await write(4, mine)
    expect(data.subarray(4 * BLOCK, 6 * BLOCK).every(byte => byte === 0x40)).toBe(true)
    expect(host.usage().dmaBytes).toBe(0)
  })

  it('holds I/O back until resume_pending sends it on', async () => {
    await inject({ io_type: 'read', error_type: 'pending', num: 5 })
    const parked = [read(), read(1)]
    await turn()
    expect(seen).toEqual([])
    expect(await call('bdev_error_resume_pending', { name: 'EE_Base0' })).toBe(true)
    expect(await statuses(...parked, read())).toEqual([Success, Success, Success])
  })

  it('RESET aborts what is held back and then resets the base; ABORT takes one out', async () => {
    await inject({ io_type: 'read', error_type: 'pending', num: 2 })
    const victim = {}
    const [first, second] = [read(0, 1, victim), read(1)]
    expect(await statuses(submit((cb, arg) => channel.abort(victim, cb, arg)), first)).toEqual([Success, Aborted])
    expect(await statuses(second, submit((cb, arg) => channel.reset(cb, arg)))).toEqual([Aborted, Success])
    expect(seen).toEqual([IoType.Reset])
  })

  it('a removal aborts what is held back and does not wait for it', async () => {
    await inject({ io_type: 'read', error_type: 'pending', num: 9 })
    const parked = read()
    await turn()
    await own.unregisterBdev('Base0')
    expect(await statuses(parked)).toEqual([Aborted])
    expect(host.bdevByName('EE_Base0')).toBeUndefined()
  })

  it('is refused with SPDK\'s codes', async () => {
    const bad = (params: object): Promise<unknown> => inject({ io_type: 'read', error_type: 'failure', ...params })
    await expect(bad({ error_type: 'corrupt_data' })).rejects.toMatchObject({ code: 'EINVAL' })
    const text = { rpcCode: -22, rpcMessage: 'nvme_sct or nvme_sc should be specified for NVMe error injection' }
    await expect(bad({ error_type: 'nvme_failure' })).rejects.toMatchObject(text)
    await expect(bad({ nvme_sc: 1 })).rejects.toMatchObject(text)
    await expect(bad({ name: 'nope' })).rejects.toMatchObject({ code: 'ENODEV' })
    await expect(bad({ name: 'Base0' })).rejects.toMatchObject({ code: 'ENODEV' })
    expect(await bad({ num: 0 })).toBe(true)
    await expect(call('bdev_error_resume_pending', { name: 'Base0' })).rejects.toMatchObject({ code: 'ENODEV' })
  })
})

describe('rules', () => {
  it('hit by range, with an errno, and count what they saw and hit', async () => {
    await setRules({ io_type: 'write', error_type: 'errno', errno: 'ENOSPC', offset_blocks: 10, num_blocks: 5 })
    expect(await statuses(write(9), read(10), write(15))).toEqual([Success, Success, Success])
    expect(await write(9, new Uint8Array(2 * BLOCK))).toMatchObject({ status: AioError, errno: -28 })
    expect(await write(14)).toMatchObject({ status: AioError, errno: -28 })
    expect(await getRules()).toMatchObject([{ io_type: 'write', errno: 'ENOSPC', active: true, seen: 2, hits: 2 }])
  })

  it('hit every nth, up to their count, and the first that hits decides', async () => {
    await setRules(
      { io_type: 'read', error_type: 'failure', every: 3, count: 2 },
      { io_type: 'read', error_type: 'nvme_failure', nvme_sct: 0, nvme_sc: 0x80, every: 2 },
    )
    const ends = []
    for (let i = 0; i < 9; i++) ends.push((await read()).status)
    expect(ends).toEqual([Success, NvmeError, Failed, Success, NvmeError, Failed, Success, NvmeError, Success])
    expect(await getRules()).toMatchObject([{ active: false, seen: 6, hits: 2 }, { active: true, seen: 7, hits: 3 }])
  })

  it('hit with a probability: the same I/Os for the same seed, each told in the log', async () => {
    const run = async (): Promise<number[]> => {
      await setRules({ io_type: 'read', error_type: 'failure', probability: 0.2, seed: 99 })
      const hits = []
      for (let i = 1; i <= 200; i++) if ((await read()).status === Failed) hits.push(i)
      return hits
    }
    const first = await run()
    expect(first.length).toBeGreaterThan(20)
    expect(first.length).toBeLessThan(60)
    expect(await run()).toEqual(first)
    const told = log.filter(line => line.startsWith('notice')).map(line => Number(/sequence (\d+), seed 99/.exec(line)?.[1]))
    expect(told.slice(0, first.length)).toEqual(first)
  })

  it('draw from a seed of their own where none is given, and say which', async () => {
    await setRules({ io_type: 'read', error_type: 'failure', probability: 0.5 })
    const [{ seed }] = (await getRules()) as [{ seed: number }]
    expect(host.configJson().find(({ method }) => method === 'bdev_error_set_rules')!.params).toEqual({
      name: 'EE_Base0', rules: [{ io_type: 'read', error_type: 'failure', probability: 0.5, seed }],
    })
  })

  it('make bad sectors that a write heals, one by one, and then nothing is watched any more', async () => {
    await setRules({ io_type: 'read', error_type: 'nvme_failure', nvme_sct: 2, nvme_sc: 0x81, offset_blocks: 100, num_blocks: 3, heal_on_write: true })
    expect(await statuses(read(99), read(100), read(98, 10))).toEqual([Success, NvmeError, NvmeError])
    expect(await statuses(write(100))).toEqual([Success])
    expect(await statuses(read(100), read(101), read(102))).toEqual([Success, NvmeError, NvmeError])
    expect(await getRules()).toMatchObject([{ bad_blocks: 2, active: true }])
    expect(await statuses(submit((cb, arg) => channel.writeZeroesBlocks(50, 200, cb, arg)))).toEqual([Success])
    expect(await statuses(read(98, 10))).toEqual([Success])
    expect(await getRules()).toMatchObject([{ bad_blocks: 0, active: false }])
  })

  it('a write that fails heals nothing', async () => {
    await setRules(
      { io_type: 'write', error_type: 'failure', count: 1 },
      { io_type: 'read', error_type: 'failure', offset_blocks: 0, num_blocks: 1, heal_on_write: true },
    )
    expect(await statuses(write(0))).toEqual([Failed])
    expect(await statuses(read(0))).toEqual([Failed])
  })

  it('end with an empty list', async () => {
    await setRules({ io_type: 'all', error_type: 'failure' })
    expect(await statuses(read())).toEqual([Failed])
    await setRules()
    expect(await statuses(read())).toEqual([Success])
    expect(await getRules()).toEqual([])
  })

  it.each([
    [{ error_type: 'errno' }, 'needs errno'],
    [{ error_type: 'failure', errno: 'EIO' }, 'nothing else has it'],
    [{ error_type: 'nvme_failure' }, 'needs nvme_sct or nvme_sc'],
    [{ error_type: 'corrupt_data' }, 'corrupt_value above 0'],
    [{ error_type: 'corrupt_data', corrupt_value: 1, io_type: 'flush' }, 'for reads and writes'],
    [{ error_type: 'failure', every: 2, probability: 0.5 }, 'exclude each other'],
    [{ error_type: 'failure', heal_on_write: true }, 'needs num_blocks'],
    [{ error_type: 'failure', heal_on_write: true, num_blocks: 2 ** 40 }, 'at most 16777216'],
  ])('are refused with EINVAL: %j', async (rule, text) => {
    await setRules({ io_type: 'read', error_type: 'failure' })
    await expect(setRules({ io_type: 'read', ...rule })).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringContaining(text) })
    expect(await getRules()).toHaveLength(1)
  })
})

describe('control plane', () => {
  it('shows and saves what SPDK does; the uuid parameter is kept and without effect', async () => {
    addBase('PT0p1', 16384, GOLDEN_UUID)
    const uuid = '5eed0000-0000-4000-8000-000000000012'
    expect(await call('bdev_error_create', { base_name: 'PT0p1', uuid })).toBe(true)
    const bdev = host.bdevByName('EE_PT0p1')!
    expect(bdev.uuid).toBe('00210360-730b-5063-8269-4428d3d189af')
    expect(bdevInfoJson(bdev)).toMatchObject({ product_name: 'Error Injection Disk', driver_specific: { error_disk: { base_bdev: 'PT0p1' } } })
    expect(host.configJson()).toContainEqual({ method: 'bdev_error_create', params: { base_name: 'PT0p1', uuid } })
    expect(bdev.ioTypeSupported(IoType.NvmeIo)).toBe(false)
  })

  it('waits for its base with its rules, and comes back with them', async () => {
    close()
    await own.unregisterBdev('Base0')
    await setRules({ io_type: 'read', error_type: 'failure' })
    addBase()
    await host.waitForExamine()
    openTop()
    expect(await statuses(read())).toEqual([Failed])
  })

  it('refuses with SPDK\'s codes', async () => {
    await expect(call('bdev_error_create', { base_name: 'Base0' })).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(call('bdev_error_delete', { name: 'nope' })).rejects.toMatchObject({ code: 'ENODEV' })
    await expect(call('bdev_error_delete', { name: 'Base0' })).rejects.toMatchObject({ code: 'ENODEV' })
    addBase('Other', 16)
    const writer = await host.open('Other', { write: true })
    await expect(call('bdev_error_create', { base_name: 'Other' })).rejects.toMatchObject({ code: 'EPERM' })
    await writer.close()
    expect(await call('bdev_error_create', { base_name: 'Other' })).toBe(true)
    await expect(call('bdev_error_get_rules', { name: 'Base0' })).rejects.toMatchObject({ code: 'ENODEV' })
  })

  it('corrupts data and leaves separate metadata as it is', async () => {
    const metadata: Uint8Array[] = []
    const device = own.registerIoDevice({ name: 'Md0', createChannel: () => null })
    own.registerBdev<null, null, null>({
      name: 'Md0', ctx: null, productName: 'Base', blockSizeBytes: BLOCK, numBlocks: 64, mdSizeBytes: 8,
      fn: {
        destruct: () => device.unregister(),
        ioTypeSupported: (_ctx, type) => type === IoType.Read || type === IoType.Write,
        getIoChannel: () => device.getIoChannel(),
        submitRequest(_channel, io) {
          if (io.type === IoType.Write) metadata.push(io.mdBuf!.slice(io.mdOff, io.mdOff + 8))
          io.complete(Success)
        },
      },
    })
    await call('bdev_error_create', { base_name: 'Md0' })
    await call('bdev_error_inject_error', { name: 'EE_Md0', io_type: 'write', error_type: 'corrupt_data', corrupt_value: 1 })
    const desc = host.openBdev('EE_Md0', { write: true, onEvent() {} })
    const top = desc.getIoChannel()!
    const md = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
    const ended = await submit((cb, arg) => top.writeBlocksWithMd(new Uint8Array(BLOCK), 0, md, 0, 3, 1, cb, arg))
    expect([ended.status, metadata]).toEqual([Success, [md]])
    top.put()
    desc.close()
  })

  it('has its parameters in its README', () => {
    expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(error))
  })
})

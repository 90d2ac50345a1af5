// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { DifFlag, DifType, IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, makeHost, openRw, startHost, submit } from './support/harness.js'

const BARE = [IoType.Read, IoType.Write, IoType.Abort, IoType.Reset]
const separate: FakeDiskOptions = { mdSizeBytes: 8 }
const interleaved: FakeDiskOptions = { mdSizeBytes: 8, mdInterleave: true, blockSizeBytes: 520 }

async function start(options: FakeDiskOptions, hostOptions = {}) {
  const module = new FakeModule()
  const test = await startHost([module, new RelayModule()], hostOptions)
  const disk = module.create('disk', options)
  await test.clock.settle()
  return { ...test, module, disk }
}

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

describe.each([['as it comes', {}], ['in strict mode', { strict: true }]])('separate metadata, %s', (_name, hostOptions) => {
  test('reaches the module with the blocks, from where the submitter has it', async () => {
    const { drain, disk, host } = await start(separate, hostOptions)
    const { channel, close } = openRw(host, 'disk')
    const wrote = submit((cb, r) => channel.writeBlocksWithMd(filled(1024, 1), 0, filled(20, 2), 4, 6, 2, cb, r))
    drain()
    expect([wrote.success, disk.md.subarray(6 * 8, 8 * 8), disk.md[5 * 8], disk.md[8 * 8]]).toEqual([true, filled(16, 2), 0, 0])
    const md = new Uint8Array(20)
    const got = submit((cb, r) => channel.readBlocksWithMd(new Uint8Array(1024), 0, md, 4, 6, 2, cb, r))
    drain()
    expect([got.success, md.subarray(4), md[0]]).toEqual([true, filled(16, 2), 0])
    // The next I/O of the same object brings none.
    let seen: BdevIo['mdBuf'] | undefined
    disk.submit = io => {
      seen = io.mdBuf
      io.complete(IoStatus.Success)
    }
    submit((cb, r) => channel.readBlocks(new Uint8Array(512), 0, 0, 1, cb, r))
    drain()
    expect(seen).toBe(null)
    close()
  })

  test('goes down through vbdevs, and comes up with memory that is lent', async () => {
    const module = new FakeModule()
    const relays = new RelayModule()
    const { drain, host } = await startHost([module, relays], hostOptions)
    const disk = module.create('disk', { ...separate, lendsReadBuffers: true })
    relays.create('mid', 'disk')
    relays.create('top', 'mid')
    const { channel, close } = openRw(host, 'top')
    submit((cb, r) => channel.writevBlocksWithMd([{ buf: filled(512, 3), off: 0, len: 512 }], 1, filled(8, 4), 0, 5, 1, cb, r))
    drain()
    expect(disk.md.subarray(40, 48)).toEqual(filled(8, 4))
    const borrowed = submit((cb, r) => channel.readvBlocks([], 0, 5, 1, cb, Object.assign(r, { keep: true })))
    drain()
    const io = borrowed.io!
    expect(io.mdBuf!.subarray(io.mdOff, io.mdOff + 8)).toEqual(filled(8, 4))
    io.free()
    close()
    expect(host.usage()).toMatchObject({ bdevIos: 0, iobufs: 0 })
  })

  test('bdev_io_alignment: is replaced by aligned memory with the data', async () => {
    const { drain, disk, host } = await start({ ...separate, requiredAlignmentBytes: 4096 }, hostOptions)
    disk.submit = io => io.getBuf(io.numBlocks * 512, (_ch, same, success) => {
      expect([success, same.mdOff % 4096, same.iovs[0]!.off % 4096]).toEqual([true, 0, 0])
      same.complete(disk.serve(same))
    })
    const { channel, close } = openRw(host, 'disk')
    submit((cb, r) => channel.writeBlocksWithMd(filled(1025, 1), 1, filled(17, 7), 1, 0, 2, cb, r))
    drain()
    const md = new Uint8Array(17)
    const got = submit((cb, r) => channel.readBlocksWithMd(new Uint8Array(1025), 1, md, 1, 0, 2, cb, r))
    drain()
    expect([got.success, md.subarray(1)]).toEqual([true, filled(16, 7)])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0 })
  })

  test('bdev_io_ext_split: goes with the pieces of a split I/O', async () => {
    const { drain, disk, host } = await start({ ...separate, maxRwSizeBlocks: 3, lendsReadBuffers: true }, hostOptions)
    const { channel, close } = openRw(host, 'disk')
    const md = Uint8Array.from({ length: 8 * 8 + 3 }, (_, i) => i)
    submit((cb, r) => channel.writeBlocksWithMd(filled(8 * 512, 1), 0, md, 3, 10, 8, cb, r))
    drain()
    expect([disk.seen, disk.md.subarray(80, 144)]).toEqual([['write 10+3', 'write 13+3', 'write 16+2'], md.subarray(3)])
    const back = new Uint8Array(64)
    submit((cb, r) => channel.readBlocksWithMd(new Uint8Array(8 * 512), 0, back, 0, 10, 8, cb, r))
    drain()
    expect(back).toEqual(md.subarray(3))
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('bdev_compare_emulated: is compared, block by block to the last', async () => {
    const { drain, disk, host } = await start({ ...separate, types: BARE, numBlocks: 4096 }, hostOptions)
    disk.md.fill(9)
    const { channel, close } = openRw(host, 'disk')
    const md = filled(2000 * 8, 9)
    const iovs = [{ buf: new Uint8Array(2000 * 512), off: 0, len: 2000 * 512 }]
    const compare = () => submit((cb, r) => channel.comparevBlocksWithMd(iovs, 1, md, 0, 0, 2000, cb, r))
    const same = compare()
    drain()
    md[1999 * 8 + 7] = 1
    const different = compare()
    drain()
    expect([same.status, different.status]).toEqual([IoStatus.Success, IoStatus.Miscompare])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('bdev_write_zeroes: is zeroed with the data', async () => {
    const { drain, disk, host } = await start({ ...separate, types: BARE, numBlocks: 8000 }, hostOptions)
    disk.md.fill(9)
    const { channel, close } = openRw(host, 'disk')
    const zeroed = submit((cb, r) => channel.writeZeroesBlocks(1, 5000, cb, r))
    drain()
    expect([zeroed.success, disk.md[7], disk.md.subarray(8, 5001 * 8).every(byte => byte === 0), disk.md[5001 * 8]]).toEqual([true, 9, true, 9])
    close()
  })
})

describe('hidden metadata', () => {
  const protectedDisk: FakeDiskOptions = {
    ...interleaved, difType: DifType.Type1, difCheckFlags: DifFlag.GuardCheck | DifFlag.ReftagCheck, numBlocks: 4096,
  }

  function openHidden(host: Parameters<typeof openRw>[0]) {
    const desc = host.openBdev('disk', { write: true, hideMetadata: true, owner: 'test', onEvent: () => undefined })
    const channel = desc.getIoChannel()!
    return { channel, close: () => (channel.put(), desc.close()) }
  }

  test('bdev_write_zeroes, bdev_compare_emulated: what is made of other I/O is made of data', async () => {
    const { drain, disk, host } = await start({ ...protectedDisk, types: BARE })
    const { channel, close } = openHidden(host)
    const zeroed = submit((cb, r) => channel.writeZeroesBlocks(0, 4096, cb, r))
    drain()
    expect(zeroed.success).toBe(true)
    // Block 300 carries its own number.
    expect([...disk.data.subarray(300 * 520 + 512, 301 * 520)]).toEqual([0, 0, 0, 0, 0, 0, 1, 44])
    const iovs = (value: number) => [{ buf: filled(2000 * 512, value), off: 0, len: 2000 * 512 }]
    const compare = (value: number) => submit((cb, r) => channel.comparevBlocks(iovs(value), 1, 7, 2000, cb, r))
    const [same, different] = [compare(0), compare(1)]
    drain()
    expect([same.status, different.status]).toEqual([IoStatus.Success, IoStatus.Miscompare])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('an I/O that is split has metadata inserted and stripped piece by piece', async () => {
    const { drain, disk, host } = await start({ ...protectedDisk, maxRwSizeBlocks: 3, maxNumSegments: 3 })
    const { channel, close } = openHidden(host)
    const iovs = [700, 700, 1, 2000, 695].map((len, i) => ({ buf: filled(len, i + 1), off: 0, len }))
    const wrote = submit((cb, r) => channel.writevBlocks(iovs, 5, 300, 8, cb, r))
    drain()
    const data = Buffer.concat(iovs.map(({ buf }) => buf))
    expect([wrote.success, disk.data.subarray(307 * 520, 307 * 520 + 512)]).toEqual([true, new Uint8Array(data.subarray(7 * 512))])
    expect([...disk.data.subarray(307 * 520 + 516, 308 * 520)]).toEqual([0, 0, 1, 51])
    const into = new Uint8Array(8 * 512)
    const got = submit((cb, r) => channel.readBlocks(into, 0, 300, 8, cb, r))
    drain()
    expect([got.success, Buffer.compare(into, data)]).toEqual([true, 0])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('[open_ext_v2_test] a descriptor shows blocks as if there were no metadata; separate metadata cannot be hidden', async () => {
    const { host, module, clock } = await start(protectedDisk)
    const { desc } = openRw(host, 'disk')
    const { channel, close } = openHidden(host)
    const seen = (d: typeof desc): unknown[] => [d.blockSizeBytes, d.mdSizeBytes, d.mdInterleave, d.difType, d.difCheckFlags]
    expect(seen(desc)).toEqual([520, 8, true, DifType.Type1, DifFlag.GuardCheck | DifFlag.ReftagCheck])
    expect(seen(channel.desc as typeof desc)).toEqual([512, 0, false, DifType.Disable, 0])
    close()
    module.create('apart', separate)
    await clock.settle()
    expect(() => host.openBdev('apart', { hideMetadata: true, onEvent: () => undefined })).toThrow(/"apart".*its metadata is separate/)
    expect(host.bdevByName('apart')!.descs).toEqual([])
  })

  test.each([['guard', 512, 0x82], ['reference tag', 519, 0x84]])('[bdev_io_dif_error_status_test] a wrong %s is a media error', async (_name, at, sc) => {
    const { drain, disk, host } = await start(protectedDisk)
    const { channel, close } = openHidden(host)
    submit((cb, r) => channel.writeBlocks(filled(512, 5), 0, 1, 1, cb, r))
    disk.data[520 + at]! ^= 1
    const into = new Uint8Array(512)
    const got = submit((cb, r) => channel.readBlocks(into, 0, 1, 1, cb, Object.assign(r, { keep: true })))
    drain()
    expect([got.status, got.io!.nvmeSct, got.io!.nvmeSc, into]).toEqual([IoStatus.NvmeError, 2, sc, new Uint8Array(512)])
    expect(Object.values(host.bdevByName('disk')!.ioErrors).filter(count => count > 0)).toEqual([1])
    got.io!.free()
    close()
  })

  test('a native COMPARE is not given data for blocks', async () => {
    const { drain, disk, host } = await start(protectedDisk)
    const { channel, close } = openHidden(host)
    submit((cb, r) => channel.writeBlocks(filled(512, 5), 0, 3, 1, cb, r))
    const same = submit((cb, r) => channel.comparevBlocks([{ buf: filled(512, 5), off: 0, len: 512 }], 1, 3, 1, cb, r))
    drain()
    expect([same.status, disk.seen]).toEqual([IoStatus.Success, ['write 3+1', 'read 3+1']])
    close()
  })

  test.each([[false], [true]])('is submitted again after NOMEM, in a stack of pieces, with buffers that must be aligned, strict: %s', async strict => {
    const { drain, disk, host, clock } = await start({ ...protectedDisk, requiredAlignmentBytes: 512, hold: true }, { strict })
    const { channel, close } = openHidden(host)
    const iovs = [{ buf: filled(100, 1), off: 0, len: 100 }, { buf: filled(924, 2), off: 0, len: 924 }]
    const wrote = submit((cb, r) => channel.writevBlocks(iovs, 2, 8, 2, cb, r))
    disk.held[0]!.complete(IoStatus.Nomem)
    disk.held.length = 0
    await clock.advance(20)
    disk.complete()
    drain()
    expect([wrote.success, disk.data[8 * 520 + 99], disk.data[8 * 520 + 100], disk.data[9 * 520]]).toEqual([true, 1, 2, 2])
    const into = [{ buf: new Uint8Array(1000), off: 0, len: 1000 }, { buf: new Uint8Array(24), off: 0, len: 24 }]
    const got = submit((cb, r) => channel.readvBlocks(into, 2, 8, 2, cb, r))
    disk.complete()
    drain()
    expect([got.success, into[0]!.buf[99], into[0]!.buf[100], into[1]!.buf[23]]).toEqual([true, 1, 2, 2])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('bdev_io_iobuf_wait_abort: waits for a buffer; ABORT and RESET end the wait', async () => {
    const module = new FakeModule()
    const { drain, host } = makeHost([module])
    host.iobuf.setOptions({ smallPoolCount: 64, largePoolCount: 8 })
    await host.init()
    const disk = module.create('disk', { ...protectedDisk, hold: true })
    const { channel, close } = openHidden(host)
    const reads = Array.from({ length: 200 }, () => submit((cb, r) => channel.readBlocks(new Uint8Array(512), 0, 0, 1, cb, r)))
    expect(disk.held.length).toBeLessThan(100)
    const aborted = submit((cb, r) => channel.abort(reads[199]!, cb, r))
    drain()
    expect([aborted.success, reads[199]!.status]).toEqual([true, IoStatus.Aborted])
    const reset = submit((cb, r) => channel.reset(cb, r))
    drain()
    disk.completeAll(IoStatus.Aborted)
    drain()
    expect([reset.done, reads.every(({ calls }) => calls === 1)]).toEqual([true, true])
    close()
    expect(host.usage()).toMatchObject({ iobufs: 0, bdevIos: 0 })
  })

  test('parts that remap tags below do not wait for the buffers that wait for them', async () => {
    const module = new FakeModule()
    const cutter = new FakeModule('cutter')
    const { drain, host, clock } = makeHost([module, cutter])
    host.iobuf.setOptions({ smallPoolCount: 64, largePoolCount: 8 })
    await host.init()
    const disk = module.create('disk', protectedDisk)
    const base = cutter.host.openPartBase('disk')
    base.createPart({ name: 'part', offsetBlocks: 100, numBlocks: 1000, productName: 'part', ctx: null })
    await clock.settle()
    const desc = host.openBdev('part', { write: true, hideMetadata: true, owner: 'test', onEvent: () => undefined })
    const channel = desc.getIoChannel()!
    disk.hold = true
    const writes = Array.from({ length: 200 }, (_, i) => submit((cb, r) => channel.writeBlocks(filled(512, 1), 0, i, 1, cb, r)))
    for (let i = 0; i < 20; i++) {
      disk.completeAll()
      drain()
    }
    expect(writes.filter(({ success }) => success).length).toBe(200)
    expect([...disk.data.subarray(250 * 520 + 516, 251 * 520)]).toEqual([0, 0, 0, 250])
    channel.put()
    desc.close()
    expect(host.usage()).toMatchObject({ iobufs: 0, iobufWaiters: 0, bdevIos: 0, dmaBytes: 0 })
  })

  test('with checks that are off, a read is stripped and nothing else', async () => {
    const { drain, host } = await start(interleaved)
    const { channel, close } = openHidden(host)
    submit((cb, r) => channel.writeBlocks(filled(512, 5), 0, 1, 1, cb, r))
    const into = new Uint8Array(512)
    const got = submit((cb, r) => channel.readBlocks(into, 0, 1, 1, cb, r))
    drain()
    expect([got.success, into]).toEqual([true, filled(512, 5)])
    expect(submit((cb, r) => channel.readBlocks(new Uint8Array(520), 0, 1, 1, cb, r)).rc).toBe(0)
    expect(submit((cb, r) => channel.readBlocks(new Uint8Array(511), 0, 1, 1, cb, r)).rc).toBe(-22)
    drain()
    close()
  })
})

describe('bdev_io_init_dif_ctx_test: registration', () => {
  test.each([
    ['negative metadata', { mdSizeBytes: -1 }, 'mdSizeBytes'],
    ['no room for data', { mdSizeBytes: 512, mdInterleave: true }, 'leave room for data'],
    ['protection information without metadata', { difType: 1 }, 'hold protection information'],
    ['an unknown type', { mdSizeBytes: 8, difType: 4 }, 'difType'],
    ['metadata that is too small', { mdSizeBytes: 4, difType: 1 }, 'at least 8 bytes, found 4'],
    ['an unknown format', { mdSizeBytes: 16, difType: 1, difPiFormat: 3 }, 'difPiFormat'],
    ['small blocks with a long guard', { mdSizeBytes: 16, difType: 1, difPiFormat: 1 }, 'multiple of 4096 bytes, found 512'],
  ])('refuses %s', async (_name, options, message) => {
    const { module } = await start({})
    expect(() => module.create('bad', options)).toThrow(message)
    expect(await codeOf(() => module.create('bad', options))).toBe('EINVAL')
  })

  test('tells what it knows', async () => {
    const { disk } = await start({ ...interleaved, difType: DifType.Type2, difIsHeadOfMd: true, difCheckFlags: DifFlag.GuardCheck })
    expect(disk.bdev).toMatchObject({ dataBlockSizeBytes: 512, physBlockSizeBytes: 512, mdSizeBytes: 8, mdInterleave: true })
    expect(disk.bdev.geometry()).toMatchObject({
      mdSizeBytes: 8, mdInterleave: true, difType: 2, difIsHeadOfMd: true, difPiFormat: 0, difCheckFlags: DifFlag.GuardCheck,
    })
    const { disk: plain } = await start({ mdInterleave: true, difIsHeadOfMd: true })
    expect(plain.bdev).toMatchObject({ dataBlockSizeBytes: 512, mdSizeBytes: 0, mdInterleave: false, difIsHeadOfMd: false })
  })
})

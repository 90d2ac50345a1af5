// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import { bdevInfoJson, bdevStat, ioErrorJson, statJson } from '../src/index.js'
import { clearStat } from '../src/stat/io-stat.js'
import { ALL_TYPES, FakeModule, RelayModule } from './support/fake-bdev.js'
import { iovsOf, on, openRw, read, startHost, submit, write } from './support/harness.js'

async function setup() {
  const fake = new FakeModule()
  const relay = new RelayModule()
  const test = await startHost([fake, relay])
  const disk = fake.create('disk')
  const plain = fake.create('plain')
  relay.create('top', 'disk')
  await test.clock.settle()
  const stat = (name: string) => statJson(bdevStat(test.host.bdevByName(name)!))
  return { ...test, fake, disk, plain, stat }
}

describe('statistics', () => {
  it('count reads, writes and unmaps that succeeded, in operations and bytes; nothing else', async () => {
    const { host, drain, stat } = await setup()
    const { channel } = openRw(host, 'top')
    write(channel, 0, 4)
    write(channel, 0, 1)
    read(channel, 0, 8)
    submit((cb, r) => channel.unmapBlocks(0, 16, cb, r))
    submit((cb, r) => channel.flushBlocks(0, 16, cb, r))
    submit((cb, r) => channel.writeZeroesBlocks(0, 16, cb, r))
    submit((cb, r) => channel.comparevBlocks(iovsOf(512), 1, 0, 1, cb, r))
    submit((cb, r) => channel.reset(cb, r))
    drain()
    for (const name of ['top', 'disk']) {
      expect(stat(name)).toMatchObject({
        bytes_read: 4096,
        num_read_ops: 1,
        bytes_written: 2560,
        num_write_ops: 2,
        bytes_unmapped: 8192,
        num_unmap_ops: 1,
        bytes_copied: 0,
        num_copy_ops: 0,
      })
    }
  })

  it('count failures by their status, on every layer, and not as operations', async () => {
    const { host, drain, disk, stat } = await setup()
    const { channel } = openRw(host, 'top')
    for (const status of [IoStatus.Failed, IoStatus.Failed, IoStatus.Miscompare, IoStatus.Aborted, -99]) {
      disk.answers.push(status)
      write(channel, 0, 1)
    }
    disk.submit = io => io.completeAio(-5)
    write(channel, 0, 1)
    disk.submit = io => io.completeNvme(0, 2, 1)
    write(channel, 0, 1)
    disk.submit = io => io.completeScsi(2, 3, 1, 1)
    write(channel, 0, 1)
    drain()
    for (const name of ['top', 'disk']) {
      expect(ioErrorJson(host.bdevByName(name)!)).toEqual({
        failed: 2,
        nvme_error: 1,
        scsi_error: 1,
        miscompare: 1,
        aborted: 1,
        aio_error: 1,
      })
      expect(stat(name).num_write_ops).toBe(0)
    }
  })

  it('leave out what never reaches the module: I/O of no blocks', async () => {
    const { host, clock, drain, stat } = await setup()
    const { channel } = openRw(host, 'plain')
    await clock.advance(500)
    for (let i = 0; i < 3; i++) {
      read(channel, 0, 0)
      submit((cb, r) => channel.unmapBlocks(0, 0, cb, r))
    }
    drain()
    expect(stat('plain')).toMatchObject({
      num_read_ops: 0,
      num_unmap_ops: 0,
      max_read_latency_ticks: 0,
      max_unmap_latency_ticks: 0,
    })
  })

  it('take latency in nanoseconds, with largest and smallest', async () => {
    const { host, clock, plain, stat } = await setup()
    plain.hold = true
    const { channel } = openRw(host, 'plain')
    for (const ms of [30, 10, 20]) {
      on(host.appThread, () => read(channel, 0, 1))
      await clock.advance(ms)
      on(host.appThread, () => plain.complete())
    }
    expect(stat('plain')).toMatchObject({
      read_latency_ticks: 60e6,
      max_read_latency_ticks: 30e6,
      min_read_latency_ticks: 10e6,
      max_write_latency_ticks: 0,
      min_write_latency_ticks: 0,
    })
  })

  it('do not take idle time for latency: what enters by the thread reads the clock', async () => {
    const { host, clock, stat } = await setup()
    const { channel } = openRw(host, 'plain')
    await clock.advance(60_000)
    on(host.appThread, () => read(channel, 0, 1))
    expect(stat('plain').max_read_latency_ticks).toBe(0)
  })

  it('add up over threads, and stay when the channel goes', async () => {
    const { host, clock, stat } = await setup()
    const threads = [host.appThread, host.createThread('one'), host.createThread('two')]
    const opened = threads.map(thread => on(thread, () => openRw(host, 'plain')))
    threads.forEach((thread, i) => on(thread, () => void write(opened[i]!.channel, 0, i + 1)))
    await clock.settle()
    expect(stat('plain')).toMatchObject({ num_write_ops: 3, bytes_written: 6 * 512 })
    threads.forEach((thread, i) => on(thread, () => opened[i]!.close()))
    await clock.settle()
    expect(host.usage().channels).toBe(0)
    expect(stat('plain')).toMatchObject({ num_write_ops: 3, bytes_written: 6 * 512 })
  })

  it('are set back as a whole, or by their extremes alone', async () => {
    const { host, clock, plain } = await setup()
    plain.hold = true
    const { channel } = openRw(host, 'plain')
    on(host.appThread, () => read(channel, 0, 1))
    await clock.advance(10)
    on(host.appThread, () => plain.complete())
    const stat = bdevStat(host.bdevByName('plain')!)
    clearStat(stat, 'maxmin')
    expect(statJson(stat)).toMatchObject({
      num_read_ops: 1,
      read_latency_ticks: 10e6,
      max_read_latency_ticks: 0,
      min_read_latency_ticks: 0,
    })
    clearStat(stat)
    expect(statJson(stat)).toMatchObject({ num_read_ops: 0, bytes_read: 0, read_latency_ticks: 0 })
  })
})

describe('the description of a bdev', () => {
  it('has the claim, the types and what the module adds', async () => {
    const { host, fake } = await setup()
    const info = bdevInfoJson(host.bdevByName('disk')!)
    expect(info).toMatchObject({
      name: 'disk',
      block_size: 512,
      num_blocks: 1024,
      claimed: true,
      claim_type: 'exclusive_write',
      zoned: false,
      driver_specific: {},
    })
    const types = info.supported_io_types as Record<string, boolean>
    expect(Object.keys(types).length).toBe(22)
    expect(Object.values(types).filter(Boolean).length).toBe(ALL_TYPES.length)
    expect([types.read, types.zcopy]).toEqual([true, false])
    expect(bdevInfoJson(host.bdevByName('top')!)).not.toHaveProperty('claim_type')
    void fake
  })

  it('survives a module that throws or answers with a promise, which is named', async () => {
    const { host, fake, clock, lines } = await setup()
    const device = fake.host.registerIoDevice({ name: 'd', createChannel: () => null })
    const register = (name: string, answer: () => never): void => {
      fake.host.registerBdev({
        name,
        numBlocks: 1,
        blockSizeBytes: 512,
        productName: 'x',
        ctx: {},
        fn: {
          destruct() {},
          submitRequest() {},
          ioTypeSupported: (_, type) => type === IoType.Write,
          getIoChannel: () => device.getIoChannel(),
          dumpInfoJson: answer,
          writeConfigJson: answer,
          getModuleCtx: answer,
        },
      })
    }
    register('throws', () => {
      throw new Error('no info')
    })
    register('promises', (async () => {
      throw new Error('late info')
    }) as never)
    for (const name of ['throws', 'promises']) {
      expect(bdevInfoJson(host.bdevByName(name)!).driver_specific).toEqual({})
      const desc = host.openBdev(name, { onEvent: () => {} })
      expect(desc.getModuleCtx()).toBe(undefined)
      desc.close()
    }
    expect(host.configJson().map(call => call.method)).toEqual(['bdev_set_options', 'bdev_wait_for_examine'])
    await clock.settle()
    const errors = lines('error').join('\n')
    for (const hook of ['dumpInfoJson', 'writeConfigJson', 'getModuleCtx']) {
      expect(errors).toContain(`${hook} of module "fake" for bdev "throws" threw: Error: no info`)
      expect(errors).toContain(
        `${hook} of module "fake" for bdev "promises" threw: BdevError: wanted a plain answer, found a promise`,
      )
    }
    expect(errors).toContain('late info')
  })
})

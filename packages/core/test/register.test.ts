// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoType, type BdevSpec } from '@bdevkit/module-sdk'
import { FakeModule, type FakeDiskOptions } from './support/fake-bdev.js'
import { codeOf, openRw, startHost, submit, write } from './support/harness.js'

const UUID = 'a1b2c3d4-0000-4000-8000-00000000abcd'
const MAX = Number.MAX_SAFE_INTEGER

async function setup() {
  const fake = new FakeModule()
  return { ...(await startHost([fake])), fake }
}

/** Code and message of a refused registration. */
function refusal(fake: FakeModule, options: FakeDiskOptions, name = 'disk'): string {
  try {
    fake.create(name, options)
  } catch (thrown) {
    const { code, message } = thrown as { code: string; message: string }
    return `${code}: ${message}`
  }
  return 'registered'
}

describe('registration is refused', () => {
  const bad: [what: string, options: Partial<BdevSpec>, says: string][] = [
    ['an empty name', { name: '' }, 'EINVAL: register of bdev "" by module "fake": wanted name to be a non-empty string'],
    ['a name that is no string', { name: 7 as never }, 'wanted name to be a non-empty string, found 7'],
    [
      'a block size of 0',
      { blockSizeBytes: 0 },
      'EINVAL: register of bdev "disk" by module "fake": wanted blockSizeBytes to be a positive integer, found 0',
    ],
    ['a negative block size', { blockSizeBytes: -512 }, 'wanted blockSizeBytes to be a positive integer, found -512'],
    ['a block size that is no integer', { blockSizeBytes: 0.5 }, 'wanted blockSizeBytes to be a positive integer, found 0.5'],
    ['no number of blocks', { numBlocks: NaN }, 'wanted numBlocks to be an integer from 0 to 2^53-1, found NaN'],
    ['a negative number of blocks', { numBlocks: -1 }, 'wanted numBlocks to be an integer from 0 to 2^53-1, found -1'],
    ['more than 2^53-1 blocks', { numBlocks: MAX + 1, blockSizeBytes: 1 }, 'wanted numBlocks to be an integer from 0 to 2^53-1'],
    [
      'more than 2^53-1 bytes',
      { numBlocks: 2 ** 44, blockSizeBytes: 512 },
      'wanted numBlocks * blockSizeBytes to be at most 2^53-1',
    ],
    [
      'an alignment that is no power of two',
      { requiredAlignmentBytes: 48 },
      'wanted requiredAlignmentBytes to be a power of two up to 65536, found 48',
    ],
    [
      'an alignment that is too large',
      { requiredAlignmentBytes: 131_072 },
      'wanted requiredAlignmentBytes to be a power of two up to 65536, found 131072',
    ],
    [
      'a text that is no UUID',
      { uuid: 'not-a-uuid' },
      'EINVAL: register of bdev "disk": wanted uuid to be a UUID, found "not-a-uuid"',
    ],
    [
      'an empty alias',
      { aliases: ['fine', ''] },
      'EINVAL: register of bdev "disk": wanted aliases to be non-empty strings, found ""',
    ],
    ['an alias equal to its own name', { aliases: ['disk'] }, 'EEXIST'],
  ]
  for (const [what, options, says] of bad) {
    it(`for ${what}`, async () => {
      const { host, fake } = await setup()
      expect(refusal(fake, options)).toContain(says)
      expect(host.bdevs.length).toBe(0)
      expect(refusal(fake, { uuid: UUID, aliases: ['fine'] })).toBe('registered')
    })
  }

  for (const entry of ['destruct', 'submitRequest', 'ioTypeSupported', 'getIoChannel'] as const) {
    it(`for a function table without ${entry}`, async () => {
      const { host, fake } = await setup()
      const fn = { destruct() {}, submitRequest() {}, ioTypeSupported: () => true, getIoChannel: () => null, [entry]: undefined }
      const register = (): void =>
        void fake.host.registerBdev({
          name: 'disk',
          numBlocks: 1,
          blockSizeBytes: 512,
          productName: 'x',
          ctx: {},
          fn: fn as never,
        })
      expect(await codeOf(register)).toBe('EINVAL')
      expect(register).toThrow(`wanted fn.${entry} to be a function, found undefined`)
      expect(host.bdevs.length).toBe(0)
    })
  }

  it('for an ioTypeSupported that does not answer true or false, by name of the module and the type', async () => {
    const { fake } = await setup()
    const fn = {
      destruct() {},
      submitRequest() {},
      ioTypeSupported: (_: unknown, type: number) => (type === IoType.Write ? undefined : true),
      getIoChannel: () => null,
    }
    expect(() =>
      fake.host.registerBdev({ name: 'disk', numBlocks: 1, blockSizeBytes: 512, productName: 'x', ctx: {}, fn: fn as never }),
    ).toThrow('ioTypeSupported of module "fake" for bdev "disk", type write: wanted true or false, found undefined')
  })

  it('for a name, an alias or a UUID that any bdev has, naming the holder', async () => {
    const { fake } = await setup()
    fake.create('first', { aliases: ['nick'], uuid: UUID })
    const cases: [FakeDiskOptions, string][] = [
      [{ name: 'first' }, 'first'],
      [{ name: 'nick' }, 'nick'],
      [{ name: UUID }, UUID],
      [{ aliases: ['first'] }, 'first'],
      [{ aliases: ['x', 'nick'] }, 'nick'],
      [{ uuid: UUID.toUpperCase() }, UUID],
    ]
    for (const [options, taken] of cases) {
      expect(refusal(fake, options)).toContain(`the name "${taken}" belongs to bdev "first" of module "fake"; choose another`)
      expect(refusal(fake, options)).toMatch(/^EEXIST/)
    }
    expect(refusal(fake, { aliases: ['x'] })).toBe('registered')
  })
})

describe('a registered bdev', () => {
  it('may have as many bytes as a number can count, and is addressed to its last block', async () => {
    const { host, fake, drain } = await setup()
    const disk = fake.create('huge', { numBlocks: MAX, blockSizeBytes: 1, hold: true })
    const opened = openRw(host, 'huge')
    const last = submit((cb, result) => opened.channel.unmapBlocks(MAX - 1, 1, cb, result))
    const beyond = submit((cb, result) => opened.channel.unmapBlocks(MAX - 1, 2, cb, result))
    const around = submit((cb, result) => opened.channel.unmapBlocks(MAX, MAX, cb, result))
    expect([last.rc, beyond.rc, around.rc]).toEqual([0, -22, -22])
    disk.completeAll(1)
    drain()
    expect(last.success).toBe(true)
    opened.close()
  })

  it('is found by name, alias and UUID, and its UUID is an alias in lower case', async () => {
    const { host, fake } = await setup()
    fake.create('disk', { aliases: ['nick'], uuid: UUID.toUpperCase() })
    for (const name of ['disk', 'nick', UUID]) expect(host.bdevByName(name)?.name).toBe('disk')
    expect(host.bdevByName('disk')!.aliases).toEqual([UUID, 'nick'])
  })

  it('gets a random UUID where it brings none', async () => {
    const { fake } = await setup()
    const uuids = ['a', 'b'].map(name => fake.create(name).bdev.uuid)
    for (const uuid of uuids) expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(uuids[0]).not.toBe(uuids[1])
  })

  it('may carry its UUID as its name', async () => {
    const { host, fake } = await setup()
    fake.create(UUID, { uuid: UUID })
    expect(host.bdevByName(UUID)!.aliases).toEqual([])
  })

  it('is asked for each I/O type once, at registration, and never about types younger than its module', async () => {
    const { host, fake, drain } = await setup()
    const asked: number[] = []
    const device = fake.host.registerIoDevice({ name: 'd', createChannel: () => null })
    const fn = {
      destruct() {},
      submitRequest: (_: unknown, io: { complete(status: number): void }) => io.complete(1),
      ioTypeSupported: (_: unknown, type: number) => (asked.push(type), type === IoType.Write),
      getIoChannel: () => device.getIoChannel(),
    }
    fake.host.registerBdev({ name: 'disk', numBlocks: 8, blockSizeBytes: 512, productName: 'x', ctx: {}, fn: fn as never })
    expect(asked).toEqual(Array.from({ length: 22 }, (_, i) => i + 1))
    const opened = openRw(host, 'disk')
    write(opened.channel, 0, 1)
    drain()
    expect(asked.length).toBe(22)
    opened.close()
  })

  it('reports WRITE_ZEROES where it can write, and unknown types as unsupported', async () => {
    const { fake } = await setup()
    const { bdev } = fake.create('disk', { types: [IoType.Read, IoType.Write] })
    expect(
      [IoType.Read, IoType.WriteZeroes, IoType.Unmap, IoType.Compare, 0, 31, 32, 33, -1, NaN].map(type =>
        bdev.ioTypeSupported(type),
      ),
    ).toEqual([true, true, false, false, false, false, false, false, false, false])
  })
})

describe('aliases', () => {
  it('are added and removed; an empty, a taken and an absent one are refused', async () => {
    const { host, fake } = await setup()
    fake.create('disk', { uuid: UUID })
    fake.create('other')
    const disk = host.bdevByName('disk')!
    host.registry.addAlias(disk, 'nick')
    expect(host.bdevByName('nick')?.name).toBe('disk')
    expect(await codeOf(() => host.registry.addAlias(disk, ''))).toBe('EINVAL')
    for (const taken of ['disk', 'nick', 'other', UUID])
      expect(await codeOf(() => host.registry.addAlias(disk, taken))).toBe('EEXIST')
    for (const absent of ['disk', 'none', 'other'])
      expect(await codeOf(() => host.registry.removeAlias(disk, absent))).toBe('ENOENT')
    host.registry.removeAlias(disk, 'nick')
    expect(host.bdevByName('nick') === undefined).toBe(true)
  })
})

describe('a new size', () => {
  it('is told to every open descriptor on its own thread, and to none that was closed', async () => {
    const { host, fake, clock } = await setup()
    const { bdev } = fake.create('disk')
    const thread = host.createThread('other')
    const seen: string[] = []
    const open = (name: string) =>
      host.openBdev('disk', {
        onEvent: event => void seen.push(`${name} ${event.type} ${event.bdev.numBlocks} on ${host.currentThread().name}`),
      })
    open('one')
    thread.execMsg(() => open('two'), null)
    const closed = open('closed')
    fake.host.notifyBlockcntChange(bdev, 2048)
    closed.close()
    expect(seen).toEqual([])
    await clock.settle()
    expect(seen.sort()).toEqual(['one 1 2048 on app_thread', 'two 1 2048 on other'])
  })

  it('that is the old one is told to nobody', async () => {
    const { host, fake, clock } = await setup()
    const { bdev } = fake.create('disk')
    const opened = openRw(host, 'disk')
    fake.host.notifyBlockcntChange(bdev, 1024)
    await clock.settle()
    expect(opened.events).toEqual([])
  })

  it('that is smaller is refused while a descriptor is open, naming its holder', async () => {
    const { host, fake, clock } = await setup()
    const { bdev } = fake.create('disk')
    await clock.settle()
    const opened = openRw(host, 'disk')
    expect(() => fake.host.notifyBlockcntChange(bdev, 512)).toThrow(
      'wanted to shrink it from 1024 to 512 blocks, but it is open by test',
    )
    opened.close()
    fake.host.notifyBlockcntChange(bdev, 512)
    expect(bdev.numBlocks).toBe(512)
  })

  it('is refused out of range, and from a module that does not own the bdev', async () => {
    const fake = new FakeModule()
    const other = new FakeModule('other')
    const { clock } = await startHost([fake, other])
    const { bdev } = fake.create('disk')
    await clock.settle()
    for (const size of [-1, 0.5, NaN, Infinity, 2 ** 44])
      expect(await codeOf(() => fake.host.notifyBlockcntChange(bdev, size))).toBe('EINVAL')
    expect(await codeOf(() => other.host.notifyBlockcntChange(bdev, 2048))).toBe('EINVAL')
    expect(bdev.numBlocks).toBe(1024)
  })

  it('counts for the next I/O', async () => {
    const { host, fake, drain } = await setup()
    const { bdev } = fake.create('disk')
    const opened = openRw(host, 'disk')
    const ask = () => submit((cb, result) => opened.channel.unmapBlocks(1024, 1, cb, result)).rc
    expect(ask()).toBe(-22)
    fake.host.notifyBlockcntChange(bdev, 1025)
    expect(ask()).toBe(0)
    drain()
  })
})

// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { FakeModule, RelayModule, type RelayOptions } from './support/fake-bdev.js'
import { openRw, read, startHost, submit, write, type Result } from './support/harness.js'

/** A disk of a module that misbehaves, and a good one beside it. */
async function setup(hooks = {}) {
  const bad = new FakeModule('bad', hooks)
  const good = new FakeModule('good')
  const test = await startHost([bad, good])
  const disk = bad.create('disk')
  good.create('other')
  await test.clock.settle()
  const { channel } = openRw(test.host, 'disk')
  const other = openRw(test.host, 'other').channel
  const errors = (): string => test.lines('error').join('\n')
  /** Everything is as it should be: the pool is full, and both disks serve. */
  const healthy = (): void => {
    disk.submit = null
    disk.hold = false
    const results = [write(channel, 1, 1, 0x11), write(other, 1, 1, 0x22), read(channel, 1, 1), read(other, 1, 1)] as const
    test.drain()
    expect(results.map(result => [result.calls, result.success])).toEqual([
      [1, true],
      [1, true],
      [1, true],
      [1, true],
    ])
    expect([(results[2] as { buf: Uint8Array }).buf[0], (results[3] as { buf: Uint8Array }).buf[0]]).toEqual([0x11, 0x22])
    expect(test.host.usage().bdevIos).toBe(0)
  }
  return { ...test, bad, disk, channel, other, errors, healthy }
}

const DOUBLE = 'module "bad" completed an I/O of bdev "disk" that it does not have'

describe('a module that completes an I/O twice', () => {
  it('at once is named, and the callback runs once, with the first status', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.submit = io => {
      io.complete(IoStatus.Success)
      io.complete(IoStatus.Failed)
    }
    const result = write(channel, 0, 1)
    drain()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Success])
    expect(errors()).toContain(DOUBLE)
    healthy()
  })

  it('later, around the callback of a submitter that submits again, does not end the new I/O', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.hold = true
    disk.data.fill(0x5a, 0, 512)
    const results: (Result & { buf: Uint8Array })[] = []
    const next = (): void => {
      const result = read(channel, 0, 1)
      results.push(result)
      // Frees first, then submits: the object is there to be taken again.
      result.keep = true
      result.whenDone = io => {
        io.free()
        if (results.length < 40) next()
      }
    }
    for (let i = 0; i < 3; i++) next()
    for (let i = 0; i < 60 && disk.held.length > 0; i++) {
      const io = disk.held.shift()!
      io.complete(disk.serve(io))
      io.complete(IoStatus.Success)
      drain()
    }
    expect(results.length).toBeGreaterThan(39)
    expect(results.map(result => [result.calls, result.success, result.buf[0]])).toEqual(results.map(() => [1, true, 0x5a]))
    expect(errors()).toContain(DOUBLE)
    healthy()
  })

  it('and its details do not reach anybody', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.submit = io => {
      io.complete(IoStatus.Failed)
      io.completeAio(-5)
      io.completeNvme(0, 2, 1)
      io.completeScsi(2, 3, 0, 0)
    }
    const seen: number[][] = []
    for (let i = 0; i < 2; i++) {
      const result = write(channel, 0, 1)
      result.whenDone = io => void seen.push([io.status, io.aioErrno, io.nvmeSct, io.nvmeSc])
      drain()
    }
    expect(seen).toEqual([
      [IoStatus.Failed, 0, 0, 0],
      [IoStatus.Failed, 0, 0, 0],
    ])
    expect(errors()).toContain(DOUBLE)
    healthy()
  })

  it('long after it was caught once cannot hit another I/O: its objects are not used again', async () => {
    const { drain, disk, channel, healthy } = await setup()
    const kept: BdevIo[] = []
    disk.submit = io => {
      kept.push(io)
      io.complete(disk.serve(io))
      if (kept.length === 1) io.complete(IoStatus.Success)
    }
    write(channel, 0, 1)
    drain()
    for (let i = 0; i < 10; i++) write(channel, i, 1)
    drain()
    disk.submit = null
    disk.hold = true
    const inFlight = Array.from({ length: 50 }, (_, i) => read(channel, i, 1))
    for (const io of kept) io.complete(IoStatus.Success)
    drain()
    expect(inFlight.some(result => result.done)).toBe(false)
    disk.completeAll()
    expect(inFlight.every(result => result.calls === 1 && result.success)).toBe(true)
    healthy()
  })
})

describe('a submitRequest that', () => {
  it('throws fails that I/O, is named, and a completion that comes later is caught', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    let late: BdevIo | null = null
    disk.submit = io => {
      late = io
      throw new Error('null pointer')
    }
    const result = write(channel, 0, 1)
    expect([result.rc, result.done]).toEqual([0, false])
    drain()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
    expect(errors()).toContain('bad: submitRequest of module "bad" for bdev "disk" threw: Error: null pointer')
    disk.submit = null
    disk.hold = true
    const others = Array.from({ length: 40 }, () => write(channel, 0, 1))
    ;(late as unknown as BdevIo).complete(IoStatus.Success)
    drain()
    expect(others.some(other => other.done)).toBe(false)
    expect(errors()).toContain(DOUBLE)
    disk.completeAll()
    healthy()
  })

  it('throws after it completed keeps its first answer', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.submit = io => {
      io.complete(IoStatus.Success)
      throw new Error('afterwards')
    }
    const result = write(channel, 0, 1)
    drain()
    expect([result.calls, result.success]).toEqual([1, true])
    expect(errors()).toContain('afterwards')
    healthy()
  })

  it('returns a promise fails that I/O, is named, and neither its completion nor its rejection do harm', async () => {
    const { clock, disk, channel, errors, healthy } = await setup()
    disk.submit = async io => {
      await Promise.resolve()
      io.complete(IoStatus.Success)
      throw new Error('late rejection')
    }
    const result = write(channel, 0, 1)
    await clock.settle()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
    expect(errors()).toContain('submitRequest of module "bad" returned a promise: it must return nothing')
    expect(errors()).toContain('late rejection')
    expect(errors()).toContain(DOUBLE)
    healthy()
  })

  it('returns a value fails that I/O and is named', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.submit = () => 0
    const result = write(channel, 0, 1)
    drain()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
    expect(errors()).toContain('submitRequest of module "bad" returned a number: it must return nothing')
    healthy()
  })
})

describe('a status that is none:', () => {
  it('Pending fails the I/O and is named', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.answers.push(IoStatus.Pending)
    const result = write(channel, 0, 1)
    drain()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
    expect(errors()).toContain('module "bad" completed an I/O of bdev "disk" with status Pending; it fails')
    healthy()
  })

  it('Nomem for a RESET fails it and is named', async () => {
    const { clock, disk, channel, errors, healthy } = await setup()
    disk.answers.push(IoStatus.Nomem)
    const result = submit((cb, r) => channel.reset(cb, r))
    await clock.settle()
    expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
    expect(errors()).toContain('module "bad" completed a RESET of bdev "disk" with Nomem; it fails')
    healthy()
  })

  it('an unknown one is a failure', async () => {
    const { drain, disk, channel, healthy } = await setup()
    disk.answers.push(-77, 2)
    const results = [write(channel, 0, 1), write(channel, 0, 1)]
    drain()
    expect(results.map(result => [result.calls, result.success, result.status])).toEqual([
      [1, false, -77],
      [1, false, 2],
    ])
    healthy()
  })
})

it('a createIoContext that throws is named, and only that module suffers', async () => {
  const { drain, disk, channel, errors } = await setup({
    createIoContext: () => {
      throw new Error('no scratch')
    },
  })
  disk.submit = io => io.complete((io.ctx as { ok: number }).ok)
  const result = write(channel, 0, 1)
  drain()
  expect([result.rc, result.calls, result.status]).toEqual([0, 1, IoStatus.Failed])
  expect(errors()).toContain('createIoContext of module "bad" threw: Error: no scratch')
})

describe('a submitter', () => {
  it('that frees twice is named, and nobody shares its I/O', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    disk.hold = true
    const result = submit((cb, r) => channel.unmapBlocks(0, 1, cb, r))
    result.whenDone = io => io.free()
    disk.complete()
    expect(errors()).toContain('test freed an I/O of bdev "disk" that it does not have (twice, or before it completed)')
    const objects = new Set<BdevIo>()
    for (let i = 0; i < 70; i++) write(channel, 0, 1)
    for (const io of disk.held) objects.add(io)
    expect(objects.size).toBe(70)
    disk.completeAll()
    drain()
    healthy()
  })

  it('that frees an I/O which has not completed is named, and the I/O goes on', async () => {
    const { disk, channel, errors, healthy } = await setup()
    disk.hold = true
    const result = write(channel, 0, 1)
    disk.held[0]!.free()
    expect(errors()).toContain('freed an I/O of bdev "disk" that it does not have')
    disk.complete()
    expect([result.calls, result.success]).toEqual([1, true])
    healthy()
  })

  it('whose callback throws is named, and neither the module nor the next I/O notices', async () => {
    const { drain, disk, channel, errors, healthy } = await setup()
    const bomb = (result: Result): void => {
      result.whenDone = io => {
        io.free()
        result.keep = true
        throw new Error('callback bomb')
      }
    }
    const [first, second] = [write(channel, 0, 1), write(channel, 1, 1)]
    bomb(first)
    drain()
    expect([first.calls, second.success]).toEqual([1, true])
    expect(errors()).toContain('Error: callback bomb')
    disk.hold = true
    const later = write(channel, 2, 1)
    bomb(later)
    expect(() => disk.complete()).not.toThrow()
    expect(errors()).toContain('the completion callback of test on bdev "disk" threw: Error: callback bomb')
    healthy()
  })
})

describe('a vbdev', () => {
  async function stacked(options: RelayOptions, strict = false) {
    const fake = new FakeModule('fake')
    const relay = new RelayModule('relay', options)
    const test = await startHost([fake, relay], { strict })
    const disk = fake.create('disk', { hold: true })
    relay.create('top', 'disk')
    await test.clock.settle()
    const { channel } = openRw(test.host, 'top')
    const healthy = (): void => {
      delete options.submit
      const results = Array.from({ length: 40 }, (_, i) => write(channel, i, 1, i))
      disk.completeAll()
      test.drain()
      expect(results.every(result => result.calls === 1 && result.success)).toBe(true)
      expect(test.host.usage().bdevIos).toBe(0)
    }
    return { ...test, disk, channel, healthy, errors: () => test.lines('error').join('\n') }
  }

  for (const strict of [false, true]) {
    const mode = strict ? ' in strict mode' : ''

    it(`that throws in the callback of forwardThen is named, and its I/O fails${mode}`, async () => {
      const { drain, disk, channel, errors, healthy } = await stacked(
        {
          submit: (base, io) =>
            io.forwardThen(base, () => {
              throw new Error('bad child')
            }),
        },
        strict,
      )
      const result = write(channel, 0, 1)
      disk.complete()
      drain()
      expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
      expect(errors()).toContain('relay: the forwardThen callback of module "relay" on bdev "top" threw: Error: bad child')
      healthy()
    })

    it(`whose callback of forwardThen is async is named, and its rejection harms nothing${mode}`, async () => {
      const { clock, disk, channel, errors, healthy } = await stacked(
        {
          submit: (base, io) =>
            io.forwardThen(base, (async (_child: BdevIo, parent: BdevIo) => {
              await Promise.resolve()
              parent.complete(IoStatus.Success)
              throw new Error('late child')
            }) as never),
        },
        strict,
      )
      const result = write(channel, 0, 1)
      disk.complete()
      await clock.settle()
      expect([result.calls, result.status]).toEqual([1, IoStatus.Failed])
      expect(errors()).toContain('it returned a promise')
      expect(errors()).toContain('late child')
      healthy()
    })

    it(`that completes what it has forwarded is named, and the I/O ends with its child${mode}`, async () => {
      const { drain, disk, channel, errors, healthy } = await stacked(
        {
          submit: (base, io) => {
            io.forward(base)
            io.complete(IoStatus.Success)
          },
        },
        strict,
      )
      const result = read(channel, 3, 1)
      drain()
      expect(result.done).toBe(false)
      expect(errors()).toContain(
        'module "relay" completed an I/O of bdev "top" that it does not have (twice, after it forwarded it',
      )
      disk.data.fill(0x66, 3 * 512, 4 * 512)
      disk.complete()
      drain()
      expect([result.calls, result.success, result.buf[0]]).toEqual([1, true, 0x66])
      healthy()
    })

    it(`that forwards twice is named, and the base sees it once${mode}`, async () => {
      const { drain, disk, channel, errors, healthy } = await stacked(
        {
          submit: (base, io) => {
            io.forward(base)
            io.forward(base)
          },
        },
        strict,
      )
      const result = write(channel, 0, 1)
      expect(disk.held.length).toBe(1)
      expect(errors()).toContain('module "relay" forwarded an I/O of bdev "top" that it does not have')
      disk.complete()
      drain()
      expect([result.calls, result.success]).toEqual([1, true])
      healthy()
    })

    it(`that throws after it forwarded fails the I/O once the child is done with its buffers${mode}`, async () => {
      for (const then of [false, true]) {
        const { drain, disk, channel, errors, healthy } = await stacked(
          {
            submit: (base, io) => {
              if (then) io.forwardThen(base, (child, parent) => parent.completeFrom(child))
              else io.forward(base)
              throw new Error('after forward')
            },
          },
          strict,
        )
        const result = write(channel, 0, 1)
        drain()
        expect(result.done).toBe(false)
        disk.complete()
        drain()
        expect([result.calls, result.success]).toEqual([1, false])
        expect(errors()).toContain('after forward')
        healthy()
      }
    })
  }

  it('that forwards to where the I/O does not fit, or may not go, fails it as a child would', async () => {
    const cases: [string, RelayOptions, number, number][] = [
      ['beyond the end', { submit: (base, io) => io.forward(base, 1020) }, 8, -22],
      ['before the start', { submit: (base, io) => io.forward(base, -1) }, 1, -22],
      [
        'a type that the base lacks',
        { submit: (base, io) => io.forward(base), types: [IoType.Write, IoType.Flush, IoType.Read] },
        1,
        -95,
      ],
    ]
    for (const [what, options, blocks, errno] of cases) {
      const fake = new FakeModule()
      const relay = new RelayModule('relay', options)
      const { host, drain, clock } = await startHost([fake, relay])
      const disk = fake.create('disk', { types: what.startsWith('a type') ? [IoType.Read, IoType.Write] : [IoType.Write] })
      relay.create('top', 'disk')
      await clock.settle()
      const { channel } = openRw(host, 'top')
      const result = what.startsWith('a type')
        ? submit((cb, r) => channel.flushBlocks(0, blocks, cb, r))
        : write(channel, 0, blocks)
      let seen = 0
      result.whenDone = io => (seen = io.aioErrno)
      drain()
      expect([what, result.calls, result.success, seen, disk.seen]).toEqual([what, 1, false, errno, []])
    }
  })
})

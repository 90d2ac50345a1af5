// SPDX-License-Identifier: Apache-2.0
// The kit itself: a good module passes every case, and each kind of bad one is caught by the case that is about it.
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevModule } from '@bdevkit/module-sdk'
import { describe, expect, it } from 'vitest'
import { conformance, conformanceCases, parameterTables, type ConformanceOptions } from '../src/index.js'
import { ramModule, served, type Faults } from './ram-module.js'
import { greedy, relayModule, type RelayFaults } from './relay-module.js'

const size = { num_blocks: 32_768, block_size: 512 }
const HALF_BLOCK = size.num_blocks / 2

type Cases = Map<string, () => Promise<void>>

/** The cases that the kit registers, as "level: case". */
function casesOf(module: BdevModule, more: Partial<ConformanceOptions> = {}): Cases {
  const cases: Cases = new Map()
  let level = ''
  conformance({
    module,
    create: rpc => rpc('bdev_ram_create', { name: 'ram0', ...size }),
    remove: rpc => rpc('bdev_ram_delete', { name: 'ram0' }),
    limitMs: 200,
    describe(name, body) {
      level = name
      body()
    },
    it: (name, body) => cases.set(`${level}: ${name}`, body),
    ...more,
  })
  return cases
}

const failureOf = (run: () => Promise<void>): Promise<string | undefined> =>
  run().then(() => undefined, (error: unknown) => (error as Error).message)

conformance({
  module: ramModule(),
  create: rpc => rpc('bdev_ram_create', { name: 'ram0', ...size }),
  remove: rpc => rpc('bdev_ram_delete', { name: 'ram0' }),
  describe,
  it,
})

const onBase: Partial<ConformanceOptions> = {
  bases: ['Base0'],
  create: rpc => rpc('bdev_relay_create', { name: 'relay0', base_bdev_name: 'Base0' }),
  remove: rpc => rpc('bdev_relay_delete', { name: 'relay0' }),
}
describe('a good vbdev', () => {
  for (const onResize of ['follow', 'ignore', 'remove'] as const) {
    describe(`that on a resize of its base does ${onResize}`, () => {
      const cases = casesOf(relayModule({ onResize }), { ...onBase, limitMs: 4000 })
      it('passes that case', cases.get('bare: a base that grows')!)
    })
  }
  conformance({ module: relayModule(), remove: async () => {}, create: async () => '', ...onBase, describe, it })
})

const production = 'bare, as in production'
const relay = 'under a relay vbdev'
const half = 'on the upper of two parts'
const again = 'create, remove, and create again under the same name'
const saved = 'the saved configuration makes an equal bdev in a fresh host'

describe('a module that', () => {
  const bad: readonly (readonly [what: string, caughtBy: string, reason: RegExp, faults: Faults])[] = [
    ['completes twice', 'bare: blockdev write read block', /completed an I\/O/, {
      submit(ram, io, right) {
        right(ram, io)
        io.complete(IoStatus.Success)
      },
    }],
    ['never completes', 'bare: blockdev write read block', /WRITE of 1 blocks at 0 never completed/, { submit() {} }],
    ['throws in submitRequest', 'bare: blockdev write read block', /WRITE is declared .* Failed/, {
      submit() {
        throw new Error('no')
      },
    }],
    ['returns a promise from submitRequest', 'bare: blockdev write read block', /submitRequest/, {
      async submit(ram, io, right) {
        right(ram, io)
      },
    }],
    ['never writes the last block', 'bare: blockdev write read offset + nbytes == size of blockdev', /block 32767 of 32768/, {
      submit(ram, io, right) {
        if (io.type === IoType.Write && io.offsetBlocks + io.numBlocks === io.bdev.numBlocks) io.complete(IoStatus.Success)
        else right(ram, io)
      },
    }],
    ['writes zeroes one block too far', 'bare: blockdev write zeroes read block', /block 2 of 32768/, {
      submit(ram, io, right) {
        if (io.type === IoType.WriteZeroes) {
          const { off, buf } = ram.memory
          ram.host.accel.fill(buf, off + io.offsetBlocks * 512, 0, (io.numBlocks + 1) * 512)
          io.complete(IoStatus.Success)
        } else right(ram, io)
      },
    }],
    ['takes the first iov for all of the data', 'bare: blockdev writev readv 8 blocks', /block 1 of 32768/, {
      submit(ram, io, right) {
        const { buf, off } = ram.memory
        const { len, ...first } = io.iovs[0] ?? { buf, off, len: 0 }
        const at = off + io.offsetBlocks * 512
        if (io.iovCnt > 1 && io.type === IoType.Read) {
          ram.host.accel.copy(first.buf, first.off, buf, at, len)
          io.complete(IoStatus.Success)
        } else if (io.iovCnt > 1 && io.type === IoType.Write) {
          ram.host.accel.copy(buf, at, first.buf, first.off, len)
          io.complete(IoStatus.Success)
        } else right(ram, io)
      },
    }],
    ['declares FLUSH and fails it', 'bare: flush', /FLUSH is declared by ioTypeSupported, but it ended with status Failed/, {
      submit(ram, io, right) {
        if (io.type === IoType.Flush) io.complete(IoStatus.Failed)
        else right(ram, io)
      },
    }],
    ['has a write cache and no FLUSH', 'bare: flush', /declares a write cache, but not FLUSH/, {
      ioTypeSupported: type => served.includes(type) && type !== IoType.Flush,
    }],
    ['compares nothing', 'bare: blockdev comparev', /wanted Miscompare, but it succeeded/, {
      submit(ram, io, right) {
        if (io.type === IoType.Compare) io.complete(IoStatus.Success)
        else right(ram, io)
      },
    }],
    ['copies from one block further on', 'bare: blockdev copy', /block \d+ of 32768/, {
      ioTypeSupported: type => served.includes(type) || type === IoType.Copy,
      submit(ram, io, right) {
        const { buf, off } = ram.memory
        if (io.type !== IoType.Copy) return right(ram, io)
        ram.host.accel.copy(buf, off + io.offsetBlocks * 512, buf, off + io.srcOffsetBlocks * 512 + 512, io.numBlocks * 512)
        io.complete(IoStatus.Success)
      },
    }],
    ['writes a while after it compared', 'bare: compare and write is atomic', /of 8 COMPARE_AND_WRITE .* 8 succeeded and 0 miscompared/, {
      ioTypeSupported: type => served.includes(type) || type === IoType.CompareAndWrite,
      submit(ram, io, right) {
        const { buf, off } = ram.memory
        if (io.type !== IoType.CompareAndWrite) return right(ram, io)
        const [at, lengthBytes] = [off + io.offsetBlocks * 512, io.numBlocks * 512]
        if (ram.host.accel.compareIovs(io.iovs, io.iovCnt, buf, at, lengthBytes) !== -1) return io.complete(IoStatus.Miscompare)
        io.thread.sendMsg(later => {
          ram.host.accel.copyFromIovs(buf, at, later.fusedIovs, later.fusedIovCnt, lengthBytes)
          later.complete(IoStatus.Success)
        }, io)
      },
    }],
    ['lends one byte too few for a ZCOPY', 'bare: zcopy', /ZCOPY lent 4095 bytes instead of 4096/, {
      ioTypeSupported: type => served.includes(type) || type === IoType.Zcopy,
      submit(ram, io, right) {
        const { buf, off } = ram.memory
        if (io.type !== IoType.Zcopy) return right(ram, io)
        if (io.zcopyStart) io.lend(buf, off + io.offsetBlocks * 512, io.numBlocks * 512 - 1)
        io.complete(IoStatus.Success)
      },
    }],
    ['seeks backwards', 'bare: seek', /seekData from block 8 found block 0/, {
      ioTypeSupported: type => served.includes(type) || type === IoType.SeekData,
      submit(ram, io, right) {
        if (io.type !== IoType.SeekData) return right(ram, io)
        io.setSeekOffset(0)
        io.complete(IoStatus.Success)
      },
    }],
    ['unmaps too much', 'bare: unmap', /block 16 of 32768/, {
      submit(ram, io, right) {
        const { buf, off } = ram.memory
        if (io.type === IoType.Unmap) ram.host.accel.fill(buf, off + io.offsetBlocks * 512, 0, io.numBlocks * 512 + 512)
        right(ram, io)
      },
    }],
    ['answers a RESET too early', 'bare: reset with I/O outstanding', /32 of 32 earlier I\/Os were outstanding/, {
      submit(ram, io, right) {
        const { thread } = io
        const later = (hops: number): void => hops === 0 ? right(ram, io) : thread.sendMsg(later, hops - 1)
        if (io.type === IoType.Reset) right(ram, io)
        else later(50)
      },
    }],
    ['says that an abort worked which did not', 'bare: abort', /so did the WRITE that it aborted/, {
      submit(ram, io, right) {
        const { thread } = io
        const later = (hops: number): void => hops === 0 ? right(ram, io) : thread.sendMsg(later, hops - 1)
        if (io.type === IoType.Write) later(50)
        else if (io.type === IoType.Abort) io.complete(IoStatus.Success)
        else right(ram, io)
      },
    }],
    ['lends too little', 'bare: read without buffers borrows the data of the bdev', /lent 511 bytes instead of 512/, {
      submit(ram, io, right) {
        if (io.type === IoType.Read && io.iovCnt === 0) {
          io.lend(ram.memory.buf, ram.memory.off, io.numBlocks * 512 - 1)
          io.complete(IoStatus.Success)
        } else right(ram, io)
      },
    }],
    ['reads into the buffers after it has completed', 'bare: blockdev write read block', /wanted/, {
      submit(ram, io, right) {
        if (io.type !== IoType.Read || io.iovCnt === 0) return right(ram, io)
        const { buf, off } = io.iovs[0]!
        const from = ram.memory.off + io.offsetBlocks * 512
        io.complete(IoStatus.Success)
        io.thread.sendMsg(() => buf.set(ram.memory.buf.subarray(from, from + 512), off), null)
      },
    }],
    ['takes its first half for its second', `${half}: blockdev write read block`, /changed block 0 of the lower half/, {
      submit(ram, io, right) {
        if (io.offsetBlocks !== HALF_BLOCK) return right(ram, io)
        const complete = { value: (status: IoStatus) => io.complete(status) }
        right(ram, Object.create(io, { offsetBlocks: { value: 0 }, complete }) as typeof io)
      },
    }],
    ['returns wrong data for the block in the middle', `${half}: blockdev write read block`, /block 0 of 16384/, {
      submit(ram, io, right) {
        if (io.type === IoType.Read && io.offsetBlocks === HALF_BLOCK && io.iovCnt > 0) {
          ram.host.accel.fillIovs(io.iovs, io.iovCnt, 0)
          io.complete(IoStatus.Success)
        } else right(ram, io)
      },
    }],
    ['changes the buffers that it writes from', `${production}: blockdev write read block`, /WRITE changed the buffers/, {
      submit(ram, io, right) {
        right(ram, io)
        if (io.type === IoType.Write) ram.host.accel.fillIovs(io.iovs, io.iovCnt, 0)
      },
    }],
    ['takes its per-I/O scratch for new each time', `${production}: blockdev write read block`, /is declared .* Failed/, {
      createIoContext: () => ({ started: false }),
      submit(ram, io, right) {
        const scratch = io.ctx as { started: boolean }
        if (scratch.started) return io.complete(IoStatus.Failed)
        scratch.started = true
        right(ram, io)
      },
    }],
    ['keeps its memory when a bdev goes', `bare: ${again}`, /dmaBytes/, { destruct() {} }],
    ['never finishes destruct', 'bare: hot remove with a descriptor open and I/O outstanding', /removal did not end/, {
      destruct: () => new Promise<void>(() => {}),
    }],
    ['forgets its uuid in the configuration', `bare: ${saved}`, /saved and loaded/, {
      configParams: ({ uuid: _uuid, ...rest }) => rest,
    }],
    ['saves parameters that it does not take', `bare: ${saved}`, /refused as it was saved/, {
      configParams: rest => ({ ...rest, colour: 'blue' }),
    }],
    ['takes a name twice', 'bare: a second bdev of the same name is refused with EEXIST', /succeeded/, {
      create: (host, register) => host.ownBdevs()[0]?.name ?? register(),
    }],
  ]

  it.each(bad)('%s fails "%s"', async (_what, caughtBy, reason, faults) => {
    expect(await failureOf(casesOf(ramModule(faults)).get(caughtBy)!)).toMatch(reason)
  })

  const badVbdevs: readonly (readonly [what: string, caughtBy: string, reason: RegExp, faults: RelayFaults])[] = [
    ['declares every type, whatever its base serves', 'on bases that only read and write: flush', /FLUSH is declared by ioTypeSupported, but/, {
      ioTypeSupported: () => true,
    }],
    ['fails what its base has sent again', 'bare: bases that are out of memory for a while', /WRITE is declared by ioTypeSupported, but it ended/, {
      submit: (base, io) => io.forwardThen(base, (child, parent) => parent.complete(child.numRetries > 0 ? IoStatus.Failed : child.status)),
    }],
    ['claims every bdev that appears', 'bare: bdevs that are none of its business are left alone', /"Foreign0", which nobody asked it to use, is claimed/, {
      examineConfig: greedy,
    }],
    ['never answers where its base gives no channel', 'bare: bases that give no channel for a while', /READ without channels of the bases never completed/, {
      getIoChannel: base => base.getIoChannel() ?? ({ thread: base.desc.bdev, ctx: null, put() {} } as never),
      submit: (base, io) => (base === null ? undefined : io.forward(base)),
    }],
  ]
  it.each(badVbdevs)('%s fails "%s"', async (_what, caughtBy, reason, faults) => {
    // Short only where the end of patience is waited for.
    const limitMs = /never completed|nobody asked/.test(reason.source) ? 200 : 4000
    expect(await failureOf(casesOf(relayModule(faults), { ...onBase, limitMs }).get(caughtBy)!)).toMatch(reason)
  })

  it('works on one thread alone fails "I/O from a second thread"', async () => {
    const cases = casesOf(ramModule({
      submit(ram, io, right) {
        if (io.thread.id === 1) right(ram, io)
        else io.complete(IoStatus.Failed)
      },
    }))
    expect(await failureOf(cases.get('bare: I/O from a second thread')!)).toMatch(/on a second thread ended with status Failed/)
  })

  it('keeps data although it says that it does not fails', async () => {
    const cases = casesOf(ramModule(), { keepsData: false })
    const failure = await failureOf(cases.get(`${relay}: blockdev write read 8 blocks`)!)
    expect(failure).toMatch(/promises that every read returns zeros/)
  })

  it('says that nothing creates its bdevs is not asked for calls', async () => {
    const cases = casesOf(ramModule({ configParams: ({ uuid: _uuid, ...rest }) => rest }), { configured: false })
    expect(await failureOf(cases.get(`bare: ${saved}`)!)).toBeUndefined()
  })

  it('gets a host to prepare, and disks with data on them', async () => {
    const bytes = new Uint8Array(1 << 20).fill(7)
    let seen = 0
    const cases = casesOf(ramModule(), {
      async prepare(host, disks) {
        disks.add('Found0', bytes, 4096)
        await disks.remove('Found0')
        disks.add('Found0', bytes, 4096)
        const desc = host.openBdev('Found0', { onEvent() {} })
        seen = (await host.readBlocks(desc, 3, 1))[0]!
        desc.close()
      },
    })
    expect(await failureOf(cases.get('bare: blockdev write read block')!)).toBeUndefined()
    expect(seen).toBe(7)
  })

  it('is too small is told so', async () => {
    const tiny = { name: 'ram0', num_blocks: 8, block_size: 512 }
    const cases = casesOf(ramModule(), { create: rpc => rpc('bdev_ram_create', tiny) })
    expect(await failureOf(cases.get('bare: blockdev write read block')!)).toMatch(/4096 bytes[^]*at least 8388608/)
  })
})

describe('the kit', () => {
  it('asks for describe and it where there are no global ones', () => {
    expect(() => conformance({ module: ramModule(), create: async () => '', remove: async () => '' })).toThrow(/pass both/)
  })

  it('says of every case why it is there, and names none twice', () => {
    expect(conformanceCases.filter(({ why }) => why === undefined).map(({ name }) => name), 'write a `why`, one line').toEqual([])
    expect(new Set(conformanceCases.map(({ name }) => name)).size).toBe(conformanceCases.length)
  })

  it('says in a failure what is wrong, why it matters, and where to look', async () => {
    const cases = casesOf(ramModule({ writeCache: true, ioTypeSupported: type => served.includes(type) && type !== IoType.Flush }))
    expect(await failureOf(cases.get('bare: flush')!)).toBe(`\
the bdev declares a write cache, but not FLUSH
  why: databases trust it: declared, it works; a write cache without it loses data
  hint: writeCache: true means that writes need a FLUSH to last; serve FLUSH or leave writeCache out`)
  })

  it('prints the parameters of a module as tables', () => {
    expect(parameterTables(ramModule())).toContain('| `name` | string | required |  |')
  })
})

// SPDX-License-Identifier: Apache-2.0
// libnbd's nbdinfo and qemu-img as witnesses of what the server says about its exports.
import { describe, expect } from 'vitest'
import { GiB, malloc, MiB, nullBdev, passthru } from './support/files.js'
import { run, runOk } from './support/run.js'
import { withServer } from './support/server.js'
import { itWith } from './support/tools.js'

interface Info {
  readonly protocol: string
  readonly structured: boolean
  readonly exports: readonly Record<string, unknown>[]
}

const nbdinfo = async (...args: string[]): Promise<Info> => JSON.parse(await runOk('nbdinfo', ['--json', ...args])) as Info

describe('nbdinfo', () => {
  itWith(['nbdinfo'], 'lists every export that nothing stands on, with its size and its block sizes', async () => {
    const calls = [
      nullBdev('Null0', 4 * GiB, 4096),
      malloc('Malloc0', 64 * MiB),
      malloc('Base0', 32 * MiB, 4096),
      passthru('Pt0', 'Base0'),
    ]
    await withServer({ calls }, async server => {
      const { exports } = await nbdinfo('--list', server.uri())
      const seen = exports.map(exp => [exp['export-name'], exp['export-size'], exp.block_size_minimum, exp.description])
      expect(seen).toEqual([
        ['Pt0', 32 * MiB, 4096, 'passthru'],
        ['Malloc0', 64 * MiB, 512, 'Malloc disk'],
        ['Null0', 4 * GiB, 4096, 'Null disk'],
      ])
      expect(exports.map(exp => exp.block_size_maximum)).toEqual([32 * MiB, 32 * MiB, 32 * MiB])
      expect(exports.map(exp => exp.block_size_preferred)).toEqual([4096, 4096, 4096])
    })
  })

  itWith(['nbdinfo'], 'sees what a malloc bdev can do, also through passthru, and less of a null bdev', async () => {
    const calls = [nullBdev('Null0', MiB), malloc('Malloc0', MiB), malloc('Base0', MiB), passthru('Pt0', 'Base0')]
    await withServer({ calls }, async server => {
      const info = await nbdinfo(server.uri('Malloc0'))
      expect(info).toMatchObject({ protocol: 'newstyle-fixed', structured: true })
      const all = {
        is_read_only: false,
        can_flush: true,
        can_fua: true,
        can_trim: true,
        can_zero: true,
        can_fast_zero: true,
        can_multi_conn: true,
        can_df: true,
        can_cache: true,
        contexts: ['base:allocation'],
      }
      expect(info.exports[0]).toMatchObject(all)
      expect((await nbdinfo(server.uri('Pt0'))).exports[0]).toMatchObject(all)
      const ofNull = (await nbdinfo(server.uri('Null0'))).exports[0]
      expect(ofNull).toMatchObject({ can_flush: false, can_fua: false, can_trim: false, can_zero: true, can_multi_conn: true })
    })
  })

  itWith(['nbdinfo'], 'sees a read-only export, and that it takes no writes', async () => {
    await withServer({ calls: [malloc('Malloc0', MiB)], args: ['--read-only'] }, async server => {
      const expected = { is_read_only: true, can_trim: false, can_zero: false, can_fua: false, can_multi_conn: true }
      expect((await nbdinfo(server.uri())).exports[0]).toMatchObject(expected)
    })
  })

  itWith(['nbdinfo'], 'maps all of an export as data, beyond 4 GiB too', async () => {
    await withServer({ calls: [nullBdev('Null0', 12 * GiB), malloc('Malloc0', 3 * MiB)] }, async server => {
      expect(await runOk('nbdinfo', ['--map', server.uri('Malloc0')])).toMatch(/^\s*0\s+3145728\s+0\s+data\s*$/)
      const total = await runOk('nbdinfo', ['--map', '--totals', server.uri('Null0')])
      expect(total).toMatch(/^\s*12884901888\s+100\.0%\s+0\s+data\s*$/)
    })
  })

  itWith(['nbdinfo'], 'is told that an export does not exist, and the server goes on', async () => {
    await withServer({ calls: [malloc('Malloc0', MiB)] }, async server => {
      const { status, stderr } = await run('nbdinfo', [server.uri().replace('Malloc0', 'Malloc1')])
      expect(status).not.toBe(0)
      expect(stderr).toContain('Malloc1')
      expect((await run('nbdinfo', ['--size', server.uri()])).stdout).toBe(`${MiB}\n`)
    })
  })
})

describe('qemu-img', () => {
  itWith(['qemu-img'], 'sees size and allocation of each export by its name', async () => {
    const calls = [malloc('Malloc0', 5 * MiB), malloc('Malloc1', 3 * MiB, 4096)]
    await withServer({ calls, args: ['--export', 'Malloc1=disk one', '--export', 'Malloc0'] }, async server => {
      for (const [name, sizeBytes] of [
        ['disk one', 3 * MiB],
        ['Malloc0', 5 * MiB],
      ] as const) {
        const info = JSON.parse(await runOk('qemu-img', ['info', '--output=json', server.uri(name)])) as object
        expect(info).toMatchObject({ format: 'raw', 'virtual-size': sizeBytes })
        const map = JSON.parse(await runOk('qemu-img', ['map', '-f', 'raw', '--output=json', server.uri(name)])) as object[]
        expect(map).toMatchObject([{ start: 0, length: sizeBytes, data: true, zero: false }])
      }
      // No name at all is the first export.
      const unnamed = `nbd+unix:///?socket=${server.socket}`
      expect(JSON.parse(await runOk('qemu-img', ['info', '--output=json', unnamed]))).toMatchObject({ 'virtual-size': 3 * MiB })
    })
  })
})

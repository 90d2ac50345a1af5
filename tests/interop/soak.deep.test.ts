// SPDX-License-Identifier: Apache-2.0
// A minute of everything at once, on one stack, and the same stack on the other Node that is supported.
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digest, malloc, MiB, passthru, writeImage } from './support/files.js'
import { fioJob } from './support/fio.js'
import { run, runOk } from './support/run.js'
import { root, withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const DISK_BYTES = 256 * MiB
const SOAK_S = 60

describe('a minute of load', () => {
  itWith(
    ['fio'],
    'over 4 connections, random sizes, reads, writes and trims on a stack of passthru, verifies',
    async () => {
      const calls = [
        malloc('Base0', DISK_BYTES),
        passthru('Middle0', 'Base0'),
        passthru('Disk0', 'Middle0'),
        malloc('Other0', 64 * MiB, 4096),
      ]
      await withServer({ calls }, async server => {
        const timed = { time_based: 1, runtime: SOAK_S }
        const share = DISK_BYTES / 4
        // A write may pass a verifying read of the same blocks that is in flight: NBD does not order them, so fio must.
        const verified = { bsrange: '4k-256k', blockalign: '4k', verify: 'crc32c', verify_fatal: 1, verify_backlog: 64, serialize_overlap: 1 }
        const soak = { rw: 'randwrite', iodepth: 16, numjobs: 4, size: share, offset_increment: share, ...verified, ...timed }
        const [verify, churn] = await Promise.all([
          fioJob(server.uri('Disk0'), soak, 2 * SOAK_S * 1000),
          fioJob(
            server.uri('Other0'),
            { rw: 'randtrimwrite', bs: '64k', iodepth: 8, size: 64 * MiB, ...timed },
            2 * SOAK_S * 1000,
          ),
        ])
        expect(verify.write.total_ios).toBeGreaterThan(1000)
        expect(verify.read.total_ios).toBeGreaterThan(1000)
        expect(churn.trim.total_ios).toBeGreaterThan(100)
        expect(server.log()).toBe('')
        expect(server.memory().peakBytes).toBeLessThan(DISK_BYTES + 64 * MiB + 512 * MiB)
      })
    },
    { timeout: 4 * SOAK_S * 1000 },
  )
})

/** Why Node 24 cannot be had here. The registry's package `node` holds the runtime. */
async function whyNoNode24(): Promise<string> {
  try {
    const { status, stdout, stderr } = await run('npx', ['-y', '-p', 'node@24', 'node', '--version'], { timeoutMs: 120_000 })
    return status === 0 && stdout.startsWith('v24.') ? '' : `npx -p node@24: ${stdout}${stderr}`.slice(0, 100)
  } catch (failure) {
    return (failure as Error).message.slice(0, 100)
  }
}

const unable = await whyNoNode24()

describe('Node 24', () => {
  itWith(
    ['nbdcopy', 'fio'],
    'serves the same stacks',
    async () => {
      const calls = [malloc('Base0', 64 * MiB), passthru('Disk0', 'Base0')]
      const which = await runOk('npx', ['-y', '-p', 'node@24', 'node', '-p', 'process.execPath'], { timeoutMs: 120_000 })
      const command = [which.trim(), join(root, 'packages/cli/dist/main.js')]
      await withServer({ calls, command }, async server => {
        const [image, back] = [join(server.folder, 'in.raw'), join(server.folder, 'out.raw')]
        writeImage(image, 5, 64 * MiB)
        await runOk('nbdcopy', ['--connections=4', '--requests=16', image, server.uri()])
        await runOk('nbdcopy', ['--connections=4', '--requests=16', server.uri(), back])
        expect(await digest(back)).toBe(await digest(image))
        await fioJob(server.uri(), {
          rw: 'randwrite',
          bs: '4k',
          iodepth: 32,
          size: 16 * MiB,
          verify: 'crc32c',
          verify_fatal: 1,
        })
        expect(await server.rpc('bdev_malloc_delete', { name: 'Base0' })).toBe(true)
        expect(await server.bdevNames()).toEqual([])
        expect(server.log()).not.toMatch(/^(error|warn)/m)
      })
    },
    { unable, timeout: 240_000 },
  )
})

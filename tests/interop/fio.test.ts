// SPDX-License-Identifier: Apache-2.0
// fio's own NBD engine: it writes in random order, reads everything back and checks a CRC-32C in every block.
import { describe, expect } from 'vitest'
import { type Call, malloc, MiB, passthru } from './support/files.js'
import { fioArgs, fioJob } from './support/fio.js'
import { run, runOk } from './support/run.js'
import { withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const DISK_BYTES = 32 * MiB

const disks: [string, Call[]][] = [
  ['a malloc bdev', [malloc('Disk0', DISK_BYTES)]],
  ['a malloc bdev of 4096-byte blocks', [malloc('Disk0', DISK_BYTES, 4096)]],
  [
    'passthru over passthru over malloc',
    [malloc('Base0', DISK_BYTES), passthru('Middle0', 'Base0'), passthru('Disk0', 'Middle0')],
  ],
  [
    'passthru over passthru over malloc of 4096-byte blocks',
    [malloc('Base0', DISK_BYTES, 4096), passthru('Middle0', 'Base0'), passthru('Disk0', 'Middle0')],
  ],
]

describe.each(disks)('fio on %s', (_title, calls) => {
  itWith(['fio'], 'verifies random writes of mixed sizes, then of 4 jobs at once, with trims between', async () => {
    await withServer({ calls }, async server => {
      const uri = server.uri()
      const verify = { verify: 'crc32c', verify_fatal: 1, do_verify: 1 }
      const mixed = await fioJob(uri, {
        rw: 'randwrite',
        bsrange: '4k-128k',
        blockalign: '4k',
        iodepth: 32,
        size: DISK_BYTES,
        ...verify,
      })
      expect(mixed.write.io_bytes).toBe(DISK_BYTES)
      expect(mixed.read.io_bytes).toBeGreaterThanOrEqual(DISK_BYTES)
      const shares = { numjobs: 4, size: DISK_BYTES / 4, offset_increment: DISK_BYTES / 4 }
      await fioJob(uri, { rw: 'randwrite', bs: '16k', iodepth: 16, ...shares, ...verify })
      const trims = await fioJob(uri, { rw: 'trimwrite', bs: '64k', iodepth: 8, size: DISK_BYTES })
      expect([trims.trim.io_bytes, trims.write.io_bytes]).toEqual([DISK_BYTES, DISK_BYTES])
    })
  })
})

describe('fio', () => {
  itWith(['fio', 'qemu-io'], 'finds one wrong byte: these tests can fail', async () => {
    await withServer({ calls: [malloc('Disk0', MiB)] }, async server => {
      const job = { rw: 'write', bs: '4k', iodepth: 4, size: MiB, verify: 'crc32c', verify_fatal: 1 }
      await fioJob(server.uri(), job)
      await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 0xa5 520192 512', server.uri()])
      const { status, stderr } = await run('fio', fioArgs(server.uri(), { ...job, verify_only: 1 }))
      expect(status).not.toBe(0)
      expect(stderr).toMatch(/verify/)
    })
  })

  itWith(['fio'], 'is told that a read-only export takes no writes', async () => {
    await withServer({ calls: [malloc('Disk0', MiB)], args: ['--read-only'] }, async server => {
      const { status, stdout, stderr } = await run('fio', fioArgs(server.uri(), { rw: 'write', bs: '4k', size: MiB }))
      expect(status).not.toBe(0)
      expect(`${stdout}${stderr}`).toMatch(/Operation not permitted|read-only/i)
    })
  })
})

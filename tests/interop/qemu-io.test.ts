// SPDX-License-Identifier: Apache-2.0
// Patterns written and read by qemu-io: what it reads must be what it wrote, also where it has to read, modify and write.
import { describe, expect, it } from 'vitest'
import { type Call, malloc, MiB, nullBdev, passthru } from './support/files.js'
import { run, type RunResult, runOk } from './support/run.js'
import { withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const qemuIo = (uri: string, commands: readonly string[], ...options: string[]): Promise<RunResult> =>
  run('qemu-io', ['-f', 'raw', ...options, ...commands.flatMap(command => ['-c', command]), uri])

/** Runs commands that all have to succeed. qemu-io's own exit status says so, and a wrong pattern is told on top. */
async function succeed(uri: string, commands: readonly string[], ...options: string[]): Promise<void> {
  const { status, stdout, stderr } = await qemuIo(uri, commands, ...options)
  expect(`${stdout}${stderr}`).not.toMatch(/failed|error/i)
  expect(status).toBe(0)
}

const disks: [string, Call[]][] = [
  ['512-byte blocks', [malloc('Disk0', 16 * MiB)]],
  [
    '4096-byte blocks under two passthru',
    [malloc('Base0', 16 * MiB, 4096), passthru('Middle0', 'Base0'), passthru('Disk0', 'Middle0')],
  ],
]

describe.each(disks)('qemu-io on %s', (_title, calls) => {
  itWith(['qemu-io'], 'reads the patterns that it wrote, and zeros where it discarded and zeroed', async () => {
    await withServer({ calls }, async server => {
      await succeed(server.uri(), [
        'write -P 0xab 0 16M',
        'read -P 0xab 0 16M',
        // Not aligned to the larger block size: qemu reads, modifies and writes.
        'write -P 0xcd 1536 512',
        'read -P 0xab 0 1536',
        'read -P 0xcd 1536 512',
        'read -P 0xab 2048 1M',
        'writev -P 0x11 4M 4096 8192 65536',
        'readv -P 0x11 4M 65536 4096 8192',
        'discard 1M 1M',
        'read -P 0 1M 1M',
        'write -z 3M 512k',
        'read -P 0 3M 512k',
        'read -P 0xab 3670016 64k',
        'write -z -u 5M 64k',
        'read -P 0 5M 64k',
        'write -f -P 0x33 6M 4096',
        'flush',
        'read -P 0x33 6M 4096',
      ])
      // Another connection sees the same disk.
      await succeed(server.uri(), ['read -P 0x11 4M 76k', 'read -P 0x33 6M 4096', 'read -P 0 1M 1M'])
    })
  })

  itWith(['qemu-io'], 'keeps many overlapping asynchronous reads and writes apart', async () => {
    await withServer({ calls }, async server => {
      const writes = Array.from({ length: 96 }, (_, i) => `aio_write -q -P ${i + 1} ${i * 128}k ${4 + (i % 16) * 8}k`)
      const reads = Array.from({ length: 96 }, (_, i) => `aio_read -q -P ${i + 1} ${i * 128}k ${4 + (i % 16) * 8}k`)
      const mixed = reads.flatMap((read, i) => [read, `aio_write -q -P ${200 + (i % 50)} ${12 * 1024 + i * 16}k 16k`])
      const check = reads.map((_, i) => `aio_read -q -P ${200 + (i % 50)} ${12 * 1024 + i * 16}k 16k`)
      const zero = ['aio_write -q -z 0 1M', 'aio_flush', 'read -q -P 0 0 1M']
      await succeed(server.uri(), [...writes, 'aio_flush', ...mixed, 'aio_flush', ...check, 'aio_flush', ...zero])
    })
  })
})

describe('qemu-io', () => {
  itWith(['qemu-io'], 'fails where the pattern is another one: these tests can fail', async () => {
    await withServer({ calls: [malloc('Disk0', MiB)] }, async server => {
      const { status, stdout } = await qemuIo(server.uri(), ['write -P 1 0 4096', 'read -P 2 0 4096'])
      expect(stdout).toContain('Pattern verification failed')
      expect(status).not.toBe(0)
    })
  })

  itWith(['qemu-io'], 'is refused writes on a read-only export with EPERM, and reads on', async () => {
    await withServer({ calls: [malloc('Disk0', MiB)], args: ['--read-only'] }, async server => {
      // Opened for writing, qemu sees the flag and says so; as a reader it is served.
      const refused = await qemuIo(server.uri(), ['write 0 4096'])
      expect(refused.status).not.toBe(0)
      expect(`${refused.stdout}${refused.stderr}`).toMatch(/read-only|Permission denied|not permitted/i)
      await succeed(server.uri(), ['read -P 0 0 1M'], '-r')
    })
  })

  itWith(['qemu-io'], 'gets an error beyond the end, and the connection lives on', async () => {
    await withServer({ calls: [malloc('Disk0', MiB)] }, async server => {
      const { stdout, stderr } = await qemuIo(server.uri(), ['write -P 7 1M 4096', 'read -P 0 0 1M'])
      expect(`${stdout}${stderr}`).toMatch(/write failed/)
      expect(stdout).toContain('read 1048576/1048576 bytes')
    })
  })

  itWith(['qemu-io', 'nbdinfo'], 'reads zeros from a null bdev whatever it wrote, over TCP', async () => {
    await withServer({ calls: [nullBdev('Null0', 64 * MiB)], args: ['--nbd', 'tcp:127.0.0.1:0'] }, async server => {
      const uri = server.uri('Null0', true)
      expect(await runOk('nbdinfo', ['--size', uri])).toBe(`${64 * MiB}\n`)
      await succeed(uri, ['write -P 0xff 0 32M', 'read -P 0 0 32M', 'write -z 0 64M'])
    })
  })
})

describe('the harness', () => {
  it('kills what takes too long, with all that it has started', async () => {
    await expect(run('sh', ['-c', 'sleep 600 & sleep 600'], { timeoutMs: 200 })).rejects.toThrow('wanted an end within 200 ms')
  })
})

// SPDX-License-Identifier: Apache-2.0
// Files as disks under real clients, and what the kernel sees of a FLUSH.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { type Call, inFolder, MiB, noise, passthru, writeStack } from './support/files.js'
import { fioJob } from './support/fio.js'
import { runOk, start } from './support/run.js'
import { bdev, withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const DISK_BYTES = 32 * MiB

function aio(name: string, filename: string, blockSizeBytes: number): Call {
  return { method: 'bdev_aio_create', params: { name, filename, block_size: blockSizeBytes } }
}

function sparse(folder: string, name: string, bytes: number): string {
  const path = join(folder, name)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return path
}

/** A folder in memory: /dev/shm, where Linux has it. */
async function inMemory<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync('/dev/shm/bdevt-')
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const qemuIo = (uri: string, ...commands: string[]): Promise<string> =>
  runOk('qemu-io', ['-f', 'raw', ...commands.flatMap(command => ['-c', command]), uri])

const places = [
  ['on a disk with 512-byte blocks', inFolder, 512],
  ['on a disk with 4096-byte blocks', inFolder, 4096],
  ['in memory', inMemory, 512],
] as const

describe.each(places)('a file %s under a passthru', (_, inPlace, blockSizeBytes) => {
  itWith(['fio', 'qemu-io'], 'serves fio verify and qemu-io, and holds what they wrote', async () => {
    await inPlace(async folder => {
      const path = sparse(folder, 'disk.img', DISK_BYTES)
      const calls = [aio('Aio0', path, blockSizeBytes), passthru('Disk0', 'Aio0')]
      await withServer({ calls }, async server => {
        const uri = server.uri('Disk0')
        const verify = { verify: 'crc32c', verify_fatal: 1, do_verify: 1, fsync: 64 }
        const mixed = await fioJob(uri, { rw: 'randwrite', bsrange: '4k-128k', blockalign: '4k', iodepth: 32, size: DISK_BYTES, ...verify })
        expect(mixed.write.io_bytes).toBe(DISK_BYTES)
        const shares = { numjobs: 4, size: DISK_BYTES / 4, offset_increment: DISK_BYTES / 4 }
        await fioJob(uri, { rw: 'randwrite', bs: '16k', iodepth: 16, ...shares, ...verify })
        await qemuIo(uri, 'write -P 0xab 0 1M', 'write -P 0xcd 1536 512', 'write -f -P 0x33 2M 4096', 'write -z 3M 512k', 'flush')
        await qemuIo(uri, 'read -P 0xcd 1536 512', 'read -P 0 3M 512k')
        expect(server.log()).toBe('')
      })
      const image = readFileSync(path)
      expect(new Set(image.subarray(0, 1536))).toEqual(new Set([0xab]))
      expect(new Set(image.subarray(1536, 2048))).toEqual(new Set([0xcd]))
      expect(new Set(image.subarray(2 * MiB, 2 * MiB + 4096))).toEqual(new Set([0x33]))
      expect(new Set(image.subarray(3 * MiB, 3 * MiB + 512 * 1024))).toEqual(new Set([0]))
    })
  })
})

describe('an image that qemu-img wrote', () => {
  itWith(['qemu-img', 'nbdcopy', 'nbdinfo'], 'is read through a readonly bdev byte by byte, as an export that says that it is read-only', async () => {
    await inFolder(async folder => {
      const path = join(folder, 'disk.img')
      const data = noise(1, 8 * MiB)
      writeFileSync(join(folder, 'raw'), data)
      await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', join(folder, 'raw'), path])
      const create: Call = { method: 'bdev_aio_create', params: { name: 'Aio0', filename: path, block_size: 512, readonly: true } }
      await withServer({ calls: [create] }, async server => {
        await runOk('nbdinfo', ['--is', 'readonly', server.uri()])
        await runOk('nbdcopy', [server.uri(), join(folder, 'copy')])
      })
      expect(readFileSync(join(folder, 'copy')).equals(data)).toBe(true)
    })
  })
})

interface Syscall {
  readonly name: string
  readonly text: string
  /** Places in the trace: where it began, where it had ended. */
  readonly began: number
  readonly ended: number
}

/** The calls of a trace of several threads (strace -f), in the order in which they ended. */
function parseTrace(trace: string): Syscall[] {
  const calls: Syscall[] = []
  const open = new Map<string, { name: string; text: string; began: number }>()
  for (const [at, line] of trace.split('\n').entries()) {
    const [, pid = '', text = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const resumed = /^<\.\.\. (\w+) resumed>/.exec(text)
    const name = /^(\w+)\(/.exec(text)?.[1]
    if (resumed !== null) {
      const begun = open.get(pid)
      if (begun !== undefined) calls.push({ ...begun, ended: at })
      open.delete(pid)
    } else if (name !== undefined && text.includes('<unfinished ...>')) open.set(pid, { name, text, began: at })
    else if (name !== undefined) calls.push({ name, text, began: at, ended: at })
  }
  return calls
}

describe('FLUSH and FUA', () => {
  itWith(['strace', 'qemu-io'], 'are an fdatasync that begins after the write has ended and ends before the answer leaves', async () => {
    await inFolder(async folder => {
      const path = sparse(folder, 'disk.img', MiB)
      const stack = writeStack(folder, [aio('Aio0', path, 512)])
      const trace = join(folder, 'trace')
      const socket = join(folder, 'n')
      const commands = ['write -P 1 0 64k', 'flush', 'write -P 2 64k 4096', 'write -f -P 3 128k 4096'].map(command => `-c '${command}'`).join(' ')
      // As a disk with a write cache: else qemu asks for FUA with every write.
      const client = `qemu-io -t writeback -f raw ${commands} "$uri"`
      const watched = 'trace=pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg'
      const server = [bdev, 'serve', '-c', stack, '--nbd', `unix:${socket}`, '--run', client]
      const { status, stderr } = await start('strace', ['-f', '-o', trace, '-e', watched, ...server], { timeoutMs: 60_000 }).ended
      expect(status, stderr).toBe(0)
      const calls = parseTrace(readFileSync(trace, 'utf8'))
      const writes = calls.filter(({ name }) => name.startsWith('pwrite'))
      const syncs = calls.filter(({ name }) => name === 'fdatasync')
      expect(calls.filter(({ name }) => name === 'fsync')).toEqual([])
      expect(writes.map(({ text }) => Number(/, (\d+)(\)| <)/.exec(text)?.[1]))).toEqual([0, 65_536, 131_072])
      // One for the flush, one for the write with FUA; qemu-io may flush once more when it closes.
      expect(syncs.length).toBeGreaterThanOrEqual(2)
      const [first, second] = syncs
      expect(first!.began).toBeGreaterThan(writes[0]!.ended)
      expect(first!.ended).toBeLessThan(writes[1]!.began)
      expect(second!.began).toBeGreaterThan(writes[2]!.ended)
      // The answer of a FLUSH or of a write with FUA is sent after its fdatasync has ended: a simple reply starts with its magic.
      const replies = calls.filter(({ text }) => text.includes('gDf\\230'))
      expect(replies.filter(({ began }) => began > writes[0]!.ended && began < first!.ended)).toHaveLength(1)
      expect(replies.filter(({ began }) => began > writes[2]!.ended && began < second!.ended)).toHaveLength(0)
    })
  }, { timeout: 60_000 })
})

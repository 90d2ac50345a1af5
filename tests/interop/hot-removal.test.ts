// SPDX-License-Identifier: Apache-2.0
// A bdev that is deleted under its clients: they get an error, nothing leaks, and what comes after is clean.
import { describe, expect, it } from 'vitest'
import { type Call, KiB, malloc, MiB, passthru } from './support/files.js'
import { fioArgs } from './support/fio.js'
import { inProcess, type InProcess, NOTHING } from './support/in-process.js'
import { Cmd, RawNbd, request } from './support/nbd-client.js'
import { runOk, start } from './support/run.js'
import { withServer } from './support/server.js'
import { itWith, TEST_TIMEOUT_MS } from './support/tools.js'

const DISK_BYTES = 64 * MiB
const OLD = 0xa5
const FOREIGN = 0x3c

const load = { rw: 'randrw', bsrange: '4k-256k', blockalign: '4k', iodepth: 32, size: DISK_BYTES, time_based: 1, runtime: 60 }
const iops = async (call: InProcess['call'], name: string): Promise<number> => {
  type Stat = { bdevs: { num_read_ops: number; num_write_ops: number }[] }
  const [stat] = (await call<Stat>('bdev_get_iostat', { names: [name] })).bdevs
  return (stat?.num_read_ops ?? 0) + (stat?.num_write_ops ?? 0)
}

/** Settles when a bdev has done so many I/Os. Each look is a call that other work gets in between. */
async function busy(call: InProcess['call'], name: string, ops: number): Promise<void> {
  const deadlineMs = performance.now() + 15_000
  while ((await iops(call, name)) < ops) {
    if (performance.now() > deadlineMs) throw new Error(`wanted ${ops} I/Os of bdev ${name}, found ${await iops(call, name)}`)
    await new Promise(resolve => void setImmediate(resolve))
  }
}

const stacks: [string, Call[], string][] = [
  ['a malloc bdev', [malloc('Base0', DISK_BYTES)], 'Base0'],
  [
    'the base of two passthru',
    [malloc('Base0', DISK_BYTES), passthru('Middle0', 'Base0'), passthru('Disk0', 'Middle0')],
    'Disk0',
  ],
]

describe.each(stacks)('deleting %s', (_title, calls, exported) => {
  itWith(['fio', 'qemu-io'], 'under fio ends it with an error; a new one in its place reads zeros', async () => {
    await withServer({ calls }, async server => {
      const uri = server.uri(exported)
      const fio = start('fio', fioArgs(uri, load))
      try {
        await busy(server.rpc, exported, 500)
        expect(await server.rpc('bdev_malloc_delete', { name: 'Base0' })).toBe(true)
        const { status, stdout, stderr } = await fio.ended
        expect(status).not.toBe(0)
        expect(`${stdout}${stderr}`).toMatch(/error|shut ?down|reset/i)
      } finally {
        fio.kill()
      }
      expect(await server.bdevNames()).toEqual([])
      expect(server.alive()).toBe(true)
      await server.rpc('bdev_malloc_create', { num_blocks: DISK_BYTES / 512, block_size: 512, name: 'Base0' })
      await server.rpc('bdev_get_bdevs', { name: exported, timeout: 5000 })
      await runOk('qemu-io', [
        '-f',
        'raw',
        '-c',
        `read -P 0 0 ${DISK_BYTES}`,
        '-c',
        'write -P 1 0 1M',
        '-c',
        'read -P 1 0 1M',
        uri,
      ])
    })
  })

  itWith(['fio'], 'under fio with 4 connections leaves no bdev, descriptor, channel or I/O in use', async () => {
    await inProcess(calls, [exported], async ({ host, nbd, uri, call, log }) => {
      const fio = start('fio', fioArgs(uri(exported), { ...load, numjobs: 4 }))
      try {
        await busy(call, exported, 500)
        expect(nbd.connections.length).toBeGreaterThanOrEqual(4)
        await call('bdev_malloc_delete', { name: 'Base0' })
        expect({ ...host.usage(), dmaBytes: 0 }).toEqual(NOTHING)
        expect((await fio.ended).status).not.toBe(0)
      } finally {
        fio.kill()
      }
      expect(nbd.connections).toEqual([])
      expect(log.filter(line => line.startsWith('error'))).toEqual([])
    })
  })

  // Large reads lend the bdev's own memory to the socket, small ones are copied behind their reply's head.
  it.each([
    { readBytes: MiB, reads: 32 },
    { readBytes: 16 * KiB, reads: 1024 },
  ])(
    'under a client that stopped reading replies of $readBytes bytes ends within 1 s, without a foreign byte',
    { timeout: TEST_TIMEOUT_MS },
    async ({ readBytes, reads }) => {
      await inProcess(calls, [exported], async ({ host, socket, call }) => {
        const old = await host.open(exported, { write: true })
        await old.write(Buffer.alloc(reads * readBytes, OLD), 0)
        await old.close()
        const client = await RawNbd.open(socket, exported)
        for (let i = 0; i < reads; i++) client.write(request(Cmd.Read, i, i * readBytes, readBytes))
        // Far more than a socket holds has been read from the bdev: replies wait for a client that does not come for them.
        await busy(call, exported, (4 * MiB) / readBytes)

        const startedMs = performance.now()
        await call('bdev_malloc_delete', { name: 'Base0' })
        expect(performance.now() - startedMs).toBeLessThan(1000)
        expect({ ...host.usage(), dmaBytes: 0 }).toEqual(NOTHING)

        // The same memory gets a new owner.
        await call('bdev_malloc_create', { num_blocks: DISK_BYTES / 512, block_size: 512, name: 'Base0' })
        await call('bdev_get_bdevs', { name: exported, timeout: 5000 })
        const next = await host.open(exported, { write: true })
        expect(Buffer.from(await next.read(0, DISK_BYTES)).equals(Buffer.alloc(DISK_BYTES))).toBe(true)
        await next.write(Buffer.alloc(DISK_BYTES, FOREIGN), 0)
        await next.close()

        const received = await client.readToEnd()
        expect(received.length).toBeGreaterThan(0)
        let at = 0
        for (; at + 16 <= received.length; at += 16 + readBytes) {
          expect(received.readUInt32BE(at + 4)).toBe(0)
          const data = received.subarray(at + 16, at + 16 + readBytes)
          expect(data.equals(Buffer.alloc(data.length, OLD))).toBe(true)
        }
        expect(at / (16 + readBytes)).toBeLessThanOrEqual(reads)
        await client.closed
      })
    },
  )
})

// SPDX-License-Identifier: Apache-2.0
// kill -9 of a server under load: every acknowledged write is on the file, and the server comes back from its stack file.
// BDEVKIT_CRASH_ROUNDS says how often.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { inFolder, MiB, passthru, writeStack, type Call } from './support/files.js'
import { run, start } from './support/run.js'
import { bdev } from './support/server.js'
import { itWith } from './support/tools.js'

const ROUNDS = Number(process.env.BDEVKIT_CRASH_ROUNDS ?? 6)
const client = fileURLToPath(new URL('../crash/client.py', import.meta.url))

/** A Python that has libnbd: Debian's own, where another one comes first on the path. */
async function findPython(): Promise<string | undefined> {
  for (const python of ['python3', '/usr/bin/python3']) {
    const { status } = await run(python, ['-c', 'import nbd']).catch(() => ({ status: 1 }))
    if (status === 0) return python
  }
  return undefined
}
const python = await findPython()

interface Summary {
  readonly acked: number
  readonly flushed: number
  readonly failure: string | null
}

/** Starts the server in `folder` as an operator would after a crash: same stack file, same socket. */
async function serve(stack: string, socket: string): Promise<{ uri: string; kill(): Promise<void> }> {
  const running = start(bdev, ['serve', '-c', stack, '--json', '--nbd', `unix:${socket}`], { timeoutMs: 120_000 })
  const ready = await new Promise<{ pid: number; exports: { name: string; uris: string[] }[] }>((resolve, reject) => {
    running.child.stdout!.on('data', () => running.output.stdout.includes('\n') && resolve(JSON.parse(running.output.stdout)))
    running.child.on('close', () => reject(new Error(`the server has ended: ${running.output.stderr}`)))
  })
  return {
    uri: ready.exports.find(({ name }) => name === 'Disk0')!.uris[0]!,
    async kill() {
      process.kill(ready.pid, 'SIGKILL')
      await running.ended
    },
  }
}

/** Lets the client write until it has had `acks` answers, then calls `cut`; what the client saw. */
async function load(uri: string, state: string, seed: number, acks: number, cut: () => Promise<void>): Promise<Summary> {
  const writer = start(python!, [client, 'load', uri, state, String(seed)], { timeoutMs: 120_000 })
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      const told = [...writer.output.stdout.matchAll(/^acked (\d+)/gm)].at(-1)
      if (Number(told?.[1] ?? 0) >= acks) resolve()
    }
    writer.child.stdout!.on('data', look)
    writer.child.on('close', () => reject(new Error(`the client has ended: ${writer.output.stdout}${writer.output.stderr}`)))
  })
  await cut()
  const { status, stdout, stderr } = await writer.ended
  expect(status, stdout + stderr).toBe(0)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Summary
}

describe.each([
  ['on a disk', 512],
  ['on a disk', 4096],
  ['in memory', 512],
] as const)('a file %s with blocks of %i bytes', (place, blockSizeBytes) => {
  itWith(
    [],
    `holds every acknowledged write after kill -9, ${ROUNDS} times`,
    async () => {
      await inFolder(async folder => {
        const files = place === 'in memory' ? mkdtempSync('/dev/shm/bdevt-') : folder
        const filename = join(files, 'disk.img')
        writeFileSync(filename, '')
        truncateSync(filename, 16 * MiB)
        const create: Call = { method: 'bdev_aio_create', params: { name: 'Aio0', filename, block_size: blockSizeBytes } }
        const stack = writeStack(folder, [create, passthru('Disk0', 'Aio0')])
        const [socket, state] = [join(folder, 'n'), join(folder, 'state')]
        let [acked, flushed, kills] = [0, 0, 0]
        let server = await serve(stack, socket)
        for (let round = 0; round < ROUNDS; round++) {
          // Numbers that look random and are the same in every run.
          const seen = await load(server.uri, state, round, 50 + ((round * 7919) % 2500), () => server.kill())
          expect(seen.failure).toBeNull()
          ;[acked, flushed, kills] = [acked + seen.acked, flushed + seen.flushed, kills + 1]
          server = await serve(stack, socket)
          const { status, stdout, stderr } = await run(python!, [client, 'verify', server.uri, state, 'kill'], { timeoutMs: 60_000 })
          expect(status, `round ${round}: ${stdout}${stderr}`).toBe(0)
        }
        await server.kill()
        console.log(`${place}, blocks of ${blockSizeBytes} bytes: ${kills} kills, ${acked} acknowledged writes, ${flushed} flushes, none lost`)
        if (files !== folder) rmSync(files, { recursive: true })
      })
    },
    { timeout: 30_000 + ROUNDS * 20_000, unable: python === undefined ? 'no Python with libnbd (python3-libnbd)' : '' },
  )
})

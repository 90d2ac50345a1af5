// SPDX-License-Identifier: Apache-2.0
// Peers that mean harm or know no better, beside clients that work: those do not notice, and memory stays bounded.
import { setMaxListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { malloc, MiB, noise, passthru } from './support/files.js'
import { fioJob } from './support/fio.js'
import { CLIENT_FLAGS, Cmd, option, RawNbd, request } from './support/nbd-client.js'
import { runOk } from './support/run.js'
import { type Server, withServer } from './support/server.js'
import { itWith, TEST_TIMEOUT_MS } from './support/tools.js'

setMaxListeners(100)

const PEERS = 64
const DISK_BYTES = 64 * MiB
const PAYLOAD_BYTES = 32 * MiB

/**
 * What 64 peers may add to the resident memory: the server's payload budget of 256 MiB, half a MiB for each connection, 64
 * MiB of buffers kept for later, and as much again for Node and its garbage. Without the budget, 64 payloads take 2 GiB.
 */
const GROWTH_BYTES_MAX = 448 * MiB

const calls = [malloc('Base0', DISK_BYTES), passthru('Disk0', 'Base0')]
const payload = noise(1, PAYLOAD_BYTES)

const GO = 7
const LIST = 3
const EXPORT_NAME = 1

type Attack = (socket: string, i: number) => Promise<RawNbd>

const randomBytes: Attack = async (socket, i) => {
  const peer = await RawNbd.connect(socket)
  peer.write(noise(i, 1 + ((i * 7919) % 65_536)))
  return peer
}

/** All that a good client says until it may send requests, cut anywhere. */
const truncatedHandshake: Attack = async (socket, i) => {
  const peer = await RawNbd.connect(socket)
  const name = Buffer.from('Disk0')
  const go = Buffer.concat([Buffer.from([0, 0, 0, name.length]), name, Buffer.from([0, 1, 0, 3])])
  const said = Buffer.concat([CLIENT_FLAGS, option(8), option(LIST), option(GO, go)])
  peer.write(said.subarray(0, (i * 5) % said.length))
  if (i % 2 === 0) peer.output.end()
  return peer
}

const hugeLengths: Attack = async (socket, i) => {
  const peer = await RawNbd.connect(socket)
  if (i % 2 === 0) {
    peer.write(CLIENT_FLAGS, option([EXPORT_NAME, LIST, GO, 10, 0xffff_ffff][i % 5]!, noise(i, 4096), 0xffff_ffff))
    return peer
  }
  await peer.enter('Disk0')
  const type = [Cmd.Read, Cmd.Write, Cmd.Trim, 5, 6, 7, 99][i % 7]!
  for (const offset of [0, DISK_BYTES - 512, Number.MAX_SAFE_INTEGER])
    peer.write(request(type, i, offset, 0xffff_ffff), noise(i, 100_000))
  return peer
}

/** All of a large write but its last byte. */
const stalledPayload: Attack = async (socket, i) => {
  const peer = await RawNbd.open(socket, 'Disk0')
  peer.write(request(Cmd.Write, i, PAYLOAD_BYTES, PAYLOAD_BYTES))
  peer.output.write(payload.subarray(0, PAYLOAD_BYTES - 1))
  return peer
}

/** Runs `work` while peers attack, and checks the server's memory and health after. */
async function under(server: Server, attack: Attack, work: () => Promise<void>): Promise<void> {
  const before = server.memory().rssBytes
  const peers = await Promise.all(Array.from({ length: PEERS }, (_, i) => attack(server.socket, i)))
  try {
    await work()
  } finally {
    for (const peer of peers) peer.destroy()
  }
  expect(server.memory().peakBytes - before).toBeLessThan(GROWTH_BYTES_MAX)
  expect(server.alive()).toBe(true)
}

// A write that is larger than what a connection receives at a time waits in line for memory while peers hold it.
const attacks: [string, string, Attack][] = [
  ['send random bytes', '8M', randomBytes],
  ['end in the middle of the handshake', '8M', truncatedHandshake],
  ['announce 4 GiB', '8M', hugeLengths],
  ['stall in a 32 MiB payload', '64k', stalledPayload],
  ['do all of this', '8M', (socket, i) => [randomBytes, truncatedHandshake, hugeLengths, stalledPayload][i % 4]!(socket, i)],
]

describe('peers that', () => {
  for (const [title, size, attack] of attacks) {
    itWith(['fio', 'qemu-io'], `${title}, 64 of them, harm no other client and take bounded memory`, async () => {
      await withServer({ calls }, async server => {
        // Half of the disk: the other half belongs to the peers.
        const job = { rw: 'randwrite', bs: '16k', iodepth: 16, size: DISK_BYTES / 4, verify: 'crc32c', verify_fatal: 1 }
        await under(server, attack, async () => {
          await fioJob(server.uri(), job)
          await runOk('qemu-io', [
            '-f',
            'raw',
            '-c',
            `write -P 0x77 16M ${size}`,
            '-c',
            `read -P 0x77 16M ${size}`,
            server.uri(),
          ])
        })
      })
    })
  }

  it('never read their replies hold bounded memory, and stop nobody', { timeout: TEST_TIMEOUT_MS }, async () => {
    await withServer({ calls }, async server => {
      const greedy: Attack = async (socket, i) => {
        const peer = await RawNbd.open(socket, 'Disk0')
        for (let k = 0; k < 64; k++) peer.write(request(Cmd.Read, i, 0, PAYLOAD_BYTES))
        return peer
      }
      await under(server, greedy, async () => {
        const client = await RawNbd.open(server.socket, 'Disk0')
        for (let i = 0; i < 100; i++) {
          client.write(request(Cmd.Read, i, i * 4096, 4096))
          expect((await client.reply(i, 4096)).data.equals(Buffer.alloc(4096))).toBe(true)
        }
        client.destroy()
      })
    })
  })

  it('connect beyond the limit are turned away, and those before them are served', { timeout: TEST_TIMEOUT_MS }, async () => {
    await withServer({ calls }, async server => {
      const first = await RawNbd.open(server.socket, 'Disk0')
      const crowd = await Promise.all(Array.from({ length: 400 }, () => RawNbd.connect(server.socket)))
      await Promise.race(crowd.map(peer => peer.readToEnd()))
      first.write(request(Cmd.Read, 1, 0, 512))
      expect((await first.reply(1, 512)).error).toBe(0)
      for (const peer of [first, ...crowd]) peer.destroy()
      await runOk('nbdinfo', ['--size', server.uri()])
    })
  })
})

// SPDX-License-Identifier: Apache-2.0
// What a server costs that has nothing to do, and what it costs after many clients have come and gone.
import { readdirSync } from 'node:fs'
// tidy: idling is measured over real time
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { malloc, MiB, nullBdev, passthru } from './support/files.js'
import { Cmd, RawNbd, request } from './support/nbd-client.js'
import { withServer } from './support/server.js'

const IDLE_MS = 5000
const ROUNDS = 200

describe('an idle server', () => {
  it('with a connected client that is silent uses less than 0.2 % of a core', async () => {
    const calls = [malloc('Base0', 64 * MiB), passthru('Disk0', 'Base0'), nullBdev('Null0', 64 * MiB)]
    await withServer({ calls }, async server => {
      const client = await RawNbd.open(server.socket, 'Disk0')
      client.write(request(Cmd.Write, 1, 0, 4096), Buffer.alloc(4096, 1))
      await client.reply(1)
      // What the engine compiles and collects after a start is no idling.
      await wait(2000)
      const beforeUs = server.cpuUs()
      // Starting has cost something, so that the meter works.
      expect(beforeUs).toBeGreaterThan(50_000)
      await wait(IDLE_MS)
      const share = (server.cpuUs() - beforeUs) / (IDLE_MS * 1000)
      expect(share).toBeLessThan(0.002)
      client.write(request(Cmd.Read, 2, 0, 4096))
      expect((await client.reply(2, 4096)).data).toEqual(Buffer.alloc(4096, 1))
      client.destroy()
    })
  })
})

describe('200 clients, one after the other,', () => {
  it('leave no memory and no file descriptor behind, however they leave', async () => {
    await withServer({ calls: [malloc('Disk0', 16 * MiB)] }, async server => {
      const descriptors = (): number => readdirSync(`/proc/${server.pid}/fd`).length
      const round = async (i: number): Promise<void> => {
        const client = await RawNbd.open(server.socket, 'Disk0')
        for (let k = 0; k < 8; k++) client.write(request(Cmd.Write, k, k * MiB, MiB), Buffer.alloc(MiB, k))
        for (let k = 0; k < 8; k++) client.write(request(Cmd.Read, 8 + k, k * MiB, MiB))
        // One says goodbye, one leaves with replies on their way, one in the middle of a request.
        if (i % 3 === 0) {
          for (let k = 0; k < 8; k++) expect((await client.reply(k)).error).toBe(0)
          for (let k = 0; k < 8; k++) expect((await client.reply(8 + k, MiB)).data[0]).toBe(k)
          client.write(request(Cmd.Disc, 99, 0, 0))
          await client.closed
        } else {
          if (i % 3 === 1) await client.reply(0)
          client.destroy()
        }
      }
      const settled = async (): Promise<{ rssBytes: number; descriptors: number }> => {
        // An exchange after the last goodbye: the server has seen it.
        await round(0)
        await wait(500)
        return { rssBytes: server.memory().rssBytes, descriptors: descriptors() }
      }
      for (let i = 0; i < ROUNDS / 2; i++) await round(i)
      const half = await settled()
      for (let i = 0; i < ROUNDS / 2; i++) await round(i)
      const end = await settled()
      expect(end.descriptors).toBe(half.descriptors)
      expect(end.rssBytes - half.rssBytes).toBeLessThan(32 * MiB)
    })
  })
})

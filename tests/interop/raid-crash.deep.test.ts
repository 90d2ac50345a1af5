// SPDX-License-Identifier: Apache-2.0
// kill -9 of a server whose array is under load, while a member is pulled and a spare is rebuilt: nothing that was acknowledged is
// wrong after the restart, all copies agree and all parity fits, and any member may be missing. BDEVKIT_CRASH_ROUNDS says how often.
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { load, noClient, serve, verify, type Doomed } from './support/crash.js'
import { inFolder, MiB, type Call } from './support/files.js'
import { itWith } from './support/tools.js'

const ROUNDS = Number(process.env.BDEVKIT_CRASH_ROUNDS ?? 8)
const FILE_BYTES = 10 * MiB

interface RaidInfo {
  readonly num_base_bdevs: number
  readonly num_base_bdevs_discovered: number
  readonly process?: { readonly type: string; readonly progress: { readonly blocks: number } }
  readonly last_scrub?: { readonly type: string; readonly mismatches: number; readonly read_errors: number; readonly complete: boolean }
  readonly base_bdevs_list: readonly { readonly name: string | null }[]
}
const info = async (server: Doomed): Promise<RaidInfo> => (await server.rpc<RaidInfo[]>('bdev_raid_get_bdevs', { category: 'all' }))[0]!
const membersOf = async (server: Doomed): Promise<string[]> => (await info(server)).base_bdevs_list.map(({ name }) => name!)

async function until(server: Doomed, what: string, holds: (array: RaidInfo) => boolean): Promise<void> {
  for (let asked = 0; asked < 100_000; asked++) if (holds(await info(server))) return
  throw new Error(`it never happened: ${what}\n${JSON.stringify(await info(server))}\n${server.log()}`)
}
const whole = (server: Doomed): Promise<void> =>
  until(server, 'all members take part', array => array.process === undefined && array.num_base_bdevs_discovered === array.num_base_bdevs)

/** Copies agree, and parity fits. */
async function agrees(server: Doomed, what: string): Promise<void> {
  await server.rpc('bdev_raid_start_process', { name: 'Raid0', type: 'check' })
  await until(server, 'the check ends', array => array.process === undefined)
  expect([what, (await info(server)).last_scrub]).toEqual([what, { type: 'check', mismatches: 0, read_errors: 0, complete: true }])
}

/** When the server is killed, as seen from the member that is pulled. */
const cuts = ['before', 'at once', 'while the spare is rebuilt', 'after'] as const

describe.each([
  { level: 'raid1', members: 2, bears: 1, params: {} },
  { level: 'raid10', members: 4, bears: 1, params: { strip_size_kb: 16 } },
  { level: 'raid5', members: 4, bears: 1, params: { strip_size_kb: 16 } },
  { level: 'raid5', members: 4, bears: 1, params: { strip_size_kb: 16, journal: false } },
  { level: 'raid6', members: 5, bears: 2, params: { strip_size_kb: 16 } },
])('$level of $members files, $params', ({ level, members, bears, params }) => {
  itWith(
    [],
    `has every acknowledged write after kill -9, whole and degraded, ${ROUNDS} times`,
    async () => {
      await inFolder(async folder => {
        const names = Array.from({ length: members + 1 }, (_, i) => `m${i}`)
        const fileOf = (name: string): string => join(folder, `${name}.img`)
        const blank = (name: string): void => {
          writeFileSync(fileOf(name), '')
          truncateSync(fileOf(name), FILE_BYTES)
        }
        const aio = (name: string): Call => ({
          method: 'bdev_aio_create',
          params: { name, filename: fileOf(name), block_size: 512, uuid: `5eed0000-0000-4000-8000-00000000000${name.slice(1)}` },
        })
        names.forEach(blank)
        const files = names.map(aio)
        const array = { name: 'Raid0', raid_level: level, base_bdevs: names.slice(0, members), superblock: true, ...params }
        const state = join(folder, 'state')
        const count = { acked: 0, flushed: 0, kills: 0 }

        /** Loads the array, pulls a member, kills the server. */
        const crash = async (server: Doomed, round: number, cut: (typeof cuts)[number]): Promise<void> => {
          const victim = (await membersOf(server))[round % members]!
          const spare = names.find(name => !array.base_bdevs.includes(name))!
          const slow = cut === 'while the spare is rebuilt'
          await server.rpc('bdev_raid_set_options', { process_window_size_kb: 256, process_max_bandwidth_mb_sec: slow ? 8 : 0 })
          const writer = load(server.uri, state, round)
          // Numbers that look random and are the same in every run.
          const first = 50 + ((round * 7919) % 500)
          await writer.acked(first)
          if (cut !== 'before') {
            if (cut !== 'at once') await server.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: spare, spare: true })
            await server.rpc('bdev_aio_delete', { name: victim })
            if (slow) await until(server, 'the rebuild', ({ process }) => (process?.progress.blocks ?? 0) > 0)
            if (cut === 'after') await whole(server)
          }
          await writer.acked(first + ((round * 104_729) % 700))
          await server.kill()
          const seen = await writer.seen()
          expect(seen.failure, server.log()).toBeNull()
          count.acked += seen.acked
          count.flushed += seen.flushed
          count.kills++
        }

        /** What is no member is as if new: it may have been one. */
        const blankSpare = async (server: Doomed): Promise<void> => {
          array.base_bdevs = await membersOf(server)
          const spare = names.find(name => !array.base_bdevs.includes(name))!
          await server.rpc('bdev_aio_delete', { name: spare })
          blank(spare)
          await server.rpc('bdev_aio_create', aio(spare).params)
        }

        let server = await serve(folder, [...files, { method: 'bdev_raid_create', params: array }], 'Raid0')
        for (let round = 0; round < ROUNDS; round++) {
          const cut = cuts[round % cuts.length]!
          const what = `round ${round}, killed ${cut}`
          await whole(server)
          await blankSpare(server)
          await crash(server, round, cut)

          server = await serve(folder, files, 'Raid0')
          await verify(server.uri, state, what)
          await whole(server)
          await agrees(server, what)
          const found = await membersOf(server)
          const without = Array.from({ length: bears }, (_, i) => found[(round + i) % members]!)
          for (const name of without) await server.rpc('bdev_raid_remove_base_bdev', { name })
          await verify(server.uri, state, `${what}, then without ${without.join(', ')}`)
          // The other one comes back by itself.
          await server.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: without[0] })
          await whole(server)
        }
        await server.kill()
        console.log(`${level}: ${count.kills} kills, ${count.acked} acknowledged writes, ${count.flushed} flushes, none lost`)
      })
    },
    { timeout: 30_000 + ROUNDS * 30_000, unable: noClient },
  )
})

// SPDX-License-Identifier: Apache-2.0
// Arrays on files under unmodified clients: clones out and in past the superblock, degraded and rebuilt under fio, killed.
import { truncateSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Call, digest, inFolder, malloc, MiB, noise, writeImage } from './support/files.js'
import { fioJob } from './support/fio.js'
import { Cmd, RawNbd, request } from './support/nbd-client.js'
import { runOk } from './support/run.js'
import { type Server, withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const DATA_BYTES = 24 * MiB
/** SPDK's superblock and what else lies before the data. */
const DATA_OFFSET_BYTES = MiB
const uuidOf = (i: number): string => `5eed0000-0000-4000-8000-00000000000${i}`

/** Files that are the members of an array, and their aio bdevs `m0`, `m1`, … with UUIDs that last. */
function members(folder: string, count: number, dataBytes = DATA_BYTES): Call[] {
  return Array.from({ length: count }, (_, i) => {
    const filename = join(folder, `m${i}.img`)
    writeFileSync(filename, '', { flag: 'a' })
    truncateSync(filename, DATA_OFFSET_BYTES + dataBytes)
    return { method: 'bdev_aio_create', params: { name: `m${i}`, filename, block_size: 512, uuid: uuidOf(i) } }
  })
}

const array = (level: string, names: string[], params: object = {}): Call => ({
  method: 'bdev_raid_create',
  params: { name: 'Raid0', raid_level: level, base_bdevs: names, superblock: true, ...params },
})

interface RaidInfo {
  readonly state: string
  readonly num_base_bdevs_discovered: number
  readonly process?: { readonly target: string; readonly progress: { readonly percent: number } }
}
const info = async (server: Server): Promise<RaidInfo> => (await server.rpc<RaidInfo[]>('bdev_raid_get_bdevs', { category: 'all' }))[0]!

describe('a clone', () => {
  itWith(['nbdcopy', 'qemu-img', 'dd'], 'of one export onto an array with a superblock, and back, is equal, and the superblock is out of the way', async () => {
    await inFolder(async folder => {
      const image = join(folder, 'in.raw')
      writeImage(image, 7, DATA_BYTES)
      const files = members(folder, 2)
      await withServer({ calls: [malloc('From0', DATA_BYTES), malloc('Back0', DATA_BYTES), ...files, array('raid1', ['m0', 'm1'])] }, async server => {
        await runOk('nbdcopy', ['--flush', image, server.uri('From0')])
        await runOk('nbdcopy', ['--connections=4', '--flush', server.uri('From0'), server.uri('Raid0')])
        await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, server.uri('Raid0')])
        await runOk('nbdcopy', [server.uri('Raid0'), server.uri('Back0')])
        await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, server.uri('Back0')])
      })
      for (const name of ['m0', 'm1']) {
        expect((await readFile(join(folder, `${name}.img`))).subarray(0, 8).toString()).toBe('SPDKRAID')
        const data = join(folder, `${name}.data`)
        await runOk('dd', [`if=${join(folder, `${name}.img`)}`, `of=${data}`, 'bs=1M', 'skip=1', 'status=none'])
        expect(await digest(data)).toBe(await digest(image))
      }
      // Found again by what is on the files; dd writes one more clone past the superblocks.
      const other = join(folder, 'other.raw')
      writeImage(other, 8, DATA_BYTES)
      for (const name of ['m0', 'm1']) await runOk('dd', [`if=${other}`, `of=${join(folder, `${name}.img`)}`, 'bs=1M', 'seek=1', 'conv=notrunc', 'status=none'])
      await withServer({ calls: files.toReversed() }, async server => {
        await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', other, server.uri('Raid0')])
      })
    })
  })
})

describe.each([
  { level: 'raid1', names: ['m0', 'm1'], params: {}, bs: '4k', size: DATA_BYTES },
  { level: 'raid10', names: ['m0', 'm1', 'm2'], params: { strip_size_kb: 16 }, bs: '4k', size: DATA_BYTES },
  { level: 'raid5', names: ['m0', 'm1', 'm2'], params: { strip_size_kb: 16 }, bs: '4k', size: DATA_BYTES / 4 },
  { level: 'raid6', names: ['m0', 'm1', 'm2', 'm3'], params: { strip_size_kb: 16 }, bs: '4k', size: DATA_BYTES / 4 },
  { level: 'raid5f', names: ['m0', 'm1', 'm2'], params: { strip_size_kb: 64 }, bs: '128k', size: DATA_BYTES },
])('$level on files', ({ level, names, params, bs, size }) => {
  itWith(['fio'], 'keeps what fio writes while a member goes, a spare takes its place and is rebuilt, and says so in its log', async () => {
    await inFolder(async folder => {
      const calls = [...members(folder, names.length + 1), array(level, names, params)]
      await withServer({ calls }, async server => {
        await server.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: `m${names.length}`, spare: true })
        const job = { rw: 'randwrite', bs, ba: bs, iodepth: 8, size, verify: 'crc32c', do_verify: 1, time_based: 0, loops: 2 }
        const written = fioJob(server.uri('Raid0'), job, 60_000)
        await server.rpc('bdev_raid_remove_base_bdev', { name: 'm1' })
        await server.logged('raid bdev "Raid0" is degraded: base bdev "m1" left slot 1')
        await server.logged(/raid bdev "Raid0" has rebuilt base bdev "m\d" in slot 1/)
        await written
        expect(await info(server)).toMatchObject({ state: 'online', num_base_bdevs_discovered: names.length })
        // What is left must hold it all.
        await server.rpc('bdev_raid_remove_base_bdev', { name: 'm0' })
        await fioJob(server.uri('Raid0'), { ...job, verify_only: 1, loops: 1 }, 60_000)
      })
    })
  })
})

const BLOCK_BYTES = 4096

/** A client that has each write flushed before the next one, and remembers what was acknowledged. */
class Writer {
  readonly acknowledged = new Map<number, number>()
  /** Of which no more is known than that it was sent. */
  inFlight: { at: number; version: number } | undefined
  readonly #conn: RawNbd
  #cookie = 0

  private constructor(conn: RawNbd) {
    this.#conn = conn
  }

  static async open(server: Server): Promise<Writer> {
    return new Writer(await RawNbd.open(server.socket, 'Raid0'))
  }

  async write(at: number, version: number): Promise<void> {
    this.inFlight = { at, version }
    await this.#call(Cmd.Write, at, noise(version, BLOCK_BYTES))
    await this.#call(Cmd.Flush, 0, undefined)
    this.acknowledged.set(at, version)
    this.inFlight = undefined
  }

  async #call(type: number, at: number, data: Buffer | undefined): Promise<void> {
    const cookie = ++this.#cookie
    this.#conn.write(request(type, cookie, at * BLOCK_BYTES, data?.length ?? 0), ...(data === undefined ? [] : [data]))
    const { error } = await this.#conn.reply(cookie)
    if (error !== 0) throw new Error(`error ${error}`)
  }
}

async function holds(server: Server, acknowledged: ReadonlyMap<number, number>, maybe: Writer['inFlight']): Promise<void> {
  const conn = await RawNbd.open(server.socket, 'Raid0')
  let cookie = 0
  for (const [at, version] of acknowledged) {
    conn.write(request(Cmd.Read, ++cookie, at * BLOCK_BYTES, BLOCK_BYTES))
    const { error, data } = await conn.reply(cookie, BLOCK_BYTES)
    const wanted = [noise(version, BLOCK_BYTES), ...(maybe?.at === at ? [noise(maybe.version, BLOCK_BYTES)] : [])]
    expect([at, error, wanted.some(one => one.equals(data))]).toEqual([at, 0, true])
  }
  conn.output.end()
}

describe('a server that is killed', () => {
  it('while a member is rebuilt has lost nothing that was flushed, on no member, and goes on with the rebuild', async () => {
    await inFolder(async folder => {
      const files = members(folder, 3)
      let writer!: Writer
      await withServer({ calls: [...files, array('raid1', ['m0', 'm1'])], cleanStop: false }, async server => {
        writer = await Writer.open(server)
        for (let i = 0; i < 150; i++) {
          await writer.write((i * 2657) % (DATA_BYTES / BLOCK_BYTES), i + 1)
          if (i === 40) await server.rpc('bdev_raid_remove_base_bdev', { name: 'm1' })
          if (i === 80) {
            await server.rpc('bdev_raid_set_options', { process_max_bandwidth_mb_sec: 1, process_window_size_kb: 256 })
            await server.rpc('bdev_raid_add_base_bdev', { raid_bdev: 'Raid0', base_bdev: 'm2' })
            // Whatever the machine does, it has begun and does not end.
            await server.rpc('bdev_raid_pause_process', { name: 'Raid0' })
          }
        }
        await writer.write(5, 1000)
        expect((await info(server)).process).toMatchObject({ target: 'm2' })
        const cut = writer.write(6, 1001).catch(() => undefined)
        process.kill(server.pid, 'SIGKILL')
        await cut
      })
      await withServer({ calls: [files[2]!, files[1]!, files[0]!] }, async server => {
        await holds(server, writer.acknowledged, writer.inFlight)
        await server.logged('raid bdev "Raid0" has rebuilt base bdev "m2"')
        expect(await info(server)).toMatchObject({ state: 'online', num_base_bdevs_discovered: 2 })
        await server.rpc('bdev_raid_remove_base_bdev', { name: 'm0' })
        await holds(server, writer.acknowledged, writer.inFlight)
      })
    })
  })
})

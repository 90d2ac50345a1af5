// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { parameterTables } from '@bdevkit/conformance'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { defineBdevModule, IoStatus, IoType, type BdevHost } from '@bdevkit/module-sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import gpt from '../src/index.js'
import { hasProtectiveMbr, parseBackup, parsePrimary, SPDK_TYPE_GUID } from '../src/gpt-table.js'
import { buildTable, resum } from './table.js'

const formats = new URL('../../../compat/formats/gpt/', import.meta.url)
const image = (name: string): Uint8Array => new Uint8Array(gunzipSync(readFileSync(new URL(name, formats))))
const golden = JSON.parse(readFileSync(new URL('bdevs.json', formats), 'utf8')) as Record<string, Record<string, unknown>[]>

/** A host with a RAM bdev "g" of these bytes, examined. */
async function hostWith(bytes: Uint8Array, blockSizeBytes = 512, options?: { all_partitions: boolean }): Promise<{ host: Host; log: string[] }> {
  const log: string[] = []
  const host = createHost({ log: (level, _source, message) => void log.push(`${level}: ${message}`) })
  let ram!: BdevHost
  host.use(gpt)
  host.use(defineBdevModule({ name: 'ram', sdk: '0.1', setup: own => ((ram = own), {}) }))
  await host.init()
  const handlers = host.modules.find(({ name }) => name === 'gpt')!.instance.handlers as Record<string, (params: object) => unknown>
  if (options !== undefined) handlers['bdev_gpt_set_options']!(options)
  const device = ram.registerIoDevice({ name: 'ram', createChannel: () => null })
  ram.registerBdev({
    name: 'g', productName: 'ram', blockSizeBytes, numBlocks: bytes.length / blockSizeBytes, ctx: null,
    fn: {
      destruct: () => device.unregister(),
      ioTypeSupported: (_ctx: null, type: number) => type === IoType.Read,
      getIoChannel: () => device.getIoChannel(),
      submitRequest(_channel: null, io) {
        ram.accel.copyToIovs(io.iovs, io.iovCnt, bytes, io.offsetBlocks * blockSizeBytes, io.numBlocks * blockSizeBytes)
        io.complete(IoStatus.Success)
      },
    },
  })
  await host.waitForExamine()
  return { host, log }
}

const partitions = (host: Host): Record<string, unknown>[] =>
  host.bdevs
    .filter(bdev => bdev.moduleName === 'gpt')
    .map(bdev => {
      const { name, aliases, product_name, block_size, num_blocks, uuid, driver_specific } = bdevInfoJson(bdev)
      return { name, aliases, product_name, block_size, num_blocks, uuid, driver_specific }
    })

describe('gpt', () => {
  it.each(['gpt', 'gpt-primary-bad'])('makes of %s.img what a real SPDK made of it', async name => {
    const { host, log } = await hostWith(image(`${name}.img.gz`))
    expect(partitions(host)).toEqual(golden[name])
    expect(log.some(line => line.includes('its backup is used'))).toBe(name === 'gpt-primary-bad')
    await host.finish()
  })

  it('makes partitions of every type where that is asked for', async () => {
    const { host } = await hostWith(image('gpt.img.gz'), 512, { all_partitions: true })
    expect(partitions(host).map(({ name }) => name)).toContain('gp3')
    expect(host.configJson()).toContainEqual({ method: 'bdev_gpt_set_options', params: { all_partitions: true } })
    await host.finish()
  })

  it('leaves a disk without a protective MBR alone, and one without a wanted partition unclaimed', async () => {
    const bytes = image('gpt.img.gz')
    bytes[510] = 0
    const { host } = await hostWith(bytes)
    expect(partitions(host)).toEqual([])
    expect(host.bdevByName('g')!.claimType).toBe(0)
    await host.finish()
  })

  it('says what is wrong where neither table is valid', async () => {
    const bytes = image('gpt-primary-bad.img.gz')
    bytes.fill(0, bytes.length - 512)
    const { host, log } = await hostWith(bytes)
    expect(partitions(host)).toEqual([])
    expect(log.join('\n')).toMatch(/no valid partition table: primary: .+; backup: /)
    await host.finish()
  })

  it('goes with its disk', async () => {
    const { host } = await hostWith(image('gpt.img.gz'))
    expect(partitions(host).length).toBeGreaterThan(0)
    await host.unregister('g')
    expect(host.bdevs).toHaveLength(0)
    await host.finish()
  })

  it('reads a table that it builds at any block size, and the partition of the last entry', () => {
    for (const blockSizeBytes of [512, 1024, 4096]) {
      const disk = { blockSizeBytes, numBlocks: 4096 }
      const bytes = buildTable(disk, [{ index: 127, start: 100, end: 199 }])
      const found = parsePrimary(bytes, disk)
      expect(hasProtectiveMbr(bytes, disk)).toBe(true)
      expect(found).toMatchObject({ table: { partitions: [{ index: 127, startLba: 100, endLba: 199, typeGuid: SPDK_TYPE_GUID }] } })
    }
  })

  it.each([
    ['the signature', 512, 'signature'], ['the header size', 524, 'header size'], ['my_lba', 536, 'not where it says'],
    ['last_usable', 567, 'usable range'], ['the number of entries', 594, 'entries'], ['the entry size', 597, 'entries of'],
    ['entry_lba', 588, 'entries outside'],
  ])('refuses a table that lies in %s although its checksum is right', (_field, at, why) => {
    const disk = { blockSizeBytes: 512, numBlocks: 4096 }
    const bytes = buildTable(disk, [])
    bytes[at]! ^= 0x7f
    resum(bytes)
    expect(parsePrimary(bytes, disk)).toMatchObject({ why: expect.stringContaining(why) as string })
  })

  it('never throws and never answers a range outside of the disk, whatever the table says', () => {
    const NUM_BLOCKS = 4096
    const tables = new Map([512, 4096].map(blockSizeBytes => {
      const disk = { blockSizeBytes, numBlocks: NUM_BLOCKS }
      return [blockSizeBytes, buildTable(disk, [{ index: 0, start: 40, end: 99 }, { index: 1, start: 100, end: 4000 }])] as const
    }))
    // Every field of the header and of two entries, by its place, with values at its limits and others.
    const limits = [0n, 1n, 2n, 33n, 34n, 91n, 92n, 127n, 128n, 129n, 512n, 513n, 4062n, 4094n, 4095n, 4096n, 0xffff_ffffn]
    const value = fc.oneof(fc.constantFrom(...limits, 1n << 53n, (1n << 63n) - 1n, (1n << 64n) - 1n), fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, 5000n))
    const header = fc.record({ at: fc.constantFrom(0, 8, 12, 20, 24, 32, 40, 48, 56, 72, 80, 84, 88), bytes: fc.constantFrom(1, 4, 8), value })
    const entry = fc.record({ index: fc.nat(1), at: fc.constantFrom(0, 8, 16, 32, 40, 48, 56), bytes: fc.constantFrom(1, 8), value })
    const lies = fc.tuple(fc.constantFrom(512, 4096), fc.array(header, { maxLength: 4 }), fc.array(entry, { maxLength: 6 }), fc.integer({ min: 0, max: 9 }))
    let accepted = 0
    fc.assert(
      fc.property(lies, ([size, headers, entries, sums]) => {
        const bytes = tables.get(size)!.slice()
        const put = (at: number, width: number, number: bigint): void => {
          const le = Buffer.alloc(8)
          le.writeBigUInt64LE(number)
          bytes.set(le.subarray(0, width), at)
        }
        for (const { at, bytes: width, value: lie } of headers) put(size + at, width, lie)
        for (const { index, at, bytes: width, value: lie } of entries) put(2 * size + index * 128 + at, width, lie)
        if (sums > 0) resum(bytes, size)
        const disk = { blockSizeBytes: size, numBlocks: NUM_BLOCKS }
        for (const result of [parsePrimary(bytes, disk), parseBackup(bytes, NUM_BLOCKS - bytes.length / size, disk)]) {
          if (!('table' in result)) continue
          accepted++
          for (const { startLba, endLba } of result.table.partitions) {
            expect(startLba).toBeGreaterThan(1)
            expect(endLba).toBeGreaterThanOrEqual(startLba)
            expect(endLba).toBeLessThan(NUM_BLOCKS)
          }
        }
      }),
      { numRuns: Number(process.env['GPT_FUZZ_RUNS'] ?? 1500) },
    )
    // Lies that nobody believes prove little.
    expect(accepted).toBeGreaterThan(100)
  })

  it.for(['sgdisk', 'sfdisk'])('reads what %s writes now, with 128 entries in use', (tool, { skip }) => {
    const dir = mkdtempSync(join(tmpdir(), 'bdevkit-gpt-'))
    try {
      const file = join(dir, 'disk')
      writeFileSync(file, '')
      truncateSync(file, 64 << 20)
      const starts = Array.from({ length: 128 }, (_, i) => 2048 + i * 64)
      const sgdisk = ['-a', '1', ...starts.flatMap((start, i) => [`-n${i + 1}:${start}:+32K`, `-t${i + 1}:${SPDK_TYPE_GUID}`])]
      const script = ['label: gpt', ...starts.map(start => `start=${start}, size=64, type=${SPDK_TYPE_GUID}`)].join('\n')
      const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }
      try {
        execFileSync(tool, tool === 'sgdisk' ? [...sgdisk, file] : [file], { input: script, stdio: 'pipe', env })
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === 'ENOENT' && !process.env['BDEVKIT_REQUIRE_TOOLS']?.includes(tool)) skip(`${tool} is not installed`)
        throw thrown
      }
      const bytes = new Uint8Array(readFileSync(file))
      const disk = { blockSizeBytes: 512, numBlocks: bytes.length / 512 }
      const found = parsePrimary(bytes.subarray(0, 32 * 1024), disk)
      expect('table' in found && found.table.partitions.map(({ startLba }) => startLba)).toEqual(starts)
      const backup = parseBackup(bytes.subarray(-32 * 1024), disk.numBlocks - 64, disk)
      expect(backup).toEqual(found)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('reads what sgdisk wrote to a disk of 4096-byte blocks, 128 entries of it', async () => {
    const { host } = await hostWith(image('sgdisk-4096.img.gz'), 4096)
    const found = partitions(host)
    expect(found).toHaveLength(128)
    expect(found.at(-1)).toMatchObject({ name: 'gp128', block_size: 4096, num_blocks: 15, driver_specific: { gpt: { offset_blocks: 2048 } } })
    await host.finish()
  })

  it.each([false, true])('reads what sfdisk wrote to a disk of 4096-byte blocks; primary table damaged: %s', async damaged => {
    const bytes = image('sfdisk-4096.img.gz')
    if (damaged) bytes[4096 + 40]! ^= 1
    const { host } = await hostWith(bytes, 4096, { all_partitions: true })
    expect(partitions(host).map(({ name, num_blocks, uuid }) => [name, num_blocks, uuid])).toEqual([
      ['gp1', 3072, '0fc63daf-0000-4000-8000-000000000011'],
      ['gp2', 256, '0fc63daf-0000-4000-8000-000000000012'],
      ['gp3', 255, '0fc63daf-0000-4000-8000-000000000013'],
    ])
    await host.finish()
  })

  it('has its parameters in its README', () => {
    expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(parameterTables(gpt))
  })
})

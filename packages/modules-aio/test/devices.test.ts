// SPDX-License-Identifier: Apache-2.0
// Block devices and full disks: loop devices and a small tmpfs, which only root can make.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bdevInfoJson, createHost, type Host } from '@bdevkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import aio from '../src/index.js'

const MIB = 1024 * 1024
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe', env: { ...process.env, PATH: `${process.env['PATH']}:/sbin:/usr/sbin` } }).trim()

/** Whether this process may make loop devices and mount. */
function mayMakeDevices(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'bdevkit-probe-'))
  try {
    writeFileSync(join(folder, 'img'), Buffer.alloc(MIB))
    run('losetup', '-d', run('losetup', '-f', '--show', join(folder, 'img')))
    run('mount', '-t', 'tmpfs', 'none', folder)
    run('umount', folder)
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true })
  }
}

let folder: string
let host: Host
let undo: (() => void)[]
let create: (params: object) => Promise<unknown>
let rescan: (params: object) => Promise<unknown>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bdevkit-aio-'))
  undo = [() => rmSync(folder, { recursive: true })]
  host = createHost({ log: () => {} })
  host.use(aio)
  await host.init()
  const handlers = host.modules[0]!.instance.handlers as Record<string, (params: object) => unknown>
  create = async params => handlers['bdev_aio_create']!({ name: 'A', ...params })
  rescan = async params => handlers['bdev_aio_rescan']!(params)
})
afterEach(async () => {
  await host.finish()
  for (const step of undo.reverse()) step()
})

/** A loop device over a file of `bytes`; [device, file]. */
function loop(bytes: number, blockSizeBytes: number): [device: string, file: string] {
  const file = join(folder, 'disk.img')
  writeFileSync(file, '')
  truncateSync(file, bytes)
  const device = run('losetup', '-f', '--show', '--sector-size', String(blockSizeBytes), file)
  undo.push(() => run('losetup', '-d', device))
  return [device, file]
}

/** Settles when a descriptor that is open now has been told of the removal, and has closed. */
function removalOf(name: string): Promise<void> {
  return new Promise(resolve => {
    const onEvent = (): void => {
      desc.close()
      resolve()
    }
    const desc = host.openBdev(name, { onEvent })
  })
}

describe.skipIf(!mayMakeDevices())('as root', () => {
  it.each([[512], [4096]])('a block device with %i-byte blocks says its block size and size itself', async blockSizeBytes => {
    const [filename] = loop(4 * MIB, blockSizeBytes)
    await create({ filename })
    const info = bdevInfoJson(host.bdevByName('A')!)
    expect(info).toMatchObject({ block_size: blockSizeBytes, num_blocks: (4 * MIB) / blockSizeBytes })
    expect(info['driver_specific']).toMatchObject({ aio: { block_size_override: false } })
    expect(host.configJson().find(({ method }) => method === 'bdev_aio_create')!.params).not.toHaveProperty('block_size')
    await using disk = await host.open('A', { write: true })
    const data = Uint8Array.from({ length: 65_536 }, (_, i) => i % 253)
    await disk.write(data, MIB)
    await disk.flush()
    expect(Buffer.compare(await disk.read(MIB, 65_536), data)).toBe(0)
  })

  it('takes no smaller blocks than the device has, but larger ones', async () => {
    const [filename] = loop(4 * MIB, 4096)
    await expect(create({ filename, block_size: 512 })).rejects.toMatchObject({ code: 'EINVAL' })
    await create({ filename, block_size: 8192 })
    expect(host.bdevByName('A')).toMatchObject({ numBlocks: 512, requiredAlignmentBytes: 4096 })
  })

  it('a partition says the block size of its disk', async () => {
    const [device] = loop(4 * MIB, 512)
    run('bash', '-c', `echo '2048,2048' | sfdisk --no-reread ${device}`)
    run('partx', '-a', device)
    undo.push(() => run('partx', '-d', device))
    await create({ filename: `${device}p1` })
    expect(host.bdevByName('A')).toMatchObject({ blockSizeBytes: 512, numBlocks: 2048 })
  })

  it('follows the size of a device when it is asked to', async () => {
    const [filename, file] = loop(4 * MIB, 512)
    await create({ filename })
    truncateSync(file, 8 * MIB)
    run('losetup', '-c', filename)
    expect(await rescan({ name: 'A' })).toBe(true)
    expect(host.bdevByName('A')!.numBlocks).toBe(16_384)
  })

  it('tells of sectors that cannot be read as EIO, and serves the others', async () => {
    const [filename, file] = loop(4 * MIB, 512)
    await create({ filename })
    truncateSync(file, 2 * MIB)
    await using disk = await host.open('A', { write: true })
    await expect(disk.read(3 * MIB, 4096)).rejects.toMatchObject({ code: 'EIO' })
    expect(new Set(await disk.read(MIB, 4096))).toEqual(new Set([0]))
  })

  it('a device that loses its medium under it is removed', async () => {
    const [device, file] = loop(4 * MIB, 512)
    await create({ filename: device })
    truncateSync(file, 0)
    run('losetup', '-c', device)
    const removed = removalOf('A')
    const disk = await host.open('A')
    await expect(disk.read(0, 4096)).rejects.toMatchObject({ code: 'ENODEV' })
    await removed
    await disk.close()
    await expect.poll(() => host.bdevByName('A')).toBeUndefined()
  })

  it('tells of a full file system as ENOSPC, and what was written before stays', async () => {
    const mount = join(folder, 'small')
    mkdirSync(mount)
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', mount)
    undo.push(() => run('umount', mount))
    const filename = join(mount, 'disk.img')
    writeFileSync(filename, '')
    truncateSync(filename, 4 * MIB)
    await create({ filename, block_size: 512 })
    await using disk = await host.open('A', { write: true })
    await disk.write(new Uint8Array(65_536).fill(1), 0)
    await expect(disk.write(new Uint8Array(2 * MIB).fill(2), MIB)).rejects.toMatchObject({ code: expect.stringMatching('ENOSPC|EIO') as string })
    const fill = async (): Promise<void> => {
      for (let at = 0; at < MIB; at += 65_536) await disk.write(new Uint8Array(65_536).fill(3), 3 * MIB + at)
    }
    await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(new Set(await disk.read(0, 65_536))).toEqual(new Set([1]))
  })
})

// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { freemem, tmpdir } from 'node:os'
import { formatBytes, formatTable, out } from './output.js'

/** Options of `bdev doctor`. */
export interface DoctorOptions {
  json?: boolean
}

/** One thing that this host can do, or not. */
export interface Finding {
  what: string
  /** `no` where something that people use here is missing; nothing that bdev itself needs. */
  state: 'yes' | 'no' | 'broken'
  /** What was found. */
  found: string
  /** What it is for, or what to do. */
  note: string
}

/** `bdev doctor`: what this host can do. Exit status 1 where bdev itself cannot work. */
export function doctor(options: DoctorOptions): number {
  const findings = examine()
  if (options.json === true) out(JSON.stringify(findings, null, 2))
  else for (const line of formatTable(findings.map(({ what, state, found, note }) => [state, what, found, note]))) out(line)
  return findings.some(({ state }) => state === 'broken') ? 1 : 0
}

function examine(): Finding[] {
  const root = process.getuid?.() === 0
  const kernelNbd = existsSync('/sys/module/nbd')
  const fuse = writable('/dev/fuse')
  return [
    nodeVersion(),
    dmaHeap(),
    temporaryFolder(),
    yesNo(
      'NBD clients',
      programs('nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io', 'fio'),
      'to use exports: apt-get install libnbd-bin qemu-utils fio',
    ),
    yesNo(
      'NBD disks of the kernel',
      kernelNbd && root ? programs('nbd-client') : [],
      kernelNbd
        ? root
          ? 'apt-get install nbd-client'
          : 'needs root: nbd_start_disk with /dev/nbdN'
        : 'needs root, modprobe nbd and nbd-client',
    ),
    yesNo(
      'FUSE',
      fuse ? programs('nbdfuse', 'fusermount3', 'fusermount') : [],
      fuse ? 'apt-get install libnbd-bin fuse3' : 'wants /dev/fuse, to mount an export as a file without root',
    ),
    yesNo(
      'loop devices',
      root && existsSync('/dev/loop-control') ? ['/dev/loop-control'] : [],
      'to mount a file of an export: needs root and the module loop',
    ),
    yesNo(
      'virtual machines',
      programs('qemu-system-x86_64', 'qemu-system-aarch64'),
      'to boot from an export: apt-get install qemu-system-x86',
    ),
    yesNo(
      'KVM',
      writable('/dev/kvm') ? ['/dev/kvm'] : [],
      'virtual machines are slow without it; add your user to the group kvm',
    ),
    yesNo(
      'systemd',
      process.env['NOTIFY_SOCKET'] === undefined ? [] : ['NOTIFY_SOCKET'],
      'readiness is told where a unit with Type=notify starts bdev serve',
    ),
  ]
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const good = major > 20 || (major === 20 && minor >= 19)
  return { what: 'Node', state: good ? 'yes' : 'broken', found: process.version, note: good ? '' : 'wanted 20.19 or later' }
}

// Node's types leave it out.
const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: new (options: object) => object } }).WebAssembly

/** bdev reserves 4 GiB of addresses for the heap and uses little of it: a limit on addresses breaks that. */
function dmaHeap(): Finding {
  const free = `${formatBytes(Math.round(freemem() / 1024 / 1024) * 1024 * 1024)} free`
  try {
    void new Memory({ initial: 1, maximum: 65_536, shared: true })
    return { what: 'DMA heap', state: 'yes', found: free, note: '' }
  } catch (thrown) {
    return {
      what: 'DMA heap',
      state: 'broken',
      found: (thrown as Error).message,
      note: 'wanted 4 GiB of addresses; raise ulimit -v',
    }
  }
}

function temporaryFolder(): Finding {
  const folder = tmpdir()
  const good = writable(folder)
  return {
    what: 'temporary folder',
    state: good ? 'yes' : 'no',
    found: folder,
    note: good ? '' : 'not writable; set TMPDIR, which --run and /dev/nbdN use',
  }
}

function yesNo(what: string, found: readonly string[], note: string): Finding {
  return { what, state: found.length > 0 ? 'yes' : 'no', found: found.join(', ') || '-', note: found.length > 0 ? '' : note }
}

function programs(...names: string[]): string[] {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return names.filter(name => folders.some(folder => allowed(join(folder, name), constants.X_OK)))
}

function writable(path: string): boolean {
  return allowed(path, constants.R_OK | constants.W_OK)
}

function allowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BdevError, RpcError, type RpcCall } from '@bdevkit/module-sdk'
import { nbdAddressText, parseNbdAddress, refuseRemote } from './address.js'
import type { NbdHost } from './host.js'
import { NbdServer } from './server.js'
import type { NbdAddress } from './sockets.js'

const NBD_CLIENT_TIMEOUT_MS = 30_000
const ENODEV = -19
/** Time that clients of a disk have to end. */
const DEADLINE_MS = 5_000

interface Disk {
  readonly device: string
  readonly bdevName: string
  readonly server: NbdServer
  /** Where the socket of a kernel device is. */
  readonly folder: string | undefined
}

/** Runs a program; rejects with its standard error where it fails. Replaced in tests. */
export type RunProgram = (file: string, args: readonly string[]) => Promise<void>

/**
 * SPDK's NBD disks: one bdev on one device. A device is a kernel's, `/dev/nbdN`, which `nbd-client` connects to a private socket,
 * or an address of ours, `unix:PATH` or `tcp:HOST:PORT`, for clients that speak NBD themselves.
 */
export class NbdDisks {
  readonly #host: NbdHost
  readonly #allowRemote: boolean
  readonly #run: RunProgram
  readonly #disks = new Map<string, Disk>()
  /** Devices that are being made. */
  readonly #starting = new Set<string>()

  constructor(host: NbdHost, allowRemote: boolean, run: RunProgram = runProgram) {
    this.#host = host
    this.#allowRemote = allowRemote
    this.#run = run
  }

  /**
   * Starts a disk; answers its device. Without `device` it is the first kernel device that is free.
   * @throws RpcError -19 with SPDK's text: no such kind of device, or none is free; BdevError EBUSY the device is in use; ENODEV no
   * such bdev; EPERM it is claimed, or others could reach the address; ENOTSUP `nbd-client` is missing; EIO it failed.
   */
  async start(bdevName: string, device?: string): Promise<string> {
    if (device !== undefined && !device.startsWith('/dev/')) return this.#startSocket(bdevName, device)
    if (device !== undefined) {
      if (!/^\/dev\/nbd\d+$/.test(device)) throw illegal(device)
      if (this.#inUse(device) || (await isConnected(device)))
        throw new BdevError('EBUSY', `nbd_start_disk: ${device} is in use; choose another device`)
      return this.#startKernel(bdevName, device)
    }
    for (let index = 0; ; index++) {
      const free = `/dev/nbd${index}`
      if (!(await exists(free))) throw new RpcError(ENODEV, 'nbd device not found')
      if (!this.#inUse(free) && !(await isConnected(free))) return this.#startKernel(bdevName, free)
    }
  }

  /** Ends a disk. @throws BdevError ENODEV no such disk; EIO `nbd-client` failed. */
  async stop(device: string): Promise<void> {
    const disk = this.#disks.get(device)
    if (disk === undefined)
      throw new BdevError('ENODEV', `nbd_stop_disk: "${device}" is no disk of ours; nbd_get_disks lists them`)
    if (disk.folder !== undefined) await this.#nbdClient(['-d', device])
    await this.#close(disk)
  }

  /** Disks in the order of their start. @throws BdevError ENODEV no such disk. */
  list(device?: string): { nbd_device: string; bdev_name: string }[] {
    if (device !== undefined && !this.#disks.has(device))
      throw new BdevError('ENODEV', `nbd_get_disks: "${device}" is no disk of ours`)
    const disks = device === undefined ? [...this.#disks.values()] : [this.#disks.get(device) as Disk]
    return disks.map(({ device: nbd_device, bdevName }) => ({ nbd_device, bdev_name: bdevName }))
  }

  /** Calls that bring the disks back. */
  configJson(): RpcCall[] {
    return this.list().map(({ nbd_device, bdev_name }) => ({ method: 'nbd_start_disk', params: { bdev_name, nbd_device } }))
  }

  /** A bdev is gone: its disks are, too. */
  bdevGone(bdevName: string): void {
    for (const disk of [...this.#disks.values()]) {
      if (disk.bdevName !== bdevName) continue
      this.#host.log.notice(`nbd: disk ${disk.device} ends: bdev "${bdevName}" is gone`)
      void this.#close(disk)
    }
  }

  /** Ends every disk, as far as that goes. */
  async stopAll(deadlineMs = DEADLINE_MS): Promise<void> {
    await Promise.all(
      [...this.#disks.values()].map(async disk => {
        if (disk.folder !== undefined)
          await this.#nbdClient(['-d', disk.device]).catch((thrown: Error) => this.#host.log.warn(thrown.message))
        await this.#close(disk, deadlineMs)
      }),
    )
  }

  async #startSocket(bdevName: string, device: string): Promise<string> {
    let address: NbdAddress
    try {
      address = parseNbdAddress(device)
    } catch (cause) {
      throw Object.assign(illegal(device), { cause })
    }
    if (!this.#allowRemote) refuseRemote(`nbd_start_disk of bdev "${bdevName}"`, address)
    const name = nbdAddressText(address)
    if (this.#inUse(name)) throw new BdevError('EBUSY', `nbd_start_disk: ${name} is in use; choose another address`)
    this.#starting.add(name)
    try {
      const server = await this.#serve(bdevName, address)
      // Of a TCP port that the system chose, the real one.
      const real = nbdAddressText(server.addresses[0] as NbdAddress)
      this.#disks.set(real, { device: real, bdevName, server, folder: undefined })
      return real
    } finally {
      this.#starting.delete(name)
    }
  }

  async #startKernel(bdevName: string, device: string): Promise<string> {
    this.#starting.add(device)
    const folder = await mkdtemp(join(tmpdir(), 'bdev-nbd-'))
    let server: NbdServer | undefined
    try {
      const path = join(folder, 'nbd.sock')
      server = await this.#serve(bdevName, { path })
      await this.#nbdClient(['-unix', path, device, '-name', '', '-b', '512'])
      this.#disks.set(device, { device, bdevName, server, folder })
      return device
    } catch (thrown) {
      await server?.stop({ deadlineMs: 0 })
      await rm(folder, { recursive: true, force: true })
      throw thrown
    } finally {
      this.#starting.delete(device)
    }
  }

  async #serve(bdevName: string, address: NbdAddress): Promise<NbdServer> {
    const server = new NbdServer(this.#host, { blockSizeRequiredAboveBytes: 512, exports: [{ name: '', bdevName }] })
    try {
      await server.listen(address)
      return server
    } catch (thrown) {
      await server.stop({ deadlineMs: 0 })
      throw thrown
    }
  }

  async #close(disk: Disk, deadlineMs = DEADLINE_MS): Promise<void> {
    this.#disks.delete(disk.device)
    await disk.server.stop({ deadlineMs })
    if (disk.folder !== undefined) await rm(disk.folder, { recursive: true, force: true })
  }

  #inUse(device: string): boolean {
    return this.#disks.has(device) || this.#starting.has(device)
  }

  async #nbdClient(args: readonly string[]): Promise<void> {
    try {
      await this.#run('nbd-client', args)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
        throw new BdevError(
          'ENOTSUP',
          'nbd: wanted nbd-client to connect a device of the kernel, found none on PATH; install it, or name unix:PATH as the device',
          { cause },
        )
      }
      throw new BdevError(
        'EIO',
        `nbd: nbd-client ${args.join(' ')}: ${(cause as Error).message.trim()}; it needs root and the module nbd (modprobe nbd)`,
        { cause },
      )
    }
  }
}

function illegal(device: string): RpcError {
  return new RpcError(ENODEV, `illegal nbd device ${device}`)
}

/** The kernel shows a pid while a device has its connection. */
function isConnected(device: string): Promise<boolean> {
  return exists(`/sys/block/${device.slice('/dev/'.length)}/pid`)
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function runProgram(file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], { timeout: NBD_CLIENT_TIMEOUT_MS }, (error, _stdout, stderr) => {
      if (error === null) return resolve()
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- an Error with the program's own words
      reject(Object.assign(error, { message: stderr === '' ? error.message : stderr }))
    })
  })
}

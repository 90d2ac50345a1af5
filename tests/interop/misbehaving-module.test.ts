// SPDX-License-Identifier: Apache-2.0
// Modules that break the contract, under load, beside one that keeps it: the log names who did what, and nobody else
// notices. The module's bdev reads 0x77 and drops writes; in its last MiB it misbehaves.
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { malloc, MiB } from './support/files.js'
import { fioJob } from './support/fio.js'
import { installSdk, writeModule } from './support/foreign-module.js'
import { run } from './support/run.js'
import { sharedServer } from './support/server.js'
import { itWith } from './support/tools.js'

const DISK_BYTES = 16 * MiB

const source = `
const params = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'how'],
  properties: { name: { type: 'string' }, how: { type: 'string' }, base_bdev_name: { type: 'string' } },
}
const shape = { blockSizeBytes: 512, numBlocks: ${DISK_BYTES / 512} }
const serve = (host, io) => {
  if (io.type === IoType.Read) host.accel.fillIovs(io.iovs, io.iovCnt, 0x77)
}
const tricks = {
  'completes twice'(io) {
    io.complete(IoStatus.Success)
    io.complete(IoStatus.Failed)
  },
  'completes twice, the second time late'(io) {
    io.complete(IoStatus.Success)
    setImmediate(() => io.complete(IoStatus.Failed))
  },
  'throws'() {
    throw new Error('a bad day')
  },
  'throws, and completes after all'(io) {
    setImmediate(() => io.complete(IoStatus.Success))
    throw new Error('a bad day')
  },
  async 'returns a promise'(io) {
    await undefined
    io.complete(IoStatus.Success)
  },
  'throws after it completed'(io) {
    io.complete(IoStatus.Success)
    throw new Error('a bad day')
  },
}
export default defineBdevModule({
  name: 'rogue',
  sdk: '0.1',
  rpc: { bdev_rogue_create: method({ params }), bdev_rogue_vbdev_create: method({ params }) },
  setup(host) {
    const device = host.registerIoDevice({ name: 'rogue', createChannel: () => ({}) })
    const make = how => ({
      destruct() {},
      ioTypeSupported: (_ctx, type) => type === IoType.Read || type === IoType.Write,
      getIoChannel: () => device.getIoChannel(),
      submitRequest(_channel, io) {
        serve(host, io)
        if (io.offsetBlocks * 512 >= ${DISK_BYTES - MiB}) return tricks[how](io)
        io.complete(IoStatus.Success)
      },
    })
    const afterChild = (child, parent) => {
      if (parent.offsetBlocks * 512 >= ${DISK_BYTES - MiB}) throw new Error('a bad day')
      parent.completeFrom(child)
    }
    const vbdevs = host.vbdevs({
      attach: (base, { name }) =>
        Object.assign(base.geometry(), {
          name,
          ctx: base,
          productName: 'Rogue vbdev',
          fn: {
            destruct: base => base.close(),
            ioTypeSupported: (base, type) => base.ioTypeSupported(type),
            getIoChannel: base => base.getIoChannel(),
            submitRequest: (channel, io) => io.forwardThen(channel, afterChild),
          },
        }),
    })
    return {
      handlers: {
        bdev_rogue_create: ({ name, how }) =>
          host.registerBdev({ ...shape, name, ctx: {}, fn: make(how), productName: 'Rogue' }).name,
        bdev_rogue_vbdev_create: params => vbdevs.create(params),
      },
    }
  },
})
`

interface Case {
  readonly how: string
  /** Whether the client sees its I/O succeed. */
  readonly succeeds: boolean
  /** What the log says, without the name of the bdev. */
  readonly named: (bdev: string) => RegExp
}

const twice = (bdev: string): RegExp =>
  new RegExp(`module "rogue" completed an I/O of bdev "${bdev}" that it does not have \\(twice`)
const threw = (bdev: string): RegExp => new RegExp(`submitRequest of module "rogue" for bdev "${bdev}" threw: .*a bad day`)
const promised = (bdev: string): RegExp =>
  new RegExp(`submitRequest of module "rogue" returned a promise: .* bdev "${bdev}" fails`)
const callbackThrew = (bdev: string): RegExp => new RegExp(`"rogue".*"${bdev}".* threw: .*a bad day`)

const cases: Case[] = [
  { how: 'completes twice', succeeds: true, named: twice },
  { how: 'completes twice, the second time late', succeeds: true, named: twice },
  { how: 'throws', succeeds: false, named: threw },
  { how: 'throws, and completes after all', succeeds: false, named: threw },
  { how: 'returns a promise', succeeds: false, named: promised },
  { how: 'throws after it completed', succeeds: true, named: threw },
  { how: 'throws in a completion callback', succeeds: false, named: callbackThrew },
]
const isVbdev = (how: string): boolean => how.endsWith('callback')

const qemuIo = async (uri: string, ...commands: string[]): Promise<string> => {
  const { stdout, stderr } = await run('qemu-io', ['-f', 'raw', ...commands.flatMap(command => ['-c', command]), uri])
  return `${stdout}${stderr}`
}

describe('a module that', () => {
  const server = sharedServer(project => {
    installSdk(project)
    const folder = join(project, 'rogue')
    writeModule({ folder, packageName: 'bdev-module-rogue', name: 'rogue', source })
    const rogues = cases.map(({ how }, i) =>
      isVbdev(how)
        ? { method: 'bdev_rogue_vbdev_create', params: { name: `Rogue${i}`, how, base_bdev_name: 'Base0' } }
        : { method: 'bdev_rogue_create', params: { name: `Rogue${i}`, how } },
    )
    return { calls: [malloc('Malloc0', DISK_BYTES), malloc('Base0', DISK_BYTES), ...rogues], args: ['--module', folder] }
  })

  cases.forEach(({ how, succeeds, named }, i) => {
    itWith(['fio', 'qemu-io'], `${how} is named in the log and harms no other I/O`, async () => {
      const job = { rw: 'randwrite', bs: '4k', iodepth: 16, size: DISK_BYTES, verify: 'crc32c', verify_fatal: 1 }
      const other = fioJob(server().uri('Malloc0'), job)
      const name = `Rogue${i}`
      const uri = server().uri(name)
      for (let k = 0; k < 3; k++) {
        const outcome = await qemuIo(uri, 'read 15M 4096', 'write 15M 4096')
        if (succeeds) expect(outcome).toMatch(/read 4096\/4096 bytes[^]*wrote 4096\/4096 bytes/)
        else expect(outcome).toMatch(/read failed[^]*write failed/)
      }
      await server().logged(named(name))
      // Elsewhere it works, on objects that were not spoilt.
      expect(await qemuIo(uri, `read -P ${isVbdev(how) ? 0 : 0x77} 0 15M`)).toContain('read 15728640/15728640 bytes')
      await other
      expect(server().alive()).toBe(true)
    })
  })
})

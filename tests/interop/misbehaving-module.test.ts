// SPDX-License-Identifier: Apache-2.0
// Modules that break the contract, under load, beside one that keeps it: the log names who did what, and nobody else
// notices. The module's bdev reads 0x77 and drops writes; in its last MiB it misbehaves.
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { inFolder, malloc, MiB } from './support/files.js'
import { fioJob } from './support/fio.js'
import { installSdk, writeModule } from './support/foreign-module.js'
import { run } from './support/run.js'
import { type Server, withServer } from './support/server.js'
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

/** Serves \`Rogue0\`, which does \`how\`, and a malloc bdev that fio verifies in the meantime. */
async function beside(how: string, use: (server: Server) => Promise<void>): Promise<void> {
  await inFolder(async project => {
    installSdk(project)
    const folder = join(project, 'rogue')
    writeModule({ folder, packageName: 'bdev-module-rogue', name: 'rogue', source })
    const rogue =
      how === 'throws in a completion callback'
        ? [
            malloc('Base0', DISK_BYTES),
            { method: 'bdev_rogue_vbdev_create', params: { name: 'Rogue0', how, base_bdev_name: 'Base0' } },
          ]
        : [{ method: 'bdev_rogue_create', params: { name: 'Rogue0', how } }]
    await withServer({ calls: [malloc('Malloc0', DISK_BYTES), ...rogue], args: ['--module', folder] }, async server => {
      const job = { rw: 'randwrite', bs: '4k', iodepth: 16, size: DISK_BYTES, verify: 'crc32c', verify_fatal: 1 }
      await Promise.all([fioJob(server.uri('Malloc0'), job), use(server)])
      expect(server.alive()).toBe(true)
    })
  })
}

const command = (action: string): Promise<{ status: number; stdout: string; stderr: string }> => run('sh', ['-c', action])

interface Case {
  readonly how: string
  /** Whether the client sees its I/O succeed. */
  readonly succeeds: boolean
  readonly named: RegExp
}

const twice = /module "rogue" completed an I\/O of bdev "Rogue0" that it does not have \(twice/
const threw = /submitRequest of module "rogue" for bdev "Rogue0" threw: .*a bad day/
const cases: Case[] = [
  { how: 'completes twice', succeeds: true, named: twice },
  { how: 'completes twice, the second time late', succeeds: true, named: twice },
  { how: 'throws', succeeds: false, named: threw },
  { how: 'throws, and completes after all', succeeds: false, named: threw },
  {
    how: 'returns a promise',
    succeeds: false,
    named: /submitRequest of module "rogue" returned a promise: .* bdev "Rogue0" fails/,
  },
  { how: 'throws after it completed', succeeds: true, named: threw },
  { how: 'throws in a completion callback', succeeds: false, named: /rogue.*threw: .*a bad day/ },
]

describe('a module that', () => {
  for (const { how, succeeds, named } of cases) {
    itWith(['fio', 'qemu-io'], `${how} is named in the log and harms no other I/O`, async () => {
      await beside(how, async server => {
        const uri = server.uri('Rogue0')
        for (let i = 0; i < 3; i++) {
          const trap = await command(`qemu-io -f raw -c 'read 15M 4096' -c 'write 15M 4096' '${uri}'`)
          const outcome = `${trap.stdout}${trap.stderr}`
          if (succeeds) expect(outcome).toMatch(/read 4096\/4096 bytes[^]*wrote 4096\/4096 bytes/)
          else expect(outcome).toMatch(/read failed[^]*write failed/)
        }
        await server.logged(named)
        if (how !== 'throws in a completion callback') {
          const rest = await command(`qemu-io -r -f raw -c 'read -P 0x77 0 15M' '${uri}'`)
          expect(rest.stdout).toContain('read 15728640/15728640 bytes')
        }
      })
    })
  }
})

// SPDX-License-Identifier: Apache-2.0
// Whole images in and out, through qemu's block layer and through libnbd with several connections.
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digest, type Call, malloc, MiB, passthru, writeImage } from './support/files.js'
import { runOk } from './support/run.js'
import { type Server, withServer } from './support/server.js'
import { itWith } from './support/tools.js'

const IMAGE_BYTES = 64 * MiB
const SMALL_BYTES = 24 * MiB

const stacks: [string, number, Call[]][] = [
  ['a malloc bdev', IMAGE_BYTES, [malloc('Disk0', IMAGE_BYTES)]],
  ['a malloc bdev of 4096-byte blocks', SMALL_BYTES, [malloc('Disk0', SMALL_BYTES, 4096)]],
  [
    'passthru over passthru',
    SMALL_BYTES,
    [malloc('Base0', SMALL_BYTES), passthru('Middle0', 'Base0'), passthru('Disk0', 'Middle0')],
  ],
]

/** Holes of an image must not let what the disk held before shine through. */
async function soil(server: Server, sizeBytes: number): Promise<void> {
  await runOk('qemu-io', ['-f', 'raw', '-c', `write -P 0x5a 0 ${sizeBytes}`, server.uri('Disk0')])
}

describe.each(stacks)('%s', (_title, sizeBytes, calls) => {
  itWith(['qemu-img', 'qemu-io'], 'holds what qemu-img convert writes, and gives it back byte for byte', async () => {
    await withServer({ calls }, async server => {
      const [image, back] = [join(server.folder, 'in.raw'), join(server.folder, 'out.raw')]
      writeImage(image, 1, sizeBytes)
      await soil(server, sizeBytes)
      const uri = server.uri('Disk0')
      await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri])
      await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, back])
      expect(await digest(back)).toBe(await digest(image))
      await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri])
    })
  })

  itWith(['nbdcopy', 'qemu-io'], 'holds what nbdcopy writes over 4 connections, and gives it back byte for byte', async () => {
    await withServer({ calls }, async server => {
      const [image, back] = [join(server.folder, 'in.raw'), join(server.folder, 'out.raw')]
      writeImage(image, 2, sizeBytes)
      await soil(server, sizeBytes)
      const uri = server.uri('Disk0')
      const many = ['--connections=4', '--requests=16', '--threads=4']
      await runOk('nbdcopy', [...many, '--flush', image, uri])
      await runOk('nbdcopy', [...many, uri, back])
      expect(await digest(back)).toBe(await digest(image))
    })
  })
})

describe('two exports', () => {
  itWith(['nbdcopy', 'qemu-img'], 'can be copied from one to the other by nbdcopy over TCP', async () => {
    const calls = [malloc('From0', SMALL_BYTES), malloc('Base0', SMALL_BYTES, 4096), passthru('To0', 'Base0')]
    await withServer({ calls, args: ['--nbd', 'tcp:127.0.0.1:0'] }, async server => {
      const image = join(server.folder, 'in.raw')
      writeImage(image, 3, SMALL_BYTES)
      await runOk('nbdcopy', [image, server.uri('From0', true)])
      const many = ['--connections=4', '--requests=16', '--threads=4', '--request-size=1048576']
      await runOk('nbdcopy', [...many, server.uri('From0', true), server.uri('To0', true)])
      await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, server.uri('To0')])
    })
  })
})

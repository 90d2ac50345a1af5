// SPDX-License-Identifier: Apache-2.0
// Every kind of module in one line, served to a real client: malloc or aio, passthru, crypto, delay, error, split, gpt, passthru.
import { truncateSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import aio from '@bdevkit/modules-aio'
import crypto from '@bdevkit/modules-crypto'
import delay from '@bdevkit/modules-delay'
import error from '@bdevkit/modules-error'
import gpt from '@bdevkit/modules-gpt'
import mallocModule from '@bdevkit/modules-malloc'
import passthruModule from '@bdevkit/modules-passthru'
import split from '@bdevkit/modules-split'
import { describe, expect } from 'vitest'
import { type Call, inFolder, malloc, MiB, passthru } from './support/files.js'
import { fioJob } from './support/fio.js'
import { inProcess } from './support/in-process.js'
import { runOk } from './support/run.js'
import { itWith } from './support/tools.js'

const modules = [aio, mallocModule, passthruModule, crypto, delay, error, split, gpt]
const key = { name: 'key0', cipher: 'AES_XTS', key: '11'.repeat(32), key2: '22'.repeat(32) }
const latencies = { avg_read_latency: 10, p99_read_latency: 300, avg_write_latency: 0, p99_write_latency: 500, seed: 1 }
/** What the framework sends again by itself, now and then. */
const rules = [{ io_type: 'all', error_type: 'nomem', every: 100 }]
/** One part is as large as the images of partition tables. */
const PART_BYTES = 16 * MiB
const splitCall: Call = { method: 'bdev_split_create', params: { base_bdev: 'EE_Delay0', split_count: 2 } }

const line = (base: Call): Call[] => [
  { method: 'accel_crypto_key_create', params: key },
  base,
  passthru('PT0', 'Base0'),
  { method: 'bdev_crypto_create', params: { base_bdev_name: 'PT0', name: 'Crypto0', key_name: 'key0' } },
  { method: 'bdev_delay_create', params: { name: 'Delay0', base_bdev_name: 'Crypto0', ...latencies } },
  { method: 'bdev_error_create', params: { base_name: 'Delay0' } },
  { method: 'bdev_error_set_rules', params: { name: 'EE_Delay0', rules } },
  splitCall,
]

const baseOf = (kind: 'malloc' | 'aio', folder: string, blockSizeBytes: number): Call => {
  if (kind === 'malloc') return malloc('Base0', 2 * PART_BYTES, blockSizeBytes)
  const filename = `${folder}/disk.img`
  writeFileSync(filename, '')
  truncateSync(filename, 2 * PART_BYTES)
  return { method: 'bdev_aio_create', params: { name: 'Base0', filename, block_size: blockSizeBytes } }
}

describe.each([
  { kind: 'malloc', blockSizeBytes: 512, image: 'gpt', partition: 'EE_Delay0p1p128' },
  { kind: 'malloc', blockSizeBytes: 4096, image: 'sfdisk-4096', partition: 'EE_Delay0p1p1' },
  { kind: 'aio', blockSizeBytes: 512, image: 'gpt', partition: 'EE_Delay0p1p128' },
  { kind: 'aio', blockSizeBytes: 4096, image: 'sfdisk-4096', partition: 'EE_Delay0p1p1' },
] as const)('all modules in one line on $kind with $blockSizeBytes-byte blocks', ({ kind, blockSizeBytes, image, partition }) => {
  itWith(['fio', 'nbdcopy'], 'take a partition table over NBD, find its partitions, and keep what fio writes to one', async () => {
    await inFolder(folder => inProcess(line(baseOf(kind, folder, blockSizeBytes)), [], async stack => {
      const table = `${folder}/table.img`
      const packed = new URL(`../../compat/formats/gpt/${image}.img.gz`, import.meta.url)
      writeFileSync(table, gunzipSync(await readFile(packed)))
      stack.nbd.addExport({ name: 'part', bdevName: 'EE_Delay0p1' })
      await runOk('nbdcopy', ['--flush', table, stack.uri('part')])
      // A disk is looked at when it appears: the parts come anew.
      await stack.call('bdev_split_delete', { base_bdev: 'EE_Delay0' })
      await stack.call(splitCall.method, splitCall.params)
      await stack.host.waitForExamine()
      await stack.call('bdev_passthru_create', { name: 'Disk0', base_bdev_name: partition })
      const { numBlocks } = stack.host.bdevByName('Disk0')!
      stack.nbd.addExport({ name: 'disk', bdevName: 'Disk0' })
      const size = Math.floor((numBlocks * blockSizeBytes) / MiB) * MiB
      const verify = { verify: 'crc32c', verify_fatal: 1, do_verify: 1 }
      const uri = stack.uri('disk')
      const mixed = await fioJob(uri, { rw: 'randwrite', bsrange: '4k-128k', blockalign: '4k', iodepth: 32, size, ...verify })
      expect(mixed.read.io_bytes).toBeGreaterThanOrEqual(size)
      // A file takes no UNMAP: that needs a system call that Node lacks.
      await fioJob(uri, { rw: kind === 'malloc' ? 'trimwrite' : 'write', bs: '64k', iodepth: 8, size, ...verify })
      const [{ hits }] = await stack.call<[{ hits: number }]>('bdev_error_get_rules', { name: 'EE_Delay0' })
      expect(hits).toBeGreaterThan(0)
    }, modules))
  })
})

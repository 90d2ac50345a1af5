// SPDX-License-Identifier: Apache-2.0
import { conformance, type ConformanceDisks } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import gpt from '../src/index.js'
import { buildTable } from './table.js'

const DISK_BYTES = 16 << 20

describe.each([
  { blockSizeBytes: 512, basesRelayed: false },
  { blockSizeBytes: 4096, basesRelayed: true },
])('on $blockSizeBytes-byte blocks, disk relayed: $basesRelayed', ({ blockSizeBytes, basesRelayed }) => {
  // Partitions come and go with their disk, and so does the host that each case is in.
  let disks: ConformanceDisks
  const numBlocks = DISK_BYTES / blockSizeBytes
  conformance({
    module: gpt,
    basesRelayed,
    configured: false,
    prepare: (_host, given) => void (disks = given),
    async create() {
      const bytes = new Uint8Array(DISK_BYTES)
      bytes.set(buildTable({ blockSizeBytes, numBlocks }, [{ index: 0, start: numBlocks / 16, end: (numBlocks / 4) * 3 }]))
      disks.add('Disk0', bytes, blockSizeBytes)
      return 'Disk0p1'
    },
    remove: () => disks.remove('Disk0'),
    describe,
    it,
  })
})

// SPDX-License-Identifier: Apache-2.0
import { conformance } from '@bdevkit/conformance'
import { describe, it } from 'vitest'
import delay from '../src/index.js'

const latencies = { avg_read_latency: 30, p99_read_latency: 400, avg_write_latency: 20, p99_write_latency: 300 }

describe.each([
  { baseBlockSizeBytes: 512, basesRelayed: false, us: 'some' },
  { baseBlockSizeBytes: 4096, basesRelayed: true, us: 'no' },
])('on $baseBlockSizeBytes-byte blocks, base relayed: $basesRelayed, $us microseconds', ({ us, ...bases }) => {
  conformance({
    module: delay,
    bases: ['Base0'],
    ...bases,
    create: rpc =>
      rpc('bdev_delay_create', {
        name: 'Delay0',
        base_bdev_name: 'Base0',
        ...(us === 'some' ? latencies : { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 }),
      }),
    remove: rpc => rpc('bdev_delay_delete', { name: 'Delay0' }),
    describe,
    it,
  })
})

// SPDX-License-Identifier: Apache-2.0
// How late a delay bdev answers: node delay-precision.mjs [SECONDS]
//   One client at queue depth 1 reads 4 KiB from delay over malloc, at 100 µs and at 1 ms. Prints one JSON line per delay with
//   percentiles of the overshoot: latency seen by the client, less the delay, in microseconds.
import { createHost } from '@bdevkit/core'
import delay from '@bdevkit/modules-delay'
import malloc from '@bdevkit/modules-malloc'

const seconds = Number(process.argv[2] ?? 2)
const host = createHost({ log: (level, source, message) => level === 'error' && console.error(`${source}: ${message}`) })
for (const module of [malloc, delay]) host.use(module)
await host.init()
const call = (method, params) => host.modules.find(module => method in (module.instance.handlers ?? {})).instance.handlers[method](params)

for (const us of [100, 1000]) {
  await call('bdev_malloc_create', { name: `base${us}`, num_blocks: 8192, block_size: 4096 })
  const latencies = { avg_read_latency: us, p99_read_latency: us, avg_write_latency: us, p99_write_latency: us }
  await call('bdev_delay_create', { name: `slow${us}`, base_bdev_name: `base${us}`, ...latencies })
  const desc = host.openBdev(`slow${us}`, { write: true, onEvent: () => {} })
  const channel = desc.getIoChannel()
  const buf = new Uint8Array(4096)
  const late = []
  const endMs = performance.now() + seconds * 1000
  await new Promise(resolve => {
    let startMs = 0
    let lba = 0
    const submit = () => {
      startMs = performance.now()
      lba = (lba + 1) % 8192
      channel.readBlocks(buf, 0, lba, 1, done, null)
    }
    const done = io => {
      const nowMs = performance.now()
      late.push((nowMs - startMs) * 1000 - us)
      io.free()
      if (nowMs < endMs) submit()
      else resolve()
    }
    host.appThread.execMsg(submit, undefined)
  })
  late.sort((a, b) => a - b)
  const at = part => Number(late[Math.floor(late.length * part)].toFixed(1))
  console.log(JSON.stringify({ delayUs: us, count: late.length, overshootUs: { min: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99) } }))
  channel.put()
  desc.close()
}
await host.finish()

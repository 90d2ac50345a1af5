// SPDX-License-Identifier: Apache-2.0
// On-CPU I/O rate of the data plane on one thread: node hot-path.mjs KIND LAYERS QUEUE_DEPTH SECONDS [r|w] [IO_BYTES]
//   KIND: null, malloc; split (into one part), delay0 (0 µs), error (no rule) and crypto (AES-128-XTS; crypto4k: in blocks of 4096
//   bytes), each on malloc; raid0, concat, raid10, raid5f and raid5 on four malloc,
//   raid5 with a superblock with and without a journal (raid5journal, raid5plain), raid6 on five, raid1 on two, with a superblock and
//   so a dirty map: raid1map; mirror (on two null bdevs), transform (on a
//   null bdev); LAYERS: passthru bdevs on top. Twelve other module types run first, so that every call site of the framework has
//   seen many shapes. Prints one JSON line {"iops","ns","gbPerS","bytesPerIo"}; iops counts per second of the main thread on a
//   core; bytesPerIo is what the JavaScript heap grew by, -1 where a collection hid it.
import { readFileSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'
import { createHost } from '@bdevkit/core'
import crypto from '@bdevkit/modules-crypto'
import delay from '@bdevkit/modules-delay'
import error from '@bdevkit/modules-error'
import malloc from '@bdevkit/modules-malloc'
import nullModule from '@bdevkit/modules-null'
import passthru from '@bdevkit/modules-passthru'
import raid from '@bdevkit/modules-raid'
import split from '@bdevkit/modules-split'
import { loadOutside } from './outside.mjs'
import { pollute, useGenerated } from './pollute.mjs'

const [kind = 'null', layers = '0', queueDepth = '32', seconds = '1', direction = 'r', ioBytes = '4096'] = process.argv.slice(2)
const IO_BYTES = Number(ioBytes)
const BLOCK_BYTES = kind === 'crypto4k' ? 4096 : 512
const DISK_BYTES = 64 << 20
const BLOCKS = IO_BYTES / BLOCK_BYTES
const WARM_MS = 350

const host = createHost({ log: (level, source, message) => level === 'error' && console.error(`${source}: ${message}`) })
for (const module of [nullModule, malloc, passthru, delay, error, split, crypto, raid]) host.use(module)
const onMalloc = kind.startsWith('raid') || ['malloc', 'delay0', 'error', 'split', 'crypto', 'crypto4k', 'concat'].includes(kind)
for (const module of await loadOutside(['mirror', 'transform'])) host.use(module)
const generated = useGenerated(host, Number(process.env.POLLUTE ?? 12))
await host.init()
const call = (method, params) => host.modules.find(module => method in (module.instance.handlers ?? {})).instance.handlers[method](params)

const size = { num_blocks: DISK_BYTES / BLOCK_BYTES, block_size: BLOCK_BYTES }
await call(onMalloc ? 'bdev_malloc_create' : 'bdev_null_create', { name: 'base', ...size })
let top = 'base'
if (kind === 'mirror') {
  await call('bdev_null_create', { name: 'second', ...size })
  top = await call('bdev_mirror_create', { name: 'top', base_bdev_names: ['base', 'second'] })
} else if (kind === 'transform') {
  top = await call('bdev_transform_create', { name: 'top', base_bdev_name: 'base' })
} else if (kind === 'delay0') {
  const latencies = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 }
  top = await call('bdev_delay_create', { name: 'top', base_bdev_name: 'base', ...latencies })
} else if (kind === 'error') {
  await call('bdev_error_create', { base_name: 'base' })
  top = 'EE_base'
} else if (kind === 'split') {
  ;[top] = await call('bdev_split_create', { base_bdev: 'base', split_count: 1 })
} else if (kind.startsWith('raid') || kind === 'concat') {
  const members = ['base', 'base1', 'base2', 'base3', 'base4'].slice(0, { raid1: 2, raid1map: 2, raid6: 5 }[kind] ?? 4)
  for (const name of members.slice(1)) await call('bdev_malloc_create', { name, ...size })
  const level = kind.match(/^(concat|raid\d+f?)/)[0]
  const strip = level === 'raid1' ? {} : { strip_size_kb: 64 }
  const superblock = kind !== level
  const journal = level === 'raid5' && superblock ? { journal: kind === 'raid5journal' } : {}
  await call('bdev_raid_create', { name: 'top', raid_level: level, base_bdevs: members, superblock, ...journal, ...strip })
  top = 'top'
} else if (kind.startsWith('crypto')) {
  host.keys.create({ name: 'key0', cipher: 'AES_XTS', key: '00112233445566778899aabbccddeeff', key2: 'ffeeddccbbaa99887766554433221100' })
  top = await call('bdev_crypto_create', { base_bdev_name: 'base', name: 'top', key_name: 'key0' })
}
for (let i = 0; i < Number(layers); i++) {
  await call('bdev_passthru_create', { name: `pt${i}`, base_bdev_name: top })
  top = `pt${i}`
}
await call('bdev_null_create', { name: 'pollution', ...size })
await pollute(host, generated, 'pollution')

if (onMalloc) {
  // Memory that was never written is one page of zeroes to the kernel, and always in the cache.
  const disk = await host.open(top, { write: true })
  const chunk = new Uint8Array(3 << 20).fill(7)
  const step = 3 << 20 // whole stripes of raid5f, too
  const end = kind === 'raid5f' || kind === 'raid1map' ? 21 * step : DISK_BYTES
  for (let at = 0; at < end; at += step) await disk.write(chunk.subarray(0, Math.min(step, end - at)), at)
  await disk.close()
  // The first resync is none of the I/O that is measured.
  const arrays = () => call('bdev_raid_get_bdevs', { category: 'all' })
  while (arrays().some(({ process: running }) => running !== undefined)) await new Promise(resolve => setTimeout(resolve, 1))
}
// The resync of a new array is not what is measured.
const syncing = () => call('bdev_raid_get_bdevs', { category: 'all' }).some(array => array.process !== undefined)
while (syncing()) await new Promise(resolve => setTimeout(resolve, 1))
const desc = host.openBdev(top, { write: true, onEvent: () => {} })
const channel = desc.getIoChannel()
const SLOTS = Math.floor(Math.min(DISK_BYTES, desc.bdev.numBlocks * BLOCK_BYTES) / IO_BYTES)
const write = direction === 'w'
let random = 12345
function nextLba() {
  random = (Math.imul(random, 1664525) + 1013904223) | 0
  return ((random >>> 8) % SLOTS) * BLOCKS
}
const cpuMs = () => Number.parseInt(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1'), 10) / 1e6
let done = 0
let phase = 0
let startCpu = 0
let startDone = 0
let startHeap = 0
let collections = 0
new PerformanceObserver(list => (collections += phase === 1 ? list.getEntries().length : 0)).observe({ entryTypes: ['gc'] })
function submit(task) {
  const lba = nextLba()
  const rc = write
    ? channel.writeBlocks(task.buf, task.off, lba, BLOCKS, onDone, task)
    : channel.readBlocks(task.buf, task.off, lba, BLOCKS, onDone, task)
  if (rc !== 0) throw new Error(`submit: ${rc}`)
}
function onDone(io, success, task) {
  io.free()
  if (!success) throw new Error(`I/O failed: ${io.status}`)
  done++
  submit(task)
}
let endMs = performance.now() + WARM_MS
// The event loop comes round between turns: only there the clock decides.
function tick() {
  const now = performance.now()
  if (now >= endMs) {
    if (phase++ === 0) {
      startHeap = process.memoryUsage().heapUsed
      startCpu = cpuMs()
      startDone = done
      endMs = now + Number(seconds) * 1000
    } else {
      const iops = ((done - startDone) / (cpuMs() - startCpu)) * 1000
      const grown = (process.memoryUsage().heapUsed - startHeap) / (done - startDone)
      const fixed = (value, digits) => Number(value.toFixed(digits))
      const speed = { iops: Math.round(iops), ns: fixed(1e9 / iops, 1), gbPerS: fixed((iops * IO_BYTES) / 1e9, 3) }
      console.log(JSON.stringify({ ...speed, bytesPerIo: collections > 0 ? -1 : fixed(grown, 2) }))
      process.exit(0)
    }
  }
  setImmediate(tick)
}
const buffers = host.dma.alloc(Math.max(1 << 20, Number(queueDepth) * IO_BYTES), 4096)
host.appThread.execMsg(() => {
  for (let i = 0; i < Number(queueDepth); i++) {
    submit({ buf: buffers.buf, off: buffers.off + i * IO_BYTES })
  }
}, undefined)
setImmediate(tick)

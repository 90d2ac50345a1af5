// SPDX-License-Identifier: Apache-2.0
// An aio bdev beside fio's libaio, 4 KiB random reads at queue depth 32, round after round in turn; medians of I/Os a second, of
// CPU time an I/O, and of both ratios. On a machine that is not quiet the ratio of CPU time is the one to believe.
//   node aio.mjs [--rounds 5] [--seconds 2] [--memory /dev/shm] [--disk FOLDER] [--write] [--json]
// Files of 512 MiB are made in both folders and removed after: one in memory, one on a disk, used with O_DIRECT.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createHost } from '@bdevkit/core'
import aio from '@bdevkit/modules-aio'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    memory: { type: 'string', default: '/dev/shm' },
    disk: { type: 'string', default: tmpdir() },
    write: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const QUEUE_DEPTH = 32
const BLOCK_BYTES = 4096
const FILE_BYTES = 512 * 1024 * 1024
const seconds = Number(values.seconds)

function fio(filename, direct) {
  const rw = values.write ? 'randwrite' : 'randread'
  const job = { name: 'x', filename, ioengine: 'libaio', iodepth: QUEUE_DEPTH, rw, bs: BLOCK_BYTES, size: FILE_BYTES, runtime: seconds, direct }
  const args = Object.entries(job).map(([key, value]) => `--${key}=${value}`)
  const out = execFileSync('fio', ['--output-format=json', '--time_based', ...args], { encoding: 'utf8' })
  const result = JSON.parse(out.slice(out.indexOf('{'))).jobs[0]
  const { iops, total_ios: count, runtime } = result[values.write ? 'write' : 'read']
  return { iops, cpuUs: ((result.usr_cpu + result.sys_cpu) / 100) * ((runtime * 1000) / count) }
}

async function ours(filename) {
  const host = createHost({ log: (level, source, message) => level === 'error' && console.error(`${source}: ${message}`) })
  host.use(aio)
  await host.init()
  await host.modules[0].instance.handlers.bdev_aio_create({ name: 'A', filename, block_size: BLOCK_BYTES })
  const desc = host.openBdev('A', { write: true, onEvent: () => {} })
  const channel = desc.getIoChannel()
  const { buf, off } = host.dma.alloc(QUEUE_DEPTH * BLOCK_BYTES, BLOCK_BYTES)
  const blocks = FILE_BYTES / BLOCK_BYTES
  let seed = 1
  let count = 0
  let left = QUEUE_DEPTH
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  await new Promise(resolve => {
    const submit = i => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      const at = Math.floor((seed / 2 ** 32) * blocks)
      const rc = values.write
        ? channel.writeBlocks(buf, off + i * BLOCK_BYTES, at, 1, done, i)
        : channel.readBlocks(buf, off + i * BLOCK_BYTES, at, 1, done, i)
      if (rc !== 0) throw new Error(`submission answered ${rc}`)
    }
    const done = (io, success, i) => {
      io.free()
      if (!success) throw new Error('an I/O failed')
      count++
      if (performance.now() - startMs < seconds * 1000) submit(i)
      else if (--left === 0) resolve()
    }
    host.appThread.execMsg(() => {
      for (let i = 0; i < QUEUE_DEPTH; i++) submit(i)
    }, null)
  })
  const elapsedS = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const { direct } = desc.bdev.fn.dumpInfoJson(desc.bdev.ctx).aio
  channel.put()
  desc.close()
  host.dma.free({ buf, off, len: QUEUE_DEPTH * BLOCK_BYTES })
  await host.finish()
  return { iops: count / elapsedS, cpuUs: (user + system) / count, direct }
}

const median = list => [...list].sort((a, b) => a - b)[list.length >> 1]
const results = []
for (const [name, parent, direct] of [['memory', values.memory, 0], ['disk', values.disk, 1]]) {
  const folder = mkdtempSync(join(parent, 'bdevkit-bench-'))
  try {
    const filename = join(folder, 'data')
    // No holes: they would be read from no device.
    execFileSync('dd', ['if=/dev/urandom', `of=${filename}`, 'bs=1M', 'count=512', 'status=none', 'conv=fsync'])
    const [own, theirs] = [[], []]
    const turns = [async () => own.push(await ours(filename)), async () => theirs.push(fio(filename, direct))]
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const turn of round % 2 === 0 ? turns : [...turns].reverse()) await turn()
    }
    const medians = list => ({ iops: Math.round(median(list.map(({ iops }) => iops))), cpuUs: median(list.map(({ cpuUs }) => cpuUs)) })
    const ratio = median(own.map(({ iops }, i) => iops / theirs[i].iops))
    const cpuRatio = median(own.map(({ cpuUs }, i) => theirs[i].cpuUs / cpuUs))
    results.push({ name, direct: own[0].direct, ours: medians(own), fio: medians(theirs), ratio, cpuRatio })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
if (values.json) console.log(JSON.stringify(results, null, 2))
else {
  for (const { name, ours: own, fio: theirs, ratio, cpuRatio } of results) {
    const show = ({ iops, cpuUs }) => `${iops} IOPS at ${cpuUs.toFixed(2)} µs of CPU`
    console.log(`${name.padEnd(8)} ${show(own)}; fio libaio ${show(theirs)}; ratio ${ratio.toFixed(2)}, on-CPU ${cpuRatio.toFixed(2)}`)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Arrays beside a passthru on malloc, by turns; medians of the ratios. Then bytes per second: whole stripes, and a rebuild.
//   node raid.mjs [--rounds 5] [--seconds 0.5]
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createHost } from '@bdevkit/core'
import malloc from '@bdevkit/modules-malloc'
import raid from '@bdevkit/modules-raid'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '0.5' }, rebuild: { type: 'string' } },
})
if (values.rebuild !== undefined) await rebuild(values.rebuild)
else await compare()

async function compare() {
  const hotPath = join(dirname(fileURLToPath(import.meta.url)), 'hot-path.mjs')
  const io = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }
  const run = (...args) => JSON.parse(execFileSync(process.execPath, [hotPath, ...args.map(String)], io))
  const median = list => [...list].sort((a, b) => a - b)[list.length >> 1]
  const rows = [
    ['raid0', 'r', 0.8], ['concat', 'r', 0.85], ['raid1', 'r', 0.85], ['raid5f', 'r', 0.85], ['raid5', 'r', 0.85],
    ['raid1', 'w', 0.45], ['raid1map', 'w', 0.45], ['raid10', 'r', 0.8], ['raid10', 'w', 0.45],
  ]
  const ratios = rows.map(() => [])
  const stripes = { raid5f: [], raid5: [], raid5journal: [], raid6: [] }
  const stripeAims = { raid5f: 5, raid5: 5, raid6: 3 }
  const partial = { raid5: [], raid5plain: [], raid5journal: [], raid6: [] }
  const rebuilds = { raid1: [], raid10: [], raid5f: [] }
  for (let round = 0; round < Number(values.rounds); round++) {
    process.stderr.write(`round ${round + 1} of ${values.rounds}\n`)
    for (const [i, [kind, direction]] of rows.entries()) {
      const before = run('malloc', 1, 32, values.seconds, direction).iops
      const one = run(kind, 0, 32, values.seconds, direction).iops
      const after = run('malloc', 1, 32, values.seconds, direction).iops
      ratios[i].push((2 * one) / (before + after))
      process.stderr.write(`${kind} ${direction} ${ratios[i].at(-1).toFixed(2)}  `)
    }
    for (const kind of Object.keys(stripes)) {
      stripes[kind].push(run(kind, 0, 8, values.seconds, 'w', 192 * 1024).gbPerS)
      process.stderr.write(`stripes of ${kind} ${stripes[kind].at(-1)}  `)
    }
    for (const kind of Object.keys(partial)) {
      partial[kind].push(run(kind, 0, 32, values.seconds, 'w').iops)
      process.stderr.write(`parts of ${kind} ${partial[kind].at(-1)}\n`)
    }
    for (const level of Object.keys(rebuilds)) {
      rebuilds[level].push(Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), '--rebuild', level], { encoding: 'utf8' })))
    }
  }
  for (const [i, [kind, direction, aim]] of rows.entries()) {
    console.log(`${kind} ${direction === 'r' ? 'read' : 'write'} 4 KiB qd 32: ${median(ratios[i]).toFixed(2)} of passthru on malloc (aim ${aim})`)
  }
  for (const [kind, list] of Object.entries(stripes)) console.log(`${kind} write of whole stripes, user data, on-CPU: ${median(list).toFixed(1)} GB/s (${kind in stripeAims ? `aim ${stripeAims[kind]}` : 'no aim'})`)
  for (const [kind, list] of Object.entries(partial)) console.log(`${kind} write 4 KiB qd 32, parts of stripes, on-CPU: ${(median(list) / 1000).toFixed(0)} thousand a second`)
  for (const [level, list] of Object.entries(rebuilds)) console.log(`${level} rebuild, bytes of the member, on-CPU: ${median(list).toFixed(2)} GB/s (aim 1)`)
}

/** Rebuilds a member with 1 GiB, or 768 MiB; prints GB per second of the processor. */
async function rebuild(level) {
  const host = createHost({ log: (severity, source, message) => severity === 'error' && console.error(`${source}: ${message}`) })
  host.use(malloc)
  host.use(raid)
  await host.init()
  const call = (method, params) => host.modules.find(module => method in (module.instance.handlers ?? {})).instance.handlers[method](params)
  // All members in the memory that kernels reach: 4 GiB at most.
  const members = { raid1: ['m0', 'm1'], raid10: ['m0', 'm1', 'm2', 'm3'], raid5f: ['m0', 'm1', 'm2'] }[level]
  const memberBytes = level === 'raid1' ? 1 << 30 : 768 << 20
  for (const name of [...members, 'fresh']) await call('bdev_malloc_create', { name, num_blocks: memberBytes / 512, block_size: 512 })
  const strip = level === 'raid1' ? {} : { strip_size_kb: 64 }
  await call('bdev_raid_create', { name: 'r', raid_level: level, base_bdevs: members, ...strip })
  const disk = await host.open('r', { write: true })
  const chunk = new Uint8Array(3 << 20).fill(7)
  const bytes = host.bdevByName('r').numBlocks * 512
  for (let at = 0; at < bytes; at += chunk.length) await disk.write(chunk.subarray(0, Math.min(chunk.length, bytes - at)), at)
  await disk.close()
  await call('bdev_raid_remove_base_bdev', { name: 'm0' })
  const start = process.cpuUsage()
  await call('bdev_raid_add_base_bdev', { raid_bdev: 'r', base_bdev: 'fresh' })
  const info = () => call('bdev_raid_get_bdevs', { category: 'all' })[0]
  while (info().process !== undefined) await new Promise(resolve => setTimeout(resolve, 1))
  const { user, system } = process.cpuUsage(start)
  console.log((memberBytes / 1e6 / ((user + system) / 1000)).toFixed(3))
  if (info().num_base_bdevs_discovered !== members.length) throw new Error('the rebuild failed')
  await host.finish()
}

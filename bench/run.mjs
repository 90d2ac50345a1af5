// SPDX-License-Identifier: Apache-2.0
// The data plane's figures: every case of hot-path.mjs in turn, round after round, so that a drift of the machine meets all
// alike; medians, and ratios pair by pair.
//   node run.mjs [--rounds 5] [--seconds 0.5] [--only TEXT] [--beside COMMAND] [--json]
// COMMAND is called as `COMMAND KIND LAYERS QUEUE_DEPTH SECONDS r|w` and prints a JSON line with "iops".
import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.5' },
    only: { type: 'string' },
    beside: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const hotPath = join(dirname(fileURLToPath(import.meta.url)), 'hot-path.mjs')

const cases = []
for (const [kind, direction] of [['null', 'w'], ['malloc', 'r']]) {
  for (const layers of [0, 1, 3, 5]) for (const queueDepth of [1, 32, 128]) cases.push([kind, layers, queueDepth, direction])
}
for (const kind of ['mirror', 'transform']) cases.push([kind, 0, 32, 'w'])
for (const kind of ['split', 'delay0', 'error']) cases.push([kind, 0, 32, 'r'])
for (const direction of ['r', 'w']) cases.push(['crypto', 0, 32, direction], ['crypto4k', 0, 32, direction], ['crypto4k', 0, 32, direction, 131_072])
cases.push(['null', 0, 32, 'r'], ['null', 1, 32, 'r'], ['transform', 0, 32, 'r'])

const rows = cases
  .map(([kind, layers, queueDepth, direction, ioBytes = 4096]) => ({
    name: `${kind} +${layers} qd${queueDepth} ${direction === 'w' ? 'write' : 'read'}${ioBytes === 4096 ? '' : ` ${ioBytes / 1024}k`}`,
    args: [kind, layers, queueDepth, values.seconds, direction, ioBytes].map(String),
    ioBytes,
    ours: [],
    theirs: [],
    bytesPerIo: [],
  }))
  .filter(row => values.only === undefined || row.name.includes(values.only))

function run(command, args) {
  const out = execFileSync(command[0], [...command.slice(1), ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  return JSON.parse(out.trim().split('\n').at(-1))
}
const median = list => [...list].sort((a, b) => a - b)[list.length >> 1]

for (let round = 0; round < Number(values.rounds); round++) {
  process.stderr.write(`round ${round + 1} of ${values.rounds}\n`)
  for (const row of round % 2 === 0 ? rows : [...rows].reverse()) {
    const ours = run([process.execPath, hotPath], row.args)
    row.ours.push(ours.iops)
    row.bytesPerIo.push(ours.bytesPerIo)
    const known = row.name.startsWith('null') || row.name.startsWith('malloc')
    if (values.beside !== undefined && known) row.theirs.push(run(values.beside.split(' '), row.args).iops)
  }
}

const result = rows.map(row => ({
  name: row.name,
  iops: median(row.ours),
  gbPerS: Math.round((median(row.ours) * row.ioBytes) / 1e7) / 100,
  ns: Math.round((1e10 / median(row.ours))) / 10,
  ...(row.theirs.length === 0
    ? {}
    : { beside: median(row.theirs), ratio: Math.round(median(row.ours.map((iops, i) => iops / row.theirs[i])) * 1000) / 1000 }),
}))
if (values.json) console.log(JSON.stringify({ machine: cpus()[0]?.model, node: process.version, rounds: Number(values.rounds), cases: result }, null, 2))
else {
  for (const { name, iops, ns, gbPerS, beside, ratio } of result) {
    const pair = ratio === undefined ? '' : `   beside ${String(beside).padStart(10)}   ratio ${ratio}`
    console.log(`${name.padEnd(28)} ${String(iops).padStart(10)} IOPS ${String(ns).padStart(8)} ns ${gbPerS.toFixed(2).padStart(6)} GB/s${pair}`)
  }
}

const nsOf = name => result.find(row => row.name === name)?.ns
const layer = (top, bare) => (nsOf(top) === undefined || nsOf(bare) === undefined ? undefined : nsOf(top) - nsOf(bare))
const passthruWrite = layer('null +1 qd32 write', 'null +0 qd32 write')
const mirror = layer('mirror +0 qd32 write', 'null +0 qd32 write')
const passthruRead = layer('null +1 qd32 read', 'null +0 qd32 read')
const transform = layer('transform +0 qd32 read', 'null +0 qd32 read')
if (!values.json && passthruWrite !== undefined && mirror !== undefined) console.log(`a mirror costs ${(mirror / 2 / passthruWrite).toFixed(2)} passthru layers a child`)
if (!values.json && passthruRead !== undefined && transform !== undefined) console.log(`a transform costs ${(transform / passthruRead).toFixed(2)} passthru layers`)
for (const kind of ['split', 'delay0', 'error']) {
  const own = result.find(row => row.name === `${kind} +0 qd32 read`)?.iops
  const passthru = result.find(row => row.name === 'malloc +1 qd32 read')?.iops
  if (!values.json && own !== undefined && passthru !== undefined) console.log(`${kind} over malloc does ${(own / passthru).toFixed(2)} of passthru over malloc`)
}

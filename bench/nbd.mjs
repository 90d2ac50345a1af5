// SPDX-License-Identifier: Apache-2.0
// NBD figures: `bdev serve` beside nbdkit's memory plugin and qemu-nbd, same client (fio's nbd engine), over Unix sockets, each
// server pinned to core 0 and fio to the others; all servers stand by, and take turns case by case, round by round.
//   node nbd.mjs [--rounds 5] [--seconds 2] [--only TEXT] [--json]
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const here = dirname(fileURLToPath(import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'bdevkit-nbd-'))
const SIZE_BYTES = 1 << 30
const has = program => ['/usr/bin', '/usr/sbin', '/bin'].some(folder => existsSync(join(folder, program)))

const stack = join(dir, 'stack.json')
const create = { method: 'bdev_malloc_create', params: { name: 'Malloc0', num_blocks: SIZE_BYTES / 512, block_size: 512 } }
writeFileSync(stack, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: [create] }] }))
const socket = name => join(dir, `${name}.sock`)
const pinned = args => ['taskset', '-c', '0', ...args]
const servers = [
  {
    name: 'bdevkit',
    uri: `nbd+unix:///Malloc0?socket=${socket('bdevkit')}`,
    command: [process.execPath, join(here, '../packages/cli/dist/main.js'), 'serve', '-c', stack, '--nbd', `unix:${socket('bdevkit')}`],
  },
]
if (has('nbdkit')) {
  servers.push({ name: 'nbdkit', uri: `nbd+unix:///?socket=${socket('nbdkit')}`, command: ['nbdkit', '-f', '-U', socket('nbdkit'), 'memory', '1G'] })
}
if (has('qemu-nbd')) {
  const file = '/dev/shm/bdevkit-bench.img'
  writeFileSync(file, '')
  truncateSync(file, SIZE_BYTES)
  process.on('exit', () => rmSync(file, { force: true }))
  const command = ['qemu-nbd', '-f', 'raw', '-e', '8', '-t', '-k', socket('qemu'), file]
  servers.push({ name: 'qemu-nbd', uri: `nbd+unix:///?socket=${socket('qemu')}`, command })
}
const children = servers.map(({ command }) => spawn(pinned(command)[0], pinned(command).slice(1), { stdio: 'ignore' }))
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})
for (const { name } of servers) {
  const path = socket(name === 'qemu-nbd' ? 'qemu' : name)
  while (!existsSync(path)) await new Promise(resolve => setTimeout(resolve, 50))
}

function fio(uri, { rw, bs, depth, jobs }, seconds) {
  const timed = seconds === 0 ? [] : ['--time_based', `--runtime=${seconds}`]
  const args = [
    '-c', cpus().length > 1 ? `1-${cpus().length - 1}` : '0', 'fio', '--name=b', '--ioengine=nbd', `--uri=${uri}`, `--rw=${rw}`, `--bs=${bs}`,
    `--iodepth=${depth}`, `--numjobs=${jobs}`, '--thread', '--group_reporting', `--size=${SIZE_BYTES}`, '--output-format=json', ...timed,
  ]
  // The engine says hello on standard output, before the report.
  const printed = execFileSync('taskset', args, { encoding: 'utf8', cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] })
  const out = JSON.parse(printed.slice(printed.indexOf('{')))
  const { read, write } = out.jobs[0]
  return { iops: read.iops + write.iops, ios: read.total_ios + write.total_ios }
}
/** User and system time of a process in seconds. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
const median = list => [...list].sort((a, b) => a - b)[list.length >> 1]

const cases = [
  { name: '4k randread qd1', rw: 'randread', bs: '4k', depth: 1, jobs: 1, target: 0.8 },
  { name: '4k randread qd32', rw: 'randread', bs: '4k', depth: 32, jobs: 1, target: 1.5 },
  { name: '4k randread 4 connections', rw: 'randread', bs: '4k', depth: 64, jobs: 4, target: 1.8 },
  { name: '4k randwrite qd32', rw: 'randwrite', bs: '4k', depth: 32, jobs: 1, target: 1.1 },
  { name: '64k read qd16', rw: 'read', bs: '64k', depth: 16, jobs: 1, target: 1.1 },
  { name: '64k write qd16', rw: 'write', bs: '64k', depth: 16, jobs: 1, target: 1.1 },
  { name: '1M read qd8', rw: 'read', bs: '1m', depth: 8, jobs: 1, target: 1.1 },
  { name: '1M write qd8', rw: 'write', bs: '1m', depth: 8, jobs: 1, target: 1.1 },
].filter(({ name }) => values.only === undefined || name.includes(values.only))

// Memory that was never written is one page of zeroes to the kernel.
for (const { uri } of servers) fio(uri, { rw: 'write', bs: '1m', depth: 4, jobs: 1 }, 0)
const figures = cases.map(() => servers.map(() => ({ iops: [], cpuUs: [] })))
for (let round = 0; round < Number(values.rounds); round++) {
  process.stderr.write(`round ${round + 1} of ${values.rounds}\n`)
  cases.forEach((what, c) => {
    // Another one begins each round: after a case with writes the first server finds the kernel's socket memory cold.
    servers.forEach((_, turn) => {
      const s = (turn + round) % servers.length
      const server = servers[s]
      const before = cpuSeconds(children[s].pid)
      const { iops, ios } = fio(server.uri, what, Number(values.seconds))
      figures[c][s].iops.push(iops)
      figures[c][s].cpuUs.push(((cpuSeconds(children[s].pid) - before) / ios) * 1e6)
    })
  })
}
const rows = cases.map(({ name, target }, c) => ({
  name,
  iops: Object.fromEntries(servers.map((server, s) => [server.name, Math.round(median(figures[c][s].iops))])),
  cpuUsPerIo: Object.fromEntries(servers.map((server, s) => [server.name, Math.round(median(figures[c][s].cpuUs) * 10) / 10])),
  ratio: Object.fromEntries(
    servers.slice(1).map((server, s) => [server.name, Math.round(median(figures[c][0].iops.map((iops, i) => iops / figures[c][s + 1].iops[i])) * 100) / 100]),
  ),
  targetBesideNbdkit: target,
}))
if (values.json) console.log(JSON.stringify({ machine: cpus()[0]?.model, node: process.version, rows }, null, 2))
else {
  for (const { name, iops, ratio, cpuUsPerIo } of rows) {
    console.log(name.padEnd(28), JSON.stringify(iops), 'ratio', JSON.stringify(ratio), 'CPU µs', JSON.stringify(cpuUsPerIo))
  }
}
process.exit(0)

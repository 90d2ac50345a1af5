// SPDX-License-Identifier: Apache-2.0
// SPDK's own scripts/rpc.py, unmodified, builds a stack of every module here, inspects it, saves and loads its configuration, and takes it down:
//   node tests/rpc/spdk-rpc-py.mjs [FOLDER OF SPDK]
// Without a folder SPDK's scripts are fetched from GitHub into a temporary one. It needs git, python3, and a build (npm run build).
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

const SPDK_URL = 'https://github.com/spdk/spdk'
const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bdev-rpc-py-'))
const socket = join(folder, 'bdev.sock')
let server

function fetchSpdk() {
  const target = join(folder, 'spdk')
  execFileSync('git', ['clone', '--quiet', '--depth=1', '--filter=blob:none', '--sparse', SPDK_URL, target], { stdio: 'inherit' })
  execFileSync('git', ['-C', target, 'sparse-checkout', 'set', 'scripts', 'python'], { stdio: 'inherit' })
  return target
}

const spdk = process.argv[2] ?? fetchSpdk()
const script = join(spdk, 'scripts/rpc.py')
if (!existsSync(script)) {
  console.error(`wanted SPDK's scripts/rpc.py in ${spdk}, found none`)
  process.exit(2)
}

function rpc(line, input) {
  const args = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2])
  const output = execFileSync('python3', [script, '-s', socket, ...args], { input, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  console.log(`rpc.py ${line}${output.length < 100 ? `: ${output.trim()}` : `: ${output.length} characters`}`)
  return output
}

async function start(...args) {
  server = spawn(process.execPath, [join(root, 'packages/cli/dist/main.js'), 'serve', '-r', socket, '--json', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve)
    server.once('exit', status => reject(new Error(`the server ended with status ${status}`)))
  })
}

async function stop() {
  const ended = new Promise(resolve => server.once('exit', resolve))
  server.kill('SIGTERM')
  const status = await ended
  if (status !== 0) throw new Error(`wanted the server to end with status 0, found ${status}`)
}

function same(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`)
}

const BUILD = `
accel_crypto_key_create -c AES_XTS -k 00112233445566778899aabbccddeeff -e ffeeddccbbaa99887766554433221100 -n key0
bdev_malloc_create -b Malloc0 64 512
bdev_malloc_create -b Malloc1 16 512
bdev_malloc_create -b Malloc2 16 512
bdev_null_create Null0 100 512
bdev_aio_create file.img Aio0 512
bdev_aio_create gpt.img Disk0 512
bdev_passthru_create -b Malloc0 -p PT0
bdev_split_create PT0 4
bdev_delay_create -b PT0p0 -d Delay0 -r 1 -t 2 -w 3 -n 4
bdev_error_create PT0p1
bdev_crypto_create PT0p2 Crypto0 -n key0
bdev_raid_create -n Raid0 -r raid1 -b 'Malloc1 Malloc2'
bdev_set_qos_limit Null0 --rw-ios-per-sec 20000
bdev_enable_histogram --histogram Null0
bdev_error_inject_error EE_PT0p1 read failure -n 2
bdev_delay_update_latency Delay0 avg_read 2
bdev_wait_for_examine`

const INSPECT = `
bdev_get_bdevs
bdev_get_bdevs -b Crypto0 -t 1000
bdev_get_iostat
bdev_get_iostat --names Malloc0 -c
bdev_get_histogram Null0
bdev_raid_get_bdevs all
accel_get_opc_assignments
accel_get_stats
accel_crypto_keys_get
iobuf_get_stats
sock_get_default_impl
keyring_get_keys
notify_get_types
notify_get_notifications
thread_get_stats
thread_get_pollers
thread_get_io_channels
framework_get_reactors
framework_get_scheduler
framework_get_subsystems
log_get_flags
rpc_get_methods
spdk_get_version`

const TEAR_DOWN = `
bdev_raid_delete Raid0
bdev_crypto_delete Crypto0
bdev_error_delete EE_PT0p1
bdev_delay_delete Delay0
bdev_split_delete PT0
bdev_passthru_delete PT0
bdev_aio_delete Disk0
bdev_aio_delete Aio0
bdev_null_delete Null0
bdev_malloc_delete Malloc0
bdev_malloc_delete Malloc1
bdev_malloc_delete Malloc2
accel_crypto_key_destroy -n key0`

const lines = text => text.trim().split('\n')
const names = () => JSON.parse(rpc('bdev_get_bdevs')).map(({ name }) => name).sort()

try {
  writeFileSync(join(folder, 'file.img'), '')
  truncateSync(join(folder, 'file.img'), 8 * 1024 * 1024)
  writeFileSync(join(folder, 'gpt.img'), gunzipSync(readFileSync(join(root, 'compat/formats/gpt/gpt.img.gz'))))
  await start()
  for (const line of [...lines(BUILD), ...lines(INSPECT)]) rpc(line)
  const built = names()
  const saved = rpc('save_config')
  await stop()
  await start('--wait-for-rpc')
  rpc('load_config', saved)
  rpc('bdev_wait_for_examine')
  same(names(), built, 'the bdevs after load_config')
  same(JSON.parse(rpc('save_config')), JSON.parse(saved), 'the configuration, saved again')
  for (const line of lines(TEAR_DOWN)) rpc(line)
  same(names(), [], 'the bdevs at the end')
  await stop()
  console.log("SPDK's rpc.py built, inspected, saved, loaded and took down the stack")
} catch (thrown) {
  console.error(thrown)
  process.exitCode = 1
} finally {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

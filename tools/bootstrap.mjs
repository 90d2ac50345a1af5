// SPDX-License-Identifier: Apache-2.0
// `node tools/bootstrap.mjs COMMAND…` installs the dependencies when they are missing or stale, then runs COMMAND with
// node_modules/.bin on PATH. It needs Node and npm only: every root script of package.json starts here.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const read = file => {
  try {
    return readFileSync(join(root, file), 'utf8')
  } catch {
    return undefined
  }
}

/** Runs one command from the root of the repository and resolves to its exit status. */
export function run(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: [join(root, 'tools/bin'), join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter),
      NX_DAEMON: 'false',
      NX_TUI: 'false',
      npm_config_update_notifier: 'false',
      ...env,
    },
  })
  // A terminal signals the whole group, and npm signals this process once more: the child gets what arrived here only
  // when it would not have got it otherwise.
  const forward = signal => void (process.stdin.isTTY && signal === 'SIGINT' ? undefined : child.kill(signal))
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      for (const name of signals) process.off(name, forward)
      resolve(code ?? 128 + constants.signals[signal])
    })
  })
}

/** Makes node_modules match pnpm-lock.yaml: pnpm keeps a copy of the lockfile that it last installed. */
export async function install() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`bdevkit needs Node 20.19 or later, but this is ${process.version}; install one from https://nodejs.org`)
    process.exit(1)
  }
  const wanted = read('pnpm-lock.yaml')
  const installed = read('node_modules/.pnpm/lock.yaml')
  if (wanted === installed) return
  const { packageManager } = JSON.parse(read('package.json'))
  const found = installed === undefined ? 'missing' : 'stale'
  console.log(`bdevkit: node_modules is ${found}: npx -y ${packageManager} install --frozen-lockfile`)
  const status = await run('npx', ['-y', packageManager, 'install', '--frozen-lockfile'])
  if (status !== 0) {
    console.error('bdevkit: the install failed; it needs the npm registry (npm config get registry) once')
    process.exit(status)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2)
  if (command === undefined) {
    console.error('usage: node tools/bootstrap.mjs COMMAND [ARGUMENT…]')
    process.exit(2)
  }
  await install()
  process.exit(await run(command, args))
}

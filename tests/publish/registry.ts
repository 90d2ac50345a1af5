// SPDX-License-Identifier: Apache-2.0
// A real npm registry on loopback: verdaccio, which holds our packages and hands all others on from the registry that npm is
// configured for.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'

export interface Registry {
  readonly url: string
  /** A file for npm and pnpm to read their settings from (`NPM_CONFIG_USERCONFIG`). */
  readonly npmrc: string
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 60_000
const OURS = { access: '$all', publish: '$all', unpublish: '$all' }

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

/** Starts it with an empty storage in `folder`; settles when it answers. */
export async function startRegistry(folder: string): Promise<Registry> {
  mkdirSync(folder, { recursive: true })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const config = {
    storage: './storage',
    auth: { htpasswd: { file: './htpasswd' } },
    uplinks: { upstream: { url: upstream, maxage: '1d', timeout: '60s' } },
    packages: {
      '@bdevkit/*': OURS,
      'create-bdev-module': OURS,
      'bdev-module-*': OURS,
      '@acme/*': OURS,
      '**': { access: '$all', proxy: 'upstream' },
    },
    max_body_size: '100mb',
    web: { enable: false },
    log: { type: 'stdout', format: 'json', level: 'fatal' },
  }
  const file = join(folder, 'config.yaml')
  writeFileSync(file, JSON.stringify(config)) // JSON is YAML
  const main = join(dirname(createRequire(import.meta.url).resolve('verdaccio/package.json')), 'bin/verdaccio')
  const child = spawn(process.execPath, [main, '--config', file, '--listen', `127.0.0.1:${port}`], { stdio: 'ignore' })
  const npmrc = join(folder, 'npmrc')
  // npm publishes to nobody without a token; this registry takes any.
  writeFileSync(npmrc, `registry=${url}\n//127.0.0.1:${port}/:_authToken=none\naudit=false\nfund=false\nupdate-notifier=false\n`)
  await answers(`${url}-/ping`, child)
  return { url, npmrc, stop: () => stopped(child) }
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS)
  while (child.exitCode === null) {
    try {
      if ((await fetch(url, { signal: deadline })).ok) return
    } catch {
      deadline.throwIfAborted()
      await new Promise(resolve => void setTimeout(resolve, 50)) // not there yet
    }
  }
  throw new Error(`verdaccio ended with status ${child.exitCode} before it answered`)
}

function stopped(child: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    if (child.exitCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL') // it waits for connections that npm keeps
  })
}

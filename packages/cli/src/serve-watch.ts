// SPDX-License-Identifier: Apache-2.0
// `bdev serve --watch`: a process that serves nothing itself. It runs the same command without --watch as a child, builds the
// modules under development when their sources change, and starts the child again where the build went well.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync, watch, type FSWatcher } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { isatty } from 'node:tty'
import { readConfigFile } from '@bdevkit/rpc'
import { err, UsageError } from './output.js'
import type { ServeOptions } from './serve.js'
import { StopSignals } from './signals.js'
import { findCandidates } from './stack.js'

/** Editors write a file in several steps: what comes within this time counts as one change. */
const SETTLE_MS = 100
/** Folders that hold what a build or a package manager writes. */
const WRITTEN = /^(node_modules|dist|out|coverage|\..*)$/
/** Sources and settings beside package.json; sockets, locks and logs lie there, too. */
const TOP_SOURCE = /\.(?:[cm]?[jt]s|json)$/

/** A module package that is linked or named by its folder. */
interface Source {
  readonly folder: string
  readonly hasBuild: boolean
}

/**
 * @param args the whole command line
 * @returns the exit status
 */
export async function serveWatching(options: ServeOptions, args: readonly string[]): Promise<number> {
  if (options.run !== undefined || options.stdio === true) {
    throw new UsageError('--watch goes with neither --run nor --stdio: it starts the server again, and these have one end')
  }
  const config = options.config === undefined ? undefined : await readConfigFile(options.config)
  const sources = findCandidates(options, config)
    .filter(({ local }) => local)
    .map(({ folder }): Source => ({ folder, hasBuild: hasBuildScript(folder) }))
  const signals = new StopSignals()
  const watching = new Watching(args.filter(arg => arg !== '--watch'), sources, options.config)
  try {
    return await watching.until(signals.first)
  } finally {
    watching.close()
    signals.dispose()
  }
}

function hasBuildScript(folder: string): boolean {
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { scripts?: Record<string, unknown> }
  return typeof scripts?.['build'] === 'string'
}

class Watching {
  readonly #args: readonly string[]
  readonly #watchers: FSWatcher[] = []
  readonly #changed = new Set<Source>()
  #timer: NodeJS.Timeout | undefined
  #server: ChildProcess | undefined
  #serverEnded: Promise<number> = Promise.resolve(0)
  #restarting: Promise<void> | undefined
  #stopping = false

  constructor(args: readonly string[], sources: readonly Source[], stackFile: string | undefined) {
    this.#args = args
    for (const source of sources) this.#watchFolder(source)
    if (stackFile !== undefined) {
      const file = resolve(stackFile)
      this.#watch(dirname(file), false, name => name === basename(file) && this.#touched())
    }
    const folders = sources.map(({ folder }) => folder)
    err(`bdev: watches ${[...folders, ...(stackFile === undefined ? [] : [resolve(stackFile)])].join(', ') || 'nothing'}`)
    this.#start()
  }

  /** Goes on until a signal; then the server has its time to end. */
  async until(signal: Promise<string>): Promise<number> {
    const name = await signal
    this.#stopping = true
    clearTimeout(this.#timer)
    await this.#restarting
    // A terminal has told the whole group already.
    if (!(name === 'SIGINT' && isatty(0))) this.#server?.kill(name as NodeJS.Signals)
    return this.#serverEnded
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close()
    clearTimeout(this.#timer)
    this.#server?.kill('SIGKILL')
  }

  /** A folder of node_modules is as large as they come: only what may hold sources is watched with what is below it. */
  #watchFolder(source: Source): void {
    const { folder, hasBuild } = source
    this.#watch(folder, false, name => TOP_SOURCE.test(name) && name !== 'package-lock.json' && this.#touched(source))
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const written = WRITTEN.test(entry.name) && (hasBuild || entry.name !== 'dist')
      if (!entry.isDirectory() || written) continue
      this.#watch(join(folder, entry.name), true, name => !name.endsWith('~') && this.#touched(source))
    }
  }

  #watch(folder: string, recursive: boolean, onChange: (name: string) => unknown): void {
    const watcher = watch(folder, { recursive }, (_event, name) => void onChange(name ?? ''))
    watcher.on('error', error => err(`bdev: ${folder} can no longer be watched: ${error.message}`))
    this.#watchers.push(watcher)
  }

  #touched(source?: Source): void {
    if (source !== undefined) this.#changed.add(source)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      // What changes during a build is built by the next one.
      this.#restarting = (this.#restarting ?? Promise.resolve()).then(() => this.#again()).catch((thrown: unknown) => {
        err(`bdev: ${(thrown as Error).message}`)
      })
    }, SETTLE_MS)
  }

  async #again(): Promise<void> {
    const sources = [...this.#changed]
    this.#changed.clear()
    for (const { folder, hasBuild } of sources) {
      if (this.#stopping) return
      if (hasBuild && (await build(folder)) !== 0) {
        err(`bdev: the build in ${folder} failed (above); what was served goes on being served`)
        return
      }
    }
    if (this.#stopping) return
    this.#server?.kill('SIGTERM')
    await this.#serverEnded
    this.#start()
  }

  #start(): void {
    const server = spawn(process.execPath, [...process.execArgv, process.argv[1] as string, ...this.#args], { stdio: 'inherit' })
    this.#server = server
    this.#serverEnded = new Promise(resolve => {
      server.once('error', error => {
        err(`bdev: cannot start ${process.execPath}: ${error.message}`)
        resolve(1)
      })
      server.once('exit', code => {
        if (this.#server === server) this.#server = undefined
        if (!this.#stopping && code !== 0) err('bdev: waits for a change before it starts again')
        resolve(code ?? 1)
      })
    })
  }
}

/** Runs the `build` script of a package, by the package manager that started us. */
function build(folder: string): Promise<number> {
  const manager = /^(npm|pnpm|yarn|bun)\//.exec(process.env['npm_config_user_agent'] ?? '')?.[1] ?? 'npm'
  err(`bdev: ${manager} run build in ${folder}`)
  const child = spawn(manager, ['run', 'build'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
  return new Promise(resolve => {
    child.once('error', error => {
      err(`bdev: cannot start ${manager}: ${error.message}`)
      resolve(1)
    })
    child.once('exit', code => resolve(code ?? 1))
  })
}

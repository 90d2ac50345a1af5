// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs'
import { err } from './output.js'

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * npm passes the Ctrl-C of a terminal on, which has told the whole group already: under a script of a package.json what comes
 * again so soon is the same key press.
 */
const SAME_KEY_PRESS_MS = process.env['npm_lifecycle_event'] === undefined ? 0 : 500

/** The first signal asks to stop, the second one ends the process. */
export class StopSignals {
  /** Settles with the first signal. */
  readonly first: Promise<string>
  #settle: (signal: string) => void = () => undefined
  #askedMs = -Infinity
  readonly #listeners = STOP_SIGNALS.map(signal => ({ signal, listener: () => this.request(signal) }))

  constructor() {
    this.first = new Promise(resolve => {
      this.#settle = resolve
    })
    for (const { signal, listener } of this.#listeners) process.on(signal, listener)
  }

  /** Signals do again what they do to a process that knows of none. */
  dispose(): void {
    for (const { signal, listener } of this.#listeners) process.off(signal, listener)
  }

  /** As the signal would. */
  request(signal: string): void {
    if (signal === 'SIGKILL') process.kill(process.pid, 'SIGKILL')
    const nowMs = performance.now()
    const repeated = nowMs - this.#askedMs < SAME_KEY_PRESS_MS
    if (this.#askedMs > 0) {
      if (repeated) return
      err(`bdev: second ${signal}: ended at once; what clients had in flight is lost`)
      process.exit(1)
    }
    this.#askedMs = nowMs
    this.#settle(signal)
  }
}

/** Files that are removed when the process ends, in whatever way it does. A server that stops removes its own before. */
export class ExitCleanup {
  readonly #paths = new Set<string>()
  readonly #onExit = (): void => this.run()

  constructor() {
    process.once('exit', this.#onExit)
  }

  /** Removes everything now. */
  run(): void {
    process.off('exit', this.#onExit)
    for (const path of this.#paths) rmSync(path, { force: true, recursive: true })
    this.#paths.clear()
  }

  /** Removes `path` at the end. */
  add(path: string): void {
    this.#paths.add(path)
  }

  /** The server has removed it: another process may use the path from now on. */
  forget(path: string): void {
    this.#paths.delete(path)
  }
}

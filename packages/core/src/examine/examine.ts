// SPDX-License-Identifier: Apache-2.0
import { ClaimType, IoType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { Host } from '../host/host.js'
import type { ModuleRecord } from '../module/module-record.js'

/**
 * Shows new bdevs to modules: first `examineConfig` of each, at once; then `examineDisk` of all where nobody claimed the
 * bdev, or of those that did. Keeps count of what is under way (`spdk_bdev_wait_for_examine`).
 */
export class Examine {
  /** Whether every new bdev is examined (`bdev_auto_examine`). */
  auto = true
  /** Names that are examined although `auto` is off. */
  readonly allowList = new Set<string>()
  readonly #host: Host
  #waiters: (() => void)[] = []

  constructor(host: Host) {
    this.#host = host
  }

  /** Whether nothing is under way. */
  get idle(): boolean {
    return this.#host.modules.every(module => module.actions === 0)
  }

  /** Settles when no module has an init or an examination under way. */
  wait(): Promise<void> {
    if (this.idle) return Promise.resolve()
    return new Promise(resolve => this.#waiters.push(resolve))
  }

  /** A module's action has ended. */
  actionDone(module: ModuleRecord): void {
    module.actions--
    if (!this.idle) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }

  /** Examines a bdev that has just been registered, or is asked for by name. */
  run(bdev: Bdev): void {
    if ((bdev.supportedTypes & (1 << IoType.Read)) === 0) return
    if (!this.auto && ![bdev.name, ...bdev.aliases].some(name => this.allowList.has(name))) return
    const modules = [...this.#host.modules]
    for (const module of modules) {
      if (module.instance.examineConfig !== undefined) module.callPlain('examineConfig', bdev)
    }
    const claimants = bdev.claims.holders.map(holder => holder.module)
    for (const module of bdev.claims.type === ClaimType.None ? modules : claimants) {
      if (module?.instance.examineDisk !== undefined) this.#examineDisk(module, bdev)
    }
  }

  #examineDisk(module: ModuleRecord, bdev: Bdev): void {
    module.actions++
    const ended = this.#host.waits.begin(`examineDisk of bdev "${bdev.name}"`, `module "${module.name}"`)
    const done = (thrown?: unknown): void => {
      ended()
      if (thrown !== undefined) module.reportThrow(`examineDisk of module "${module.name}" for bdev "${bdev.name}"`, thrown)
      this.actionDone(module)
    }
    try {
      const answer = module.instance.examineDisk!(bdev)
      if (answer === undefined) done()
      else answer.then(() => done(), done)
    } catch (thrown) {
      done(thrown)
    }
  }
}

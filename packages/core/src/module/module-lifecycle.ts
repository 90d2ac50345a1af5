// SPDX-License-Identifier: Apache-2.0
import { BdevError, ClaimType } from '@bdevkit/module-sdk'
import type { Host } from '../host/host.js'
import type { ModuleRecord } from './module-record.js'

/** Starts all modules in list order, then waits for them and for examination (`spdk_bdev_initialize`). */
export async function initModules(host: Host): Promise<void> {
  const pending: Promise<void>[] = []
  for (const module of host.modules) {
    const started = startModule(host, module)
    pending.push(started.done)
    if (started.failed) break
  }
  for (const result of await Promise.allSettled(pending)) if (result.status === 'rejected') throw result.reason
  await host.examine.wait()
  for (const module of host.modules) module.callPlain('initComplete')
}

/** Calls `moduleInit`. `failed` says that it failed at once: then no further module starts. */
function startModule(host: Host, module: ModuleRecord): { done: Promise<void>; failed: boolean } {
  const fail = (thrown: unknown): BdevError => {
    const code = (thrown as { code?: unknown } | undefined)?.code
    return new BdevError(typeof code === 'string' ? (code as 'EIO') : 'EIO', `moduleInit of module "${module.name}" failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`, { cause: thrown })
  }
  if (module.instance.moduleInit === undefined) return { done: Promise.resolve(), failed: false }
  module.actions++
  const ended = host.waits.begin(`initialisation`, `moduleInit of module "${module.name}"`)
  const finished = (): void => {
    ended()
    host.examine.actionDone(module)
  }
  try {
    const answer = module.instance.moduleInit()
    const done = Promise.resolve(answer).then(finished, thrown => {
      finished()
      throw fail(thrown)
    })
    return { done, failed: false }
  } catch (thrown) {
    finished()
    const done = Promise.reject<void>(fail(thrown))
    done.catch(() => {})
    return { done, failed: true }
  }
}

/** Ends everything in SPDK's order (`spdk_bdev_finish`). A hook that fails is reported, and the rest goes on. */
export async function finishModules(host: Host): Promise<void> {
  await host.examine.wait()
  const backwards = [...host.modules].reverse()
  for (const module of backwards) await callFiniHook(host, module, 'finiStart')
  const given = new Set<string>()
  for (;;) {
    // Virtual bdevs claim their bases: the newest that nobody claims has nothing on top.
    const left = host.bdevs.filter(bdev => bdev.status === 'ready' && !given.has(bdev.uuid))
    const unclaimed = left.findLast(bdev => bdev.claims.type === ClaimType.None)
    if (unclaimed === undefined && host.unregistering) {
      // A vbdev that is on its way out still holds its base.
      await host.unregistrations()
      continue
    }
    const next = unclaimed ?? left.at(-1)
    if (next === undefined) break
    given.add(next.uuid)
    if (next.claims.type !== ClaimType.None) host.log.warn(`finish: only claimed bdevs are left; unregistering "${next.name}" under ${next.claims.describe()}`)
    try {
      await host.unregisterBdev(next)
    } catch (thrown) {
      host.reportThrow(`unregister of bdev "${next.name}"`, thrown)
    }
  }
  await host.unregistrations()
  for (const module of backwards) await callFiniHook(host, module, 'moduleFini')
}

async function callFiniHook(host: Host, module: ModuleRecord, hook: 'finiStart' | 'moduleFini'): Promise<void> {
  if (module.instance[hook] === undefined) return
  const ended = host.waits.begin('finish', `${hook} of module "${module.name}"`)
  try {
    await module.instance[hook]()
  } catch (thrown) {
    module.reportThrow(`${hook} of module "${module.name}"`, thrown)
  } finally {
    ended()
  }
}

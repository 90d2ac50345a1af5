// SPDX-License-Identifier: Apache-2.0
import { ClaimType } from '@bdevkit/module-sdk'
import type { Desc } from '../descriptor/desc.js'
import type { Host } from '../host/host.js'
import type { Bdev } from './bdev.js'

/** Called for one bdev, which cannot go away before it has ended. An answer other than `undefined` ends the walk. */
export type BdevVisit<Stop> = (bdev: Bdev) => Stop | undefined | Promise<Stop | undefined>

/**
 * Visits bdevs in the order of registration, one after the other, each open read-only meanwhile; those under removal are
 * skipped (`spdk_for_each_bdev`, `spdk_for_each_bdev_leaf`). Returns the answer that ended the walk.
 */
export async function forEachBdev<Stop>(host: Host, leavesOnly: boolean, visit: BdevVisit<Stop>): Promise<Stop | undefined> {
  let bdev = host.bdevs[0]
  while (bdev !== undefined) {
    let next: Bdev | undefined
    if (bdev.status === 'ready' && !(leavesOnly && bdev.claims.type !== ClaimType.None)) {
      const desc = hold(host, bdev.name)
      let stop: Stop | undefined
      try {
        stop = await visit(bdev)
        next = host.bdevs[host.bdevs.indexOf(bdev) + 1]
      } finally {
        release(desc)
      }
      if (stop !== undefined) return stop
    } else {
      next = host.bdevs[host.bdevs.indexOf(bdev) + 1]
    }
    bdev = next
  }
  return undefined
}

/**
 * Visits the named bdevs in that order (`spdk_for_each_bdev_by_name`).
 * @throws BdevError ENODEV the first that is unknown or under removal.
 */
export async function forEachBdevByName<Stop>(host: Host, names: readonly string[], visit: BdevVisit<Stop>): Promise<Stop | undefined> {
  for (const name of names) {
    const stop = await withBdev(host, name, visit)
    if (stop !== undefined) return stop
  }
  return undefined
}

/**
 * Holds a bdev open, read-only, while `work` runs.
 * @throws BdevError ENODEV unknown or under removal; what `work` throws.
 */
export async function withBdev<Result>(host: Host, name: string, work: (bdev: Bdev) => Result | Promise<Result>): Promise<Result> {
  const desc = hold(host, name)
  try {
    return await work(desc.bdev)
  } finally {
    release(desc)
  }
}

function hold(host: Host, name: string): Desc {
  return host.openFor(name, { onEvent: () => {} }, 'control', null)
}

/** After an await no thread is current, and a descriptor is closed where it was opened. */
function release(desc: Desc): void {
  desc.thread.execMsg(close, desc)
}

function close(desc: Desc): void {
  desc.close()
}

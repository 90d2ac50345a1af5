// SPDX-License-Identifier: Apache-2.0
import { BdevError, BdevEventType } from '@bdevkit/module-sdk'
import { ChannelFlag } from '../channel/bdev-channel.js'
import { abortBufWaits } from '../io/io-buffer-wait.js'
import type { Bdev } from './bdev.js'

/**
 * Takes a bdev away (`spdk_bdev_unregister`): locks of blocks are waited for, queued I/O is aborted, holders of descriptors are told and waited for, the
 * name is freed, then channels go, then the module's `destruct` runs. I/O with the module ends as the module ends it.
 * @throws BdevError EBUSY it is being unregistered already.
 */
export async function unregisterBdev(bdev: Bdev): Promise<void> {
  const host = bdev.host
  if (bdev.status !== 'ready') throw new BdevError('EBUSY', `unregister of bdev "${bdev.name}": it is being unregistered already`)
  bdev.status = 'unregistering'
  bdev.qdSampling.setPeriod(0)
  tellModule(bdev)
  if (bdev.ranges.locked.length > 0) await until(bdev, () => bdev.ranges.locked.length === 0, 'locked blocks', () => `module "${bdev.module.name}" to end its quiesce, or I/O to end`)
  for (const ch of bdev.channels) ch.thread.execMsg(abortQueued, ch)
  bdev.status = 'removing'
  for (const desc of bdev.descs) desc.send(BdevEventType.Remove)

  await until(bdev, () => bdev.descs.length === 0, 'its descriptors to be closed', () => bdev.descs.map(desc => desc.owner).join(', '))
  await until(bdev, () => !bdev.qosChanging, 'a change of its rate limits', () => 'the walk over its channels')
  host.examine.allowList.delete(bdev.name)
  host.registry.remove(bdev)
  host.notify('bdev_unregister', bdev.name)
  await until(bdev, () => bdev.resetInProgress === null, 'its reset', () => `module "${bdev.module.name}"`)
  const channelsGone = host.waits.begin(`unregister of bdev "${bdev.name}"`, () => `${bdev.channels.length} channel(s), I/O outstanding: ${bdev.channels.map(ch => ch.outstanding).join(', ')}`)
  await bdev.device.remove()
  await until(bdev, () => bdev.channels.length === 0, 'its channels', () => `module "${bdev.module.name}"`)
  channelsGone()

  const destructed = host.waits.begin(`destruct of bdev "${bdev.name}"`, `module "${bdev.module.name}"`)
  try {
    await bdev.fn.destruct(bdev.ctx)
  } finally {
    destructed()
    host.bdevGone(bdev)
  }
}

function tellModule(bdev: Bdev): void {
  const where = `removeStarted of module "${bdev.module.name}" for bdev "${bdev.name}"`
  try {
    const returned: unknown = bdev.fn.removeStarted?.(bdev.ctx)
    if (typeof (returned as PromiseLike<unknown> | undefined)?.then !== 'function') return
    ;(returned as PromiseLike<unknown>).then(undefined, thrown => bdev.module.reportThrow(where, thrown))
    throw new TypeError('it returned a promise: removal does not wait for it')
  } catch (thrown) {
    bdev.module.reportThrow(where, thrown)
  }
}

function abortQueued(ch: Bdev['channels'][number]): void {
  if ((ch.flags & ChannelFlag.Nomem) !== 0) ch.shared.abortQueued(ch)
  abortBufWaits(ch)
}

/** Waits for `condition`, which `bdev.changed` announces. */
function until(bdev: Bdev, condition: () => boolean, what: string, who: () => string): Promise<void> {
  if (condition()) return Promise.resolve()
  const ended = bdev.host.waits.begin(`unregister of bdev "${bdev.name}" (for ${what})`, who)
  return new Promise(resolve => {
    bdev.changed = () => {
      if (!condition()) return
      bdev.changed = null
      ended()
      resolve()
    }
  })
}

// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { Host } from '../host/host.js'
import { THREAD_EXIT_POLL_US } from '../limits.js'
import type { SpdkThread } from './thread.js'

/**
 * Ends a thread (`spdk_thread_exit`) when nothing of it is left: no message, no poller, no channel, no descriptor opened on it,
 * nobody who waits for an I/O. What is left is named after five seconds. Its share of the pools goes to the others; messages that
 * are sent to it later are named and dropped.
 * Called on the app thread or on that thread itself.
 * @throws BdevError EINVAL it is the app thread, or another host's, or a third thread is current; EALREADY it exits already.
 */
export async function exitThread(host: Host, thread: SpdkThread): Promise<void> {
  const who = `exit of thread "${thread.name}"`
  if (host.currentThread() !== thread) host.assertAppThread(who)
  if (thread === host.appThread) throw new BdevError('EINVAL', `${who}: it is the app thread, which lasts as long as the host; finish the host`)
  if (thread.state !== 'running') throw new BdevError('EALREADY', `${who}: it is ${thread.state} already`)
  if (!host.reactor.threads.includes(thread)) throw new BdevError('EINVAL', `${who}: it is no thread of this host`)
  thread.state = 'exiting'
  if (leftOn(host, thread).length > 0) {
    const ended = host.waits.begin(who, () => leftOn(host, thread).join(', '))
    await new Promise<void>(resolve => {
      const poller = host.appThread.registerPoller(
        () => {
          if (leftOn(host, thread).length > 0) return 0
          poller.unregister()
          resolve()
          return 1
        },
        null,
        THREAD_EXIT_POLL_US,
        'thread_exit',
      )
    })
    ended()
  }
  thread.close()
  host.reactor.removeThread(thread)
  host.budget.removeThread(thread)
  host.iobuf.threadExited(thread)
}

/** What keeps a thread alive, in words. */
function leftOn(host: Host, thread: SpdkThread): string[] {
  const left: string[] = []
  if (thread.hasMessages) left.push('its messages')
  for (const { name, state } of thread.pollers) if (state !== 'unregistered') left.push(`poller "${name}"`)
  for (const { device, refs } of thread.ioChannels) left.push(`channel of "${device.name}", held ${refs} time(s)`)
  for (const bdev of host.bdevs) for (const desc of bdev.descs) if (desc.thread === thread) left.push(`descriptor of ${desc.owner} on bdev "${bdev.name}"`)
  if (thread.ioWaitHead !== null) left.push('those who wait for an I/O')
  if (thread.ioCredits < thread.ioRights) left.push(`${thread.ioRights - thread.ioCredits} I/O(s)`)
  left.push(...host.iobuf.leftOn(thread))
  return left
}

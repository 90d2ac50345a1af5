// SPDX-License-Identifier: Apache-2.0
import type { Accel, DmaHeap } from '@bdevkit/accel'
import type { Logger, Offload as SdkOffload, OffloadQueueSpec } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Waits } from '../host/waits.js'
import { systemClock } from '../thread/clock.js'
import type { SpdkThread } from '../thread/thread.js'
import { IoWorkers } from './io-workers.js'
import { WORKERS_MAX } from './layout.js'
import { OffloadQueue, type OffloadOwner } from './offload-queue.js'
import { builtinOffloadPlatform, type OffloadPlatform } from './platform.js'

/** Workers of a queue where its spec does not say: measured, see docs/decisions/0005-offload.md. */
const WORKERS_DEFAULT = 8

/** What the offload service needs of its host. */
export interface OffloadHost {
  readonly heap: DmaHeap
  readonly accel: Accel
  readonly waits: Waits
  readonly log: Logger
  currentThread(): SpdkThread
  reportThrow(where: string, thrown: unknown): void
}

/** Opens queues for the modules of one host, and ends those that they leave open. */
export class Offload implements SdkOffload, OffloadOwner {
  readonly #host: OffloadHost
  readonly #platform: OffloadPlatform | undefined
  readonly #queues = new Set<OffloadQueue>()

  constructor(host: OffloadHost, platform: OffloadPlatform | undefined = builtinOffloadPlatform()) {
    this.#host = host
    this.#platform = platform
  }

  openQueue(spec: OffloadQueueSpec): OffloadQueue {
    const { name, workersMax = WORKERS_DEFAULT, inMemory = false, alignBytes = 1, tasks = [] } = spec
    const who = `offload queue "${name}"`
    const platform = this.#platform
    if (platform === undefined) throw new BdevError('ENOTSUP', `${who}: wanted worker threads, but this JavaScript runtime has none; run it on Node 20.19 or later`)
    if (!(Number.isInteger(workersMax) && workersMax >= 1 && workersMax <= WORKERS_MAX)) throw new BdevError('EINVAL', `${who}: wanted workersMax from 1 to ${WORKERS_MAX}, found ${workersMax}`)
    if (!(Number.isInteger(alignBytes) && alignBytes >= 1 && (alignBytes & (alignBytes - 1)) === 0)) throw new BdevError('EINVAL', `${who}: wanted alignBytes to be a power of two, found ${alignBytes}`)
    const { heap, log } = this.#host
    const workers = new IoWorkers(platform, log, name, workersMax, heap.memory.buffer as SharedArrayBuffer, tasks)
    const queue = new OffloadQueue(this, workers, heap, inMemory ? platform.files : null, alignBytes)
    this.#queues.add(queue)
    return queue
  }

  /** Closes what is still open, at the end of the host. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#queues, queue => queue.close()))
  }

  // What follows serves the queues.

  get accel(): Accel { return this.#host.accel }
  get waits(): Waits { return this.#host.waits }

  currentThread(): SpdkThread {
    return this.#host.currentThread()
  }

  reportThrow(where: string, thrown: unknown): void {
    this.#host.reportThrow(where, thrown)
  }

  // Workers run in real time, whatever clock the host has.
  nowMs(): number {
    return systemClock.nowMs()
  }

  setImmediate(fn: () => void): void {
    systemClock.setImmediate(fn)
  }

  queueClosed(queue: OffloadQueue): void {
    this.#queues.delete(queue)
  }
}

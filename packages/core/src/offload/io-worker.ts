// SPDX-License-Identifier: Apache-2.0
import type { LAYOUT } from './layout.js'

/** What a worker is started with. */
export interface IoWorkerData {
  layout: typeof LAYOUT
  /** The memory of its queue, see {@link LAYOUT}. */
  shared: SharedArrayBuffer
  /** The DMA heap. */
  heap: SharedArrayBuffer
  /** Its number in the queue. */
  index: number
}

/** A task of a module. */
type Task = (heap: Uint8Array, a: number, b: number, c: number, d: number) => number

/** A call that takes longer makes the queue a slow one for the next {@link SLOW_CALLS} calls, in milliseconds. */
const SLOW_MS = 0.03
const SLOW_CALLS = 64
/** A worker of a fast queue looks for work this long before it sleeps: waking it costs about as much. */
const SPIN_MS = 0.02

/**
 * The body of an I/O worker: takes calls from its queue, carries them out, sleeps where there are none. It runs as text, in
 * another thread (see {@link ioWorkerSource}): it may use nothing from outside, no type-only helper, no inner function (a
 * bundler that keeps names would wrap it), no syntax that is lowered.
 */
function ioWorker(slowMs: number, slowCalls: number, spinMs: number, tasks: readonly Task[]): void {
  const fs = process.getBuiltinModule('node:fs')
  const { workerData, parentPort } = process.getBuiltinModule('node:worker_threads')
  const { layout, shared, heap: heapBuffer, index } = workerData as IoWorkerData
  const { submitTail, submitHead, hostSleeps, sleepers, slow, stop, submitRing, slotWords, wordsPerSlot, numbersPerSlot } = layout
  const mask = layout.slots - 1
  const words = new Int32Array(shared)
  const numbers = new Float64Array(shared, layout.numbersAt)
  const heap = new Uint8Array(heapBuffer)
  const tail = layout.workerWords + index * layout.wordsPerWorker
  const inHand = tail + layout.workerHand
  const asleep = tail + layout.workerAsleep
  const ring = tail + layout.workerRing
  let beganMs = performance.now()
  let idle = false
  for (;;) {
    const head = Atomics.load(words, submitHead)
    const empty = head === Atomics.load(words, submitTail)
    if (Atomics.load(words, stop) === 1) return
    if (empty) {
      if (!idle) beganMs = performance.now()
      idle = true
      if (Atomics.load(words, slow) <= 0 && performance.now() - beganMs < spinMs) continue
      Atomics.store(words, asleep, 1)
      Atomics.add(words, sleepers, 1)
      // Returns at once where something was submitted since. A stop counts as a submission.
      Atomics.wait(words, submitTail, head)
      Atomics.sub(words, sleepers, 1)
      Atomics.store(words, asleep, 0)
      beganMs = performance.now()
      continue
    }
    const slot = Atomics.load(words, submitRing + (head & mask))
    // Before it is taken, so that a worker that dies is never found with empty hands.
    Atomics.store(words, inHand, slot + 1)
    if (Atomics.compareExchange(words, submitHead, head, (head + 1) | 0) !== head) {
      Atomics.store(words, inHand, 0)
      continue
    }
    const at = slotWords + slot * wordsPerSlot
    const op = words[at]!
    // What may take long does not make the next call wait.
    if ((op >= 2 || Atomics.load(words, slow) > 0) && Atomics.load(words, sleepers) > 0 && ((head + 1) | 0) !== Atomics.load(words, submitTail)) {
      Atomics.notify(words, submitTail, 1)
    }
    if (idle) beganMs = performance.now()
    idle = false
    const fd = words[at + 1]!
    const count = words[at + 2]!
    const first = slot * numbersPerSlot
    const position = numbers[first]!
    let result = 0
    try {
      if (op === 2) fs.fdatasyncSync(fd)
      else if (op === 3) result = tasks[fd]!(heap, numbers[first]!, numbers[first + 1]!, numbers[first + 2]!, numbers[first + 3]!)
      else if (count === 1) {
        const off = numbers[first + 1]!
        const length = numbers[first + 2]!
        result = op === 0 ? fs.readSync(fd, heap, off, length, position) : fs.writeSync(fd, heap, off, length, position)
      } else {
        const views = []
        for (let i = 0; i < count; i++) views.push(new Uint8Array(heapBuffer, numbers[first + 1 + 2 * i]!, numbers[first + 2 + 2 * i]!))
        result = op === 0 ? fs.readvSync(fd, views, position) : fs.writevSync(fd, views, position)
      }
    } catch (error) {
      const errno = (error as { errno?: unknown } | null)?.errno
      result = typeof errno === 'number' && errno < 0 ? errno : -5
    }
    const endMs = performance.now()
    if (op < 2) {
      // Not exact: two workers may take it below 0.
      if (endMs - beganMs > slowMs) Atomics.store(words, slow, slowCalls)
      else if (Atomics.load(words, slow) > 0) Atomics.sub(words, slow, 1)
    }
    beganMs = endMs
    words[at + 3] = result
    const done = Atomics.load(words, tail)
    words[ring + (done & mask)] = slot
    Atomics.store(words, tail, (done + 1) | 0)
    Atomics.store(words, inHand, 0)
    if (Atomics.load(words, hostSleeps) === 1 && Atomics.compareExchange(words, hostSleeps, 1, 0) === 1) parentPort!.postMessage(0)
  }
}

/**
 * The worker as a program. A worker of a file of its own would be lost when an application is bundled into one file; text is
 * not.
 */
export function ioWorkerSource(tasks: readonly string[]): string {
  return `(${ioWorker.toString()})(${SLOW_MS}, ${SLOW_CALLS}, ${SPIN_MS}, [${tasks.map(task => `(${task})`).join(', ')}])`
}

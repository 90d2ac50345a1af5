// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'

type ThreadCpuUsage = () => { user: number; system: number }

/**
 * Seconds that this thread was on a core. `process.cpuUsage` would count the garbage collector's and the compiler's helpers
 * and libuv's pool as well, so that two programs could not be compared per core. Call it on the main thread.
 *
 * Node has it from 23.9 on (`process.threadCpuUsage`); before, Linux has it as the first number of a task's schedstat, in
 * nanoseconds (Documentation/scheduler/sched-stats.rst). The kernel brings that number up to date when the thread is scheduled
 * and at ticks, 4 ms apart; so the thread sleeps for a moment first, and the number is exact. Elsewhere the whole process counts.
 */
export function threadCpuSeconds(): number {
  const threadCpuUsage = (process as { threadCpuUsage?: ThreadCpuUsage }).threadCpuUsage
  if (threadCpuUsage !== undefined) {
    const { user, system } = threadCpuUsage.call(process)
    return (user + system) / 1e6
  }
  try {
    Atomics.wait(cell, 0, 0, SLEEP_MS)
    return Number.parseInt(readFileSync(SCHEDSTAT, 'latin1'), 10) / 1e9
  } catch {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
}

const SLEEP_MS = 0.05
/** The main thread's id is the process's. */
const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`
const cell = new Int32Array(new SharedArrayBuffer(4))

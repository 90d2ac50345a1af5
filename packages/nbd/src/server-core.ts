// SPDX-License-Identifier: Apache-2.0
import { performance } from 'node:perf_hooks'
import type { Accel, Logger, Thread } from '@bdevkit/module-sdk'
import { BufferPool, type IoBuffer } from './buffers.js'
import { Coalescer } from './coalescer.js'
import type { Connection } from './connection.js'
import type { NbdExport } from './export.js'
import type { NbdHost } from './host.js'
import { BASE_BYTES, RECEIVE_BYTES, RESERVED_BYTES, type NbdLimits } from './limits.js'
import { Phase } from './phase.js'
import { RequestPool } from './request.js'
import { parseRequests, resubmit } from './transmission.js'

/** Bounds of the time between two looks at deadlines, in milliseconds. */
const SWEEP_MS_MIN = 5
const SWEEP_MS_MAX = 1000

/** What a sweep remembers of a connection. */
interface Progress {
  payloads: number
  payloadSinceMs: number
  mark: number
  markMs: number
}

/** What the connections of one server share: exports, memory and its limits, and the clock that ends who stalls. */
export class ServerCore {
  readonly host: NbdHost
  readonly log: Logger
  readonly thread: Thread
  readonly accel: Pick<Accel, 'copy'>
  readonly limits: NbdLimits
  readonly blockSizeRequiredAboveBytes: number
  readonly buffers: BufferPool
  readonly requests: RequestPool
  readonly coalescer = new Coalescer()
  /** Where a socket reads to whose connection has no buffer free; copied from at once. */
  readonly spare: IoBuffer
  readonly connections = new Set<Connection>()
  readonly exports = new Map<string, NbdExport>()
  stopping = false
  /** Reads that borrow memory of bdevs. */
  lentReads = 0
  /** Connections that wait for memory, oldest first. */
  readonly #waiters: Connection[] = []
  readonly #progress = new WeakMap<Connection, Progress>()
  #sweepTimer: NodeJS.Timeout | null = null

  constructor(host: NbdHost, limits: NbdLimits, blockSizeRequiredAboveBytes: number) {
    this.host = host
    this.log = host.log
    this.thread = host.appThread
    this.accel = host.accel
    this.limits = limits
    this.blockSizeRequiredAboveBytes = blockSizeRequiredAboveBytes
    this.buffers = new BufferPool(host.dma)
    this.requests = new RequestPool(resubmit)
    this.spare = this.buffers.take(RECEIVE_BYTES)
  }

  /** Monotonic time, in milliseconds. */
  nowMs(): number {
    return performance.now()
  }

  /** An export by name; `''` is the first one where none has that name. */
  findExport(name: string): NbdExport | undefined {
    const found = this.exports.get(name)
    if (found !== undefined || name !== '') return found
    for (const first of this.exports.values()) return first
    return undefined
  }

  /** The exports whose bdev is there. */
  listExports(): readonly { name: string; description: string }[] {
    const list: { name: string; description: string }[] = []
    for (const exp of this.exports.values()) {
      if (exp.attach() !== null) list.push({ name: exp.name, description: exp.options.description ?? '' })
    }
    return list
  }

  /** Lets a connection that stopped at a limit try again, by message. */
  resumeLater(conn: Connection): void {
    if (conn.resumeQueued) return
    conn.resumeQueued = true
    this.thread.sendMsg(resume, conn)
  }

  /** Whether a connection may take `bytes` more now. If not it stands in line, and is resumed when there is memory. */
  grantMemory(conn: Connection, bytes: number): boolean {
    const waiters = this.#waiters
    const first = waiters.length === 0 || waiters[0] === conn
    if (!first || this.buffers.usedBytes + bytes > this.limits.totalBytes + (BASE_BYTES + RESERVED_BYTES) * (this.connections.size + 1)) {
      if (!conn.waitsForMemory) {
        conn.waitsForMemory = true
        waiters.push(conn)
        this.watch()
      }
      return false
    }
    this.forgetMemory(conn)
    return true
  }

  /** Takes a connection out of the line for memory. */
  forgetMemory(conn: Connection): void {
    if (!conn.waitsForMemory) return
    conn.waitsForMemory = false
    this.#waiters.splice(this.#waiters.indexOf(conn), 1)
    this.memoryFreed()
  }

  /** Memory came back, or the line moved. */
  memoryFreed(): void {
    if (this.#waiters.length > 0) this.resumeLater(this.#waiters[0]!)
  }

  /** Makes sure that deadlines are looked at: called where a connection gets one. Without any, no timer runs. */
  watch(): void {
    if (this.#sweepTimer !== null) return
    const { handshakeTimeoutMs, payloadTimeoutMs, pressureTimeoutMs, closeTimeoutMs, removeTimeoutMs } = this.limits
    const shortest = Math.min(handshakeTimeoutMs, payloadTimeoutMs, pressureTimeoutMs, closeTimeoutMs, removeTimeoutMs)
    const everyMs = Math.min(Math.max(shortest / 4, SWEEP_MS_MIN), SWEEP_MS_MAX)
    this.#sweepTimer = setTimeout(() => {
      this.#sweepTimer = null
      this.#sweep()
    }, everyMs)
    this.#sweepTimer.unref()
  }

  /** A connection has ended and holds nothing any more. */
  remove(conn: Connection): void {
    this.connections.delete(conn)
    if (this.stopping && this.connections.size === 0) this.release()
  }

  /** Gives free buffers back to the heap. */
  release(): void {
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer)
    this.#sweepTimer = null
    this.buffers.clear()
  }

  #sweep(): void {
    const nowMs = this.nowMs()
    let again = this.#waiters.length > 0
    for (const conn of [...this.connections]) {
      const reason = this.#overdue(conn, nowMs)
      if (reason !== '') {
        this.log.info(`nbd connection ${conn.id}: dropped: ${reason}`)
        conn.destroy(reason)
      } else if (conn.phase === Phase.Handshake || conn.payloadLeft > 0 || (conn.deadlineMs < Infinity && conn.phase !== Phase.Dead)) {
        again = true
      }
    }
    if (again) this.watch()
  }

  /** Why a connection must go, `''` where it may stay. */
  #overdue(conn: Connection, nowMs: number): string {
    const { handshakeTimeoutMs, payloadTimeoutMs, pressureTimeoutMs } = this.limits
    if (conn.phase === Phase.Dead) return ''
    if (nowMs >= conn.deadlineMs) return 'it did not end in time by itself'
    if (conn.phase === Phase.Handshake) {
      return nowMs - conn.startedMs > handshakeTimeoutMs ? `the handshake took longer than ${handshakeTimeoutMs} ms` : ''
    }
    let progress = this.#progress.get(conn)
    if (progress === undefined) {
      progress = { payloads: -1, payloadSinceMs: nowMs, mark: NaN, markMs: nowMs }
      this.#progress.set(conn, progress)
    }
    if (progress.payloads !== conn.payloads) {
      progress.payloads = conn.payloads
      progress.payloadSinceMs = nowMs
    }
    const mark = conn.progressMark()
    if (progress.mark !== mark) {
      progress.mark = mark
      progress.markMs = nowMs
    }
    if (conn.payloadLeft > 0 && nowMs - progress.payloadSinceMs > payloadTimeoutMs) {
      return `a write's payload took longer than ${payloadTimeoutMs} ms`
    }
    const stuck = conn.heldBytes > BASE_BYTES && (conn.payloadLeft > 0 || !conn.replies.empty)
    if (stuck && this.#waiters.length > 0 && nowMs - progress.markMs > pressureTimeoutMs) {
      return `it held ${conn.heldBytes} bytes for ${pressureTimeoutMs} ms without sending or reading while others waited for memory`
    }
    return ''
  }
}

function resume(conn: Connection): void {
  conn.resumeQueued = false
  if (!conn.suspended || conn.phase !== Phase.Transmission) return
  conn.suspended = false
  parseRequests(conn)
  if (!conn.suspended) conn.resumeReading()
}

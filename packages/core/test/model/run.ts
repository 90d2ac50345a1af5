// SPDX-License-Identifier: Apache-2.0
// A model of stacks of bdevs: a map of blocks, and what may become of each I/O. One run makes a stack, does what a list of
// steps says, with completions in an order of the list's choice, and ends with nothing in use and nobody waiting.
import assert from 'node:assert/strict'
import { BdevEventType, ClaimType, DifFlag, DifType, IoStatus, IoType, type BdevIo, type DescChannel } from '@bdevkit/module-sdk'
import type { Desc, SpdkThread } from '../../src/index.js'
import type { FakeDisk } from '../support/fake-bdev.js'
import { on, Result, submit } from '../support/harness.js'
import { BLOCK_BYTES, BLOCKS, BLOCKS_MAX, diskOptions, type Plan, type Step } from './plan.js'
import type { Stage, StageHost } from './stage.js'

/** What the framework refuses an I/O with: no memory, not supported. */
const [ENOMEM, ENOTSUP] = [-12, -95]
/** What the framework makes aligned for the disk. */
const IN_BUFFERS = [IoType.Read, IoType.Write, IoType.Compare, IoType.CompareAndWrite] as readonly number[]

/** A descriptor with a channel, and where its blocks lie on the disk. */
interface Lane {
  readonly name: string
  readonly desc: Desc
  readonly channel: DescChannel
  readonly thread: SpdkThread
  readonly offset: number
  readonly write: boolean
  ops: number
  leaving: boolean
  closed: boolean
}

/** An I/O under way: what it reads and changes, in blocks of the disk, and what is known of them afterwards. */
interface Op {
  readonly what: string
  readonly lane: Lane
  readonly touches: readonly { at: number; count: number; changes: boolean }[]
  readonly wanted: number
  /** Something that excuses a failure has happened since: abort, reset, failure of the disk, removal. */
  disturbed: boolean
  /** It has succeeded. */
  apply(): void
}

/** One run. */
export async function runModel(stage: Stage, plan: Plan): Promise<void> {
  const run = new Run(await stage.host(plan), ++stage.runs, plan)
  try {
    await run.build()
    for (const step of plan.steps) await run.step(step)
    await run.end()
  } catch (thrown) {
    stage.forget(plan)
    throw thrown
  }
}

class Run {
  readonly stage: StageHost
  readonly plan: Plan
  /** The disk and the layers above it, with the offset of their blocks on the disk. */
  readonly levels: { name: string; offset: number }[] = []
  disk!: FakeDisk
  readonly #id: number
  #diskBlockBytes = 0
  readonly #lanes: Lane[] = []
  readonly #ops = new Map<Result, Op>()
  /** What each block holds; `null`: nobody knows. */
  readonly #blocks: (number | null)[] = new Array<number | null>(BLOCKS_MAX).fill(null)
  readonly #quiesces: { at: number; count: number; state: 'waiting' | 'held' | 'ending' }[] = []
  #value = 0
  #gone: Promise<unknown> | null = null
  #failure: Error | null = null

  constructor(stage: StageHost, id: number, plan: Plan) {
    this.stage = stage
    this.plan = plan
    this.#id = id
    stage.test.log.length = 0
    this.#createDisk()
  }

  #createDisk(): void {
    const { fake } = this.stage
    const { guarded, aligned } = this.plan
    const difCheckFlags = DifFlag.GuardCheck | DifFlag.ReftagCheck
    const md = guarded ? { blockSizeBytes: BLOCK_BYTES + 8, mdSizeBytes: 8, mdInterleave: true, difType: DifType.Type1, difCheckFlags } : {}
    this.disk = fake.create(`disk${this.#id}`, { ...diskOptions(this.plan), ...md })
    const blockBytes = this.disk.bdev.blockSizeBytes
    this.#diskBlockBytes = blockBytes
    const data = new Uint8Array(BLOCKS_MAX * blockBytes)
    // Each block differs from its neighbours: what goes astray shows.
    for (let block = 0; block < BLOCKS_MAX; block++) {
      this.#blocks[block] = block + 1
      data.fill(block + 1, block * blockBytes, (block + 1) * blockBytes)
    }
    Object.assign(this.disk, { data })
    if (guarded) {
      const { dif } = fake.host.accel
      dif.generate(dif.context(this.disk.bdev), [{ buf: data, off: 0, len: data.length }], 1, BLOCKS_MAX)
    }
    this.disk.submit = io => this.#noting(() => this.#arrive(io, aligned))
  }

  /** Makes the layers; where the disk has come back, vbdevs come back by themselves. */
  async build(): Promise<void> {
    const { test, cutter, relays } = this.stage
    const again = this.levels.length > 0
    if (!again) this.levels.push({ name: `disk${this.#id}`, offset: 0 })
    for (const [i, kind] of this.plan.kinds.entries()) {
      const below = this.levels[i]!
      const name = `v${this.#id}-${i}`
      if (kind === 'part') {
        await test.clock.settle()
        const base = cutter.host.openPartBase(below.name)
        base.createPart({ name, offsetBlocks: i, numBlocks: base.bdev.numBlocks - i - 1, productName: 'part', ctx: null })
      } else if (!again) relays.get(kind)!.create(name, below.name)
      if (!again) this.levels.push({ name, offset: below.offset + (kind === 'part' ? i : 0) })
    }
    await test.clock.settle()
    for (const { name } of this.levels) assert.ok(test.host.bdevByName(name) !== undefined, `${name} is not there`)
    for (const thread of this.stage.threads) this.#open(this.levels.at(-1)!, thread, true)
  }

  async step(step: Step): Promise<void> {
    const number = (key: string): number => step[key] as number
    const { held } = this.disk
    switch (step.what) {
      case 'complete':
        if (held.length > 0) this.#complete(held[number('pick') % held.length]!)
        break
      case 'nomem':
      case 'fail': {
        const io = held[number('pick') % held.length]
        if (io === undefined || io.type === IoType.Reset) break
        // Which I/O it belongs to is not known here.
        if (step.what === 'fail') this.#disturb()
        this.disk.complete(io, step.what === 'fail' ? IoStatus.Failed : IoStatus.Nomem)
        break
      }
      case 'settle':
        await this.stage.test.clock.settle()
        break
      case 'abort': this.#abort(number('pick')); break
      case 'reset': this.#reset(number('pick')); break
      case 'quiesce': this.#quiesce(number('at') % BLOCKS, number('count')); break
      case 'unquiesce': this.#unquiesce(number('pick')); break
      case 'resize': this.#grow(number('count')); break
      case 'open':
        if (this.#gone === null) this.#open(this.levels[number('pick') % this.levels.length]!, this.stage.threads[number('at') % 2]!, false)
        break
      case 'close': this.#leave(this.#lanes[number('pick') % Math.max(1, this.#lanes.length)]); break
      case 'claim': this.#claim(number('pick')); break
      case 'later': await this.stage.test.clock.advance(12); break
      case 'remove': this.#remove(); break
      case 'return': await this.#return(); break
      default: this.#data(step)
    }
    this.stage.test.drain()
    await Promise.resolve()
    for (const io of held) this.#checkQuiesced(io)
    this.#rethrow()
  }

  /** Lets everything that is under way end. */
  async #idle(): Promise<void> {
    const { test } = this.stage
    for (let i = 0; i < 400 && this.#ops.size + this.#quiesces.length > 0; i++) {
      for (const io of [...this.disk.held]) if (this.disk.held.includes(io)) this.#complete(io)
      test.drain()
      await test.clock.settle()
      for (let k = this.#quiesces.length - 1; k >= 0; k--) this.#unquiesce(k)
      await test.clock.settle()
      if (this.disk.held.length === 0) await test.clock.advance(12)
      this.#rethrow()
    }
    assert.deepEqual([...this.#ops.values()].map(({ what }) => what), [], 'I/O that never ended')
    assert.deepEqual(this.#quiesces, [], 'a quiesce that never began or ended')
  }

  async end(): Promise<void> {
    const { test, fake, relays } = this.stage
    await this.#idle()
    assert.deepEqual(test.lines('error'), [])
    const wrong = this.#blocks.findIndex((value, block) => value !== null && this.disk.data[block * this.#diskBlockBytes] !== value)
    assert.equal(wrong, -1, `block ${wrong}: wanted ${this.#blocks[wrong]}, found ${this.disk.data[wrong * this.#diskBlockBytes]}`)
    this.#checkSizes()
    for (const lane of [...this.#lanes]) this.#leave(lane)
    this.#remove()
    await this.#settles(this.#gone!, 'the removal')
    for (const [i, kind] of this.plan.kinds.entries()) {
      if (kind !== 'part') await this.#settles(relays.get(kind)!.vbdevs.delete(`v${this.#id}-${i}`), `the deletion of layer ${i}`)
    }
    fake.disks.clear()
    const { dmaBytes: _dma, ...usage } = test.host.usage()
    assert.deepEqual(usage, { bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0, ioWaiters: 0, iobufs: 0, iobufWaiters: 0 })
    assert.deepEqual(test.host.pending(), [], 'somebody still waits')
    assert.deepEqual(test.lines('error'), [])
  }

  /** What a callback throws would end in the log of the framework: it is kept for the run instead. */
  #noting(body: () => void): void {
    try {
      body()
    } catch (thrown) {
      this.#failure ??= thrown as Error
    }
  }

  #rethrow(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** Waits for a promise that must settle soon; says who is in its way where it does not. */
  async #settles(promise: Promise<unknown>, what: string): Promise<void> {
    let settled = false
    const done = promise.finally(() => (settled = true))
    for (let i = 0; i < 20 && !settled; i++) await this.stage.test.clock.advance(5)
    assert.ok(settled, `${what} does not end: ${JSON.stringify(this.stage.test.host.pending())}`)
    await done
  }

  /** An I/O has reached the disk. */
  #arrive(io: BdevIo, aligned: boolean): void {
    const { disk } = this
    this.#checkQuiesced(io)
    if (io.type === IoType.Abort) {
      const target = io.abortTarget
      const found = target !== null && disk.held.includes(target)
      if (found) disk.complete(target, IoStatus.Aborted)
      io.complete(found ? IoStatus.Success : IoStatus.Failed)
    } else if (aligned && io.iovCnt > 0 && IN_BUFFERS.includes(io.type)) {
      io.getBuf(io.numBlocks * this.#diskBlockBytes, (_ch, same, success) => {
        if (success) disk.held.push(same)
        else same.complete(IoStatus.Aborted)
      })
    } else {
      disk.held.push(io)
    }
  }

  /** Of blocks that are quiesced the disk has no I/O. */
  #checkQuiesced(io: BdevIo): void {
    if (io.type === IoType.Reset || io.type === IoType.Flush || io.type === IoType.Abort) return
    const ranges = [io.offsetBlocks, ...(io.type === IoType.Copy ? [io.srcOffsetBlocks] : [])].map(at => ({ at, count: io.numBlocks }))
    const quiesced = this.#quiesces.some(q => q.state === 'held' && ranges.some(range => overlap(q, range)))
    if (quiesced) assert.fail(`I/O on blocks ${ranges.map(({ at, count }) => `${at}+${count}`).join(', ')}, which are quiesced`)
  }

  /** The disk ends an I/O. A RESET ends everything else first. */
  #complete(io: BdevIo): void {
    const { disk } = this
    if (io.type === IoType.Reset) for (const other of [...disk.held]) if (other !== io && other.type !== IoType.Reset) disk.complete(other, IoStatus.Aborted)
    if (this.plan.guarded && io.type === IoType.Write) this.#verify(io)
    if (disk.held.includes(io)) disk.complete(io)
    this.stage.test.drain()
  }

  /** What reaches the disk must be in order. */
  #verify(io: BdevIo): void {
    const { dif } = this.stage.fake.host.accel
    const context = dif.context(this.disk.bdev)
    context.initRefTag = io.offsetBlocks
    if (!dif.verify(context, io.iovs, io.iovCnt, io.numBlocks)) assert.fail(`WRITE ${io.offsetBlocks}+${io.numBlocks}: protection information: type ${context.error.type}`)
  }

  #disturb(): void {
    for (const op of this.#ops.values()) op.disturbed = true
  }

  #open(level: { name: string; offset: number }, thread: SpdkThread, write: boolean): void {
    on(thread, () => {
      const { host } = this.stage.test
      const desc = host.openBdev(level.name, {
        write,
        hideMetadata: this.plan.guarded,
        owner: 'model',
        onEvent: ({ type }) => {
          if (type === BdevEventType.Remove) this.#leave(lane)
        },
      })
      const channel = desc.getIoChannel()!
      const lane: Lane = { name: level.name, desc, channel, thread, offset: level.offset, write, ops: 0, leaving: false, closed: false }
      this.#lanes.push(lane)
    })
  }

  /** Closes a descriptor, now or when its I/O has ended. */
  #leave(lane: Lane | undefined): void {
    if (lane === undefined || lane.closed) return
    lane.leaving = true
    if (lane.ops > 0) return
    lane.closed = true
    lane.thread.execMsg(() => {
      lane.channel.put()
      lane.desc.close()
      this.#lanes.splice(this.#lanes.indexOf(lane), 1)
    }, null)
  }

  #data(step: Step): void {
    const lanes = this.#lanes.filter(({ leaving, write }) => !leaving && (write || step.what === 'read' || step.what === 'compare'))
    const lane = lanes[(step['lane'] as number) % Math.max(1, lanes.length)]
    if (lane === undefined || this.#gone !== null || this.#ops.size >= 24) return
    const size = lane.channel.bdev.numBlocks
    const at = (step['at'] as number) % size
    const count = Math.min(step['count'] as number, size - at)
    const wrong = step['wrong'] as boolean
    // Every other COPY is of blocks nearby: the two ranges overlap.
    const source = wrong ? Math.max(0, at + ((step['from'] as number) % 9) - 4) : (step['from'] as number)
    const from = Math.min(source % size, size - count)
    const cut = this.plan.limited ? alignUp(step['cut'] as number) : (step['cut'] as number)
    const io: DataIo = { what: step.what, lane, at, from, count, cut, wrong }
    const op = this.#plan(io)
    if (op === null) return
    // A reset under way aborts it.
    op.disturbed = [...this.#ops.values()].some(other => other.what === 'reset')
    this.#submit(io, op)
  }

  /** What is to become of an I/O; `null` where that cannot be said: it meets another one, or blocks that nobody knows. */
  #plan({ what, lane, at, from, count, wrong }: DataIo): Op | null {
    const here = lane.offset + at
    const there = lane.offset + from
    const changes = what !== 'read' && what !== 'compare' && what !== 'flush'
    const touches = what === 'flush' ? [] : [{ at: here, count, changes }]
    if (what === 'copy') touches.push({ at: there, count, changes: false })
    for (const other of this.#ops.values()) {
      for (const a of touches) for (const b of other.touches) if ((a.changes || b.changes) && overlap(a, b)) return null
    }
    const twice = this.plan.kinds.includes('twice')
    // Done twice, it is another copy.
    if (what === 'copy' && twice && overlap({ at: here, count }, { at: there, count })) return null
    if ((what === 'swap' || what === 'zcopy') && twice) return null
    if (what === 'zcopy' && count === 0) return null
    const known = this.#blocks.slice(here, here + count)
    if ((what === 'compare' || what === 'swap') && known.includes(null)) return null
    const differs = wrong && count > 0 && (what === 'compare' || what === 'swap')
    const moved = this.#blocks.slice(there, there + count)
    const value = what === 'write' || what === 'swap' || what === 'zcopy' ? (this.#value = (this.#value % 250) + 1) : 0
    const set = (values: (number | null)[]): void => void this.#blocks.splice(here, count, ...values)
    const apply = (): void => {
      if (what === 'copy') set(moved)
      else if (what === 'unmap') set(new Array<null>(count).fill(null))
      else if (changes) set(new Array<number>(count).fill(value))
    }
    return { what, lane, touches, wanted: differs ? IoStatus.Miscompare : IoStatus.Success, disturbed: false, apply }
  }

  #submit(io: DataIo, op: Op): void {
    const { what, lane, at, from, count, cut } = io
    const { channel } = lane
    const here = lane.offset + at
    const known = this.#blocks.slice(here, here + count)
    const bytes = count * BLOCK_BYTES
    const buf = new Uint8Array(bytes)
    if (what === 'write') buf.fill(this.#value)
    if (what === 'compare' || what === 'swap') known.forEach((value, i) => buf.fill(value!, i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))
    if (op.wanted === IoStatus.Miscompare) buf[bytes - 1]! ^= 0xff
    const first = Math.min(cut, bytes)
    const iovs = [{ buf, off: 0, len: first }, { buf, off: first, len: bytes - first }]
    const swapped = [{ buf: new Uint8Array(bytes).fill(this.#value), off: 0, len: bytes }]
    const result = new Result()
    const value = this.#value
    result.whenDone = started => {
      result.keep = what === 'zcopy' && started.status === IoStatus.Success && started.zcopyStart
      if (result.keep) this.#noting(() => this.#endZcopy(started, result, lane, known, value))
      else this.#noting(() => this.#ended(result, op, buf, known))
    }
    this.#ops.set(result, op)
    lane.ops++
    on(lane.thread, () => {
      submit((cb, r) => {
        switch (what) {
          case 'write': return channel.writevBlocks(iovs, 2, at, count, cb, r)
          case 'read': return channel.readvBlocks(iovs, 2, at, count, cb, r)
          case 'zero': return channel.writeZeroesBlocks(at, count, cb, r)
          case 'unmap': return channel.unmapBlocks(at, count, cb, r)
          case 'compare': return channel.comparevBlocks(iovs, 2, at, count, cb, r)
          case 'copy': return channel.copyBlocks(at, from, count, cb, r)
          case 'swap': return channel.comparevAndWritevBlocks(iovs, 2, swapped, 1, at, count, cb, r)
          case 'zcopy': return channel.zcopyStart(at, count, true, cb, r)
          default: return channel.flushBlocks(at, count, cb, r)
        }
      }, result)
      assert.equal(result.calls, 0, 'the callback ran before the submit call had returned')
    })
    if (result.rc === 0) return
    const maybe = what === 'unmap' || what === 'flush' || what === 'zcopy'
    assert.ok((result.rc === ENOTSUP && maybe) || (result.rc === ENOMEM && this.plan.tight), `${what} was refused with ${result.rc}`)
    this.#ops.delete(result)
    lane.ops--
    if (lane.leaving) this.#leave(lane)
  }

  /** The second half of a ZCOPY: what was lent is right; new content is written and given back. */
  #endZcopy(io: BdevIo, result: Result, lane: Lane, known: readonly (number | null)[], value: number): void {
    assert.equal(io.iovCnt, 1)
    const { buf, off, len } = io.iovs[0]!
    assert.equal(len, known.length * BLOCK_BYTES)
    known.forEach((wanted, i) => {
      if (wanted !== null) assert.equal(buf[off + i * BLOCK_BYTES], wanted, `block ${i} of a ZCOPY`)
    })
    buf.fill(value, off, off + len)
    const ended = (end: BdevIo): void => {
      result.status = end.status
      result.whenDone!(end)
      end.free()
    }
    assert.equal(lane.channel.zcopyEnd(io, true, ended, result), 0)
  }

  #ended(result: Result, op: Op, buf: Uint8Array, known: readonly (number | null)[]): void {
    const { lane, what } = op
    assert.ok(this.#ops.delete(result), `the callback of a ${what} ran twice`)
    assert.equal(result.thread, lane.thread.name)
    const { status } = result
    if (status === op.wanted && status === IoStatus.Success) {
      op.apply()
      if (what === 'read') {
        known.forEach((value, i) => {
          if (value !== null) assert.deepEqual([buf[i * BLOCK_BYTES], buf[(i + 1) * BLOCK_BYTES - 1]], [value, value], `block ${i} of a read`)
        })
      }
    } else if (status !== op.wanted) {
      assert.ok(op.disturbed, `${what}: wanted status ${op.wanted}, found ${status}`)
      assert.ok(status !== IoStatus.Success && status !== IoStatus.Pending, `${what}: wanted status ${op.wanted}, found ${status}`)
      for (const { at, count, changes } of op.touches) if (changes) this.#blocks.fill(null, at, at + count)
    }
    lane.ops--
    if (lane.leaving) this.#leave(lane)
  }

  #abort(which: number): void {
    const found = [...this.#ops].filter(([, { lane }]) => !lane.closed)
    const [target, op] = found[which % Math.max(1, found.length)] ?? []
    if (target === undefined || op === undefined) return
    op.disturbed = true
    this.#besides(op.lane, 'abort', (channel, cb, r) => channel.abort(target, cb, r))
  }

  #reset(which: number): void {
    const lanes = this.#lanes.filter(({ leaving }) => !leaving)
    const lane = lanes[which % Math.max(1, lanes.length)]
    if (lane === undefined || this.#gone !== null) return
    this.#disturb()
    this.#besides(lane, 'reset', (channel, cb, r) => channel.reset(cb, r))
  }

  /** An I/O without data, which may fail. */
  #besides(lane: Lane, what: string, call: (channel: DescChannel, cb: (io: BdevIo, ok: boolean, r: Result) => void, r: Result) => number): void {
    const result = new Result()
    const op: Op = { what, lane, touches: [], wanted: IoStatus.Success, disturbed: true, apply: () => undefined }
    result.whenDone = () => {
      // I/O that was sent while a reset went on is aborted by it.
      if (what === 'reset') this.#disturb()
      this.#noting(() => this.#ended(result, op, new Uint8Array(0), []))
    }
    this.#ops.set(result, op)
    lane.ops++
    on(lane.thread, () => submit((cb, r) => call(lane.channel, cb, r), result))
    if (result.rc === 0) return
    this.#ops.delete(result)
    lane.ops--
    if (lane.leaving) this.#leave(lane)
  }

  #quiesce(at: number, count: number): void {
    if (this.#gone !== null || this.#quiesces.length >= 2) return
    const quiesce = { at, count: Math.min(count, this.disk.bdev.numBlocks - at), state: 'waiting' as 'waiting' | 'held' | 'ending' }
    this.#quiesces.push(quiesce)
    this.stage.fake.host.quiesceRange(this.disk.bdev, quiesce.at, quiesce.count).then(
      () => (quiesce.state = 'held'),
      () => this.#quiesces.splice(this.#quiesces.indexOf(quiesce), 1),
    )
  }

  #unquiesce(which: number): void {
    const quiesce = this.#quiesces[which % Math.max(1, this.#quiesces.length)]
    if (quiesce?.state !== 'held') return
    quiesce.state = 'ending'
    const ended = (): unknown => this.#quiesces.splice(this.#quiesces.indexOf(quiesce), 1)
    this.stage.fake.host.unquiesceRange(this.disk.bdev, quiesce.at, quiesce.count).then(ended, ended)
  }

  /** The disk grows; what is above follows, unless a part is in between. */
  #grow(blocks: number): void {
    const { bdev } = this.disk
    if (this.#gone !== null || bdev.numBlocks + blocks > BLOCKS_MAX) return
    this.stage.fake.host.notifyBlockcntChange(bdev, bdev.numBlocks + blocks)
    this.stage.test.drain()
    this.#checkSizes()
  }

  #checkSizes(): void {
    if (this.#gone !== null || this.plan.kinds.includes('part')) return
    const { numBlocks } = this.disk.bdev
    for (const { name } of this.levels) assert.equal(this.stage.test.host.bdevByName(name)!.numBlocks, numBlocks, `size of ${name}`)
  }

  /** What is claimed cannot be claimed, nor opened for writing, by another module. */
  #claim(which: number): void {
    if (this.#gone !== null) return
    const index = which % this.levels.length
    const { name } = this.levels[index]!
    const { host } = this.stage.rival
    const onEvent = (): void => undefined
    on(this.stage.test.host.appThread, () => {
      const desc = host.openBdev(name, { onEvent })
      const claim = (): void => desc.claim(ClaimType.ReadManyWriteNone)
      if (index < this.levels.length - 1) {
        assert.throws(claim, { code: 'EPERM' })
        assert.throws(() => host.openBdev(name, { write: true, onEvent }), { code: 'EPERM' })
      } else if (this.#lanes.some(lane => lane.write && lane.name === name)) assert.throws(claim, { code: 'EPERM' })
      else claim()
      desc.close()
    })
  }

  #remove(): void {
    if (this.#gone !== null) return
    this.#disturb()
    this.#gone = this.stage.fake.host.unregisterBdev(this.disk.bdev.name)
  }

  /** The disk is there again, empty, and the stack comes back. */
  async #return(): Promise<void> {
    if (this.#gone === null) return
    await this.#idle()
    await this.#settles(this.#gone, 'the removal')
    assert.deepEqual(this.#lanes, [], 'descriptors that were not told of the removal')
    this.#gone = null
    this.#createDisk()
    await this.build()
  }
}

interface DataIo {
  readonly what: string
  readonly lane: Lane
  readonly at: number
  readonly from: number
  readonly count: number
  readonly cut: number
  readonly wrong: boolean
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}

function overlap(a: { at: number; count: number }, b: { at: number; count: number }): boolean {
  return a.at < b.at + b.count && b.at < a.at + a.count
}

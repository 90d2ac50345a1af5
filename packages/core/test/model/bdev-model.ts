// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import type { DescChannel, SpdkThread } from '../../src/index.js'
import { ALL_TYPES, FakeModule, MORE_TYPES, RelayModule, type FakeDisk, type FakeDiskOptions, type RelayOptions } from '../support/fake-bdev.js'
import { on, openRw, Result, startHost, submit, type Opened, type TestHost } from '../support/harness.js'

const SLOTS = 8
const SLOT_BLOCKS = 4
const SLOT_BYTES = SLOT_BLOCKS * 512
const BLOCKS = SLOTS * SLOT_BLOCKS
const OPS_MAX = 5
/** So few that I/O waits for its children again and again. */
const POOL = { bdevIoPoolSize: 24, bdevIoCacheSize: 4 }
const BASIC = [IoType.Read, IoType.Write, IoType.Abort, IoType.Reset]
const LIMITS = { maxRwSizeBlocks: 3, maxCopyBlocks: 3, maxWriteZeroesBlocks: 1, maxUnmapBlocks: 1, maxUnmapSegments: 2, maxNumSegments: 1 }
const EVERYTHING = [...ALL_TYPES, ...MORE_TYPES]

/** How a layer passes I/O on. */
const LAYERS: Record<string, RelayOptions['submit']> = {
  forward: (base, io) => io.forward(base),
  look: (base, io) => io.forwardThen(base, (child, parent) => parent.completeFrom(child)),
}

const OPS = ['write', 'read', 'zeroes', 'compare', 'copy', 'compareAndWrite', 'zcopy', 'unmap'] as const
type OpName = (typeof OPS)[number]

/** One step of a sequence. */
type Step =
  | { readonly what: OpName; readonly slot: number; readonly other: number; readonly thread: number }
  | { readonly what: 'complete' | 'nomem' | 'abort' | 'quiesce' | 'unquiesce' | 'reset' | 'grow' | 'remove' | 'later'; readonly pick: number }

const pick = fc.nat(63)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ what: fc.constantFrom(...OPS), slot: fc.nat(SLOTS - 1), other: fc.nat(SLOTS - 1), thread: fc.nat(1) }) },
  { weight: 8, arbitrary: fc.record({ what: fc.constant('complete' as const), pick }) },
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constantFrom('abort' as const, 'quiesce' as const, 'unquiesce' as const, 'nomem' as const, 'later' as const), pick }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('reset' as const, 'grow' as const), pick }) },
)
const sequence = fc.record({
  layers: fc.array(fc.constantFrom(...Object.keys(LAYERS)), { maxLength: 4 }),
  native: fc.boolean(),
  /** Limits that cut most I/O into pieces. */
  limited: fc.boolean(),
  steps: fc.array(step, { maxLength: 50 }),
  /** Where the base is removed, and comes back. */
  removeAt: fc.option(fc.nat(50)),
})

type Sequence = typeof sequence extends fc.Arbitrary<infer Value> ? Value : never

/** What is known of a slot: the byte that fills it, or nothing after a change that failed. */
interface Slot {
  known: number | null
  readers: number
  written: boolean
}

interface Op {
  readonly what: OpName
  readonly result: Result
  readonly thread: number
  /** An abort, a reset or a removal may have hit it. */
  mayFail: boolean
}

interface Quiesce {
  readonly slot: number
  held: boolean
  ended: boolean
}

/** What all sequences share. */
interface Setting {
  readonly test: TestHost
  readonly fake: FakeModule
  readonly relays: ReadonlyMap<string, RelayModule>
  readonly threads: readonly SpdkThread[]
}

type Callback = (io: BdevIo, ok: boolean, r: Result) => void

/** One sequence: a stack, what is under way on it, and what its blocks must hold. */
class World {
  readonly #test: TestHost
  readonly #fake: FakeModule
  readonly #threads: readonly SpdkThread[]
  readonly #name: string
  readonly #options: FakeDiskOptions
  /** Where the buffers of an I/O are cut in two. */
  readonly #cut: number
  readonly #slots: Slot[] = Array.from({ length: SLOTS }, () => ({ known: 0, readers: 0, written: false }))
  readonly #ops = new Set<Op>()
  readonly #quiesces = new Set<Quiesce>()
  #resets = 0
  #value = 0
  #disk!: FakeDisk
  #top: string
  #opened: Opened[] = []

  constructor({ test, fake, relays, threads }: Setting, run: number, { layers, native, limited }: Sequence) {
    this.#test = test
    this.#fake = fake
    this.#threads = threads
    this.#name = `disk${run}`
    // An element alone must hold a block where one element is all that the module takes.
    this.#cut = limited ? 512 : 500
    this.#options = { numBlocks: BLOCKS, hold: true, types: native ? EVERYTHING : BASIC, acwuBlocks: SLOT_BLOCKS, ...(limited ? LIMITS : {}) }
    this.#createDisk()
    this.#top = this.#name
    for (const [i, kind] of layers.entries()) this.#top = relays.get(kind)!.create(`v${run}-${i}`, this.#top)
  }

  #createDisk(): void {
    this.#disk = this.#fake.create(this.#name, this.#options)
  }

  async open(): Promise<void> {
    await this.#test.clock.settle()
    this.#opened = this.#threads.map(thread => on(thread, () => openRw(this.#test.host, this.#top)))
  }

  async run(step: Step): Promise<void> {
    switch (step.what) {
      case 'complete':
      case 'nomem': {
        const { held } = this.#disk
        if (held.length === 0) break
        const io = held[step.pick % held.length]!
        const refused = step.what === 'nomem' && io.type !== IoType.Reset
        this.#disk.complete(io, refused ? IoStatus.Nomem : undefined)
        break
      }
      case 'abort':
        this.#abort(step.pick)
        break
      case 'quiesce':
        this.#quiesce(step.pick % SLOTS)
        break
      case 'unquiesce':
        await this.#unquiesce(step.pick)
        break
      case 'reset':
        this.#reset(step.pick & 1)
        break
      case 'grow':
        this.#fake.host.notifyBlockcntChange(this.#disk.bdev, this.#disk.bdev.numBlocks + 8)
        break
      case 'remove':
        await this.#remove()
        break
      case 'later':
        await this.#test.clock.advance(12)
        break
      default:
        if (this.#ops.size < OPS_MAX) this.#start(step.what, step.slot, step.other, step.thread)
    }
    this.#test.drain()
    this.#checkQuiesced()
  }

  /** A granted quiesce: no I/O of its blocks is with the module. */
  #checkQuiesced(): void {
    for (const { slot, held } of this.#quiesces) {
      if (!held) continue
      const from = slot * SLOT_BLOCKS
      for (const io of this.#disk.held) {
        const touches = (at: number): boolean => io.numBlocks > 0 && at < from + SLOT_BLOCKS && from < at + io.numBlocks
        assert.equal(touches(io.offsetBlocks) || (io.type === IoType.Copy && touches(io.srcOffsetBlocks)), false)
      }
    }
  }

  #start(what: OpName, slotAt: number, otherAt: number, thread: number): void {
    const slot = this.#slots[slotAt]!
    const other = this.#slots[otherAt]!
    const reads = what === 'read' || what === 'compare'
    if (slot.written || (!reads && slot.readers > 0)) return
    if (what === 'copy' && (other === slot || other.written)) return
    if ((what === 'compare' || what === 'compareAndWrite') && slot.known === null) return
    const value = (this.#value = (this.#value % 250) + 1)
    const result = new Result()
    const op: Op = { what, result, thread, mayFail: this.#resets > 0 }
    if (reads) slot.readers++
    else slot.written = true
    if (what === 'copy') other.readers++
    this.#ops.add(op)
    const wanted = what === 'copy' ? other.known : slot.known
    const buf = Buffer.alloc(SLOT_BYTES, what === 'compare' || what === 'compareAndWrite' ? slot.known! : value)
    const ended = (ok: boolean): void => {
      this.#ops.delete(op)
      if (reads) slot.readers--
      else slot.written = false
      if (what === 'copy') other.readers--
      if (!ok) assert.deepEqual([what, op.mayFail], [what, true])
      if (reads) {
        if (ok && what === 'read' && wanted !== null) assert.equal(buf.equals(Buffer.alloc(SLOT_BYTES, wanted)), true)
      } else if (!ok) slot.known = null
      else if (what === 'copy') slot.known = wanted
      else slot.known = what === 'zeroes' || what === 'unmap' ? 0 : value
    }
    result.whenDone = io => {
      const ok = io.status === IoStatus.Success
      result.keep = what === 'zcopy' && ok && io.zcopyStart
      if (result.keep) this.#endZcopy(io, result, thread, wanted, value)
      else ended(ok)
    }
    const blocks = { at: slotAt * SLOT_BLOCKS, src: otherAt * SLOT_BLOCKS }
    const { rc } = on(this.#threads[thread]!, () => submit((cb, r) => this.#submit(what, thread, blocks, buf, value, cb, r), result))
    if (rc === 0) return
    // The pool is empty, or the module lacks the type.
    assert.equal(rc === -12 || rc === -95, true)
    op.mayFail = true
    const { known } = slot
    ended(false)
    slot.known = known
  }

  #submit(what: OpName, thread: number, blocks: { at: number; src: number }, buf: Buffer, value: number, cb: Callback, r: Result): number {
    const channel = this.#opened[thread]!.channel as DescChannel
    const { at, src } = blocks
    const iovs = [{ buf, off: 0, len: this.#cut }, { buf, off: this.#cut, len: SLOT_BYTES - this.#cut }]
    switch (what) {
      case 'write':
        return channel.writevBlocks(iovs, 2, at, SLOT_BLOCKS, cb, r)
      case 'read':
        return channel.readvBlocks(iovs, 2, at, SLOT_BLOCKS, cb, r)
      case 'zeroes':
        return channel.writeZeroesBlocks(at, SLOT_BLOCKS, cb, r)
      case 'unmap':
        return channel.unmapBlocks(at, SLOT_BLOCKS, cb, r)
      case 'compare':
        return channel.comparevBlocks(iovs, 2, at, SLOT_BLOCKS, cb, r)
      case 'copy':
        return channel.copyBlocks(at, src, SLOT_BLOCKS, cb, r)
      case 'compareAndWrite': {
        const data = [{ buf: Buffer.alloc(SLOT_BYTES, value), off: 0, len: SLOT_BYTES }]
        return channel.comparevAndWritevBlocks(iovs, 2, data, 1, at, SLOT_BLOCKS, cb, r)
      }
      default:
        return channel.zcopyStart(at, SLOT_BLOCKS, true, cb, r)
    }
  }

  /** The second half of a ZCOPY: what was lent is right; new content is written and given back. */
  #endZcopy(io: BdevIo, result: Result, thread: number, wanted: number | null, value: number): void {
    const { buf, off, len } = io.iovs[0]!
    assert.deepEqual([io.iovCnt, len], [1, SLOT_BYTES])
    if (wanted !== null) assert.equal(Buffer.from(buf.subarray(off, off + len)).equals(Buffer.alloc(len, wanted)), true)
    buf.fill(value, off, off + len)
    const end = (ended: BdevIo, _ok: boolean, r: Result): void => {
      r.whenDone!(ended)
      ended.free()
    }
    assert.equal((this.#opened[thread]!.channel as DescChannel).zcopyEnd(io, true, end, result), 0)
  }

  #abort(at: number): void {
    const op = [...this.#ops][at % Math.max(1, this.#ops.size)]
    if (op === undefined) return
    op.mayFail = true
    const result = new Result()
    on(this.#threads[op.thread]!, () => submit((cb, r) => this.#opened[op.thread]!.channel.abort(op.result, cb, r), result))
  }

  #reset(thread: number): void {
    for (const op of this.#ops) op.mayFail = true
    this.#resets++
    const result = new Result()
    result.whenDone = () => this.#resets--
    const { rc } = on(this.#threads[thread]!, () => submit((cb, r) => this.#opened[thread]!.channel.reset(cb, r), result))
    if (rc !== 0) this.#resets--
  }

  #quiesce(slot: number): void {
    const quiesce: Quiesce = { slot, held: false, ended: false }
    this.#quiesces.add(quiesce)
    const { bdev } = this.#disk
    void this.#fake.host.quiesceRange(bdev, slot * SLOT_BLOCKS, SLOT_BLOCKS).then(() => (quiesce.held = true))
  }

  async #unquiesce(at: number): Promise<void> {
    const held = [...this.#quiesces].filter(quiesce => quiesce.held)
    const quiesce = held[at % Math.max(1, held.length)]
    if (quiesce === undefined) return
    quiesce.held = false
    this.#quiesces.delete(quiesce)
    await this.#goOn(this.#fake.host.unquiesceRange(this.#disk.bdev, quiesce.slot * SLOT_BLOCKS, SLOT_BLOCKS))
  }

  /** Waits for a promise that needs messages. */
  async #goOn(promise: Promise<unknown>): Promise<void> {
    let settled = false
    void promise.then(() => (settled = true))
    for (let i = 0; i < 10 && !settled; i++) {
      this.#test.drain()
      await this.#test.clock.settle()
    }
    assert.equal(settled, true)
  }

  async #idle(): Promise<void> {
    for (let i = 0; i < 200 && (this.#ops.size > 0 || this.#quiesces.size > 0 || this.#resets > 0); i++) {
      await this.#test.clock.settle()
      while (this.#quiesces.size > 0 && [...this.#quiesces].some(({ held }) => held)) await this.#unquiesce(0)
      this.#disk.completeAll()
      this.#test.drain()
      if (this.#disk.held.length === 0) await this.#test.clock.advance(12)
    }
    const left = { ops: [...this.#ops].map(({ what }) => what), quiesces: this.#quiesces.size, resets: this.#resets }
    assert.deepEqual(left, { ops: [], quiesces: 0, resets: 0 })
  }

  /** The base goes, under load, and comes back empty; the stack comes back with it. */
  async #remove(): Promise<void> {
    for (const op of this.#ops) op.mayFail = true
    const gone = this.#test.host.unregister(this.#name)
    this.#resets++
    await this.#test.clock.settle()
    this.#resets--
    await this.#idle()
    this.#close()
    await this.#goOn(gone)
    this.#createDisk()
    for (const slot of this.#slots) slot.known = 0
    await this.open()
  }

  #close(): void {
    for (const [i, opened] of this.#opened.entries()) on(this.#threads[i]!, () => opened.close())
    this.#opened = []
  }

  /** Everything ends; the blocks hold what they must, and nothing is left. */
  async end(relays: ReadonlyMap<string, RelayModule>, layers: readonly string[], run: number): Promise<void> {
    await this.#idle()
    // What failed in a callback stands here.
    assert.deepEqual(this.#test.lines('error'), [])
    for (const [at, { known }] of this.#slots.entries()) {
      if (known === null) continue
      const found = Buffer.from(this.#disk.data.subarray(at * SLOT_BYTES, (at + 1) * SLOT_BYTES))
      assert.equal(found.equals(Buffer.alloc(SLOT_BYTES, known)), true)
    }
    const { bdev } = this.#disk
    assert.equal(this.#test.host.bdevByName(this.#top)!.numBlocks, bdev.numBlocks)
    this.#close()
    await this.#goOn(this.#test.host.unregister(this.#name))
    for (const [i, kind] of layers.entries()) await relays.get(kind)!.vbdevs.delete(`v${run}-${i}`)
    await this.#test.clock.settle()
    const { dmaBytes: _, ...usage } = this.#test.host.usage()
    assert.deepEqual(Object.entries(usage).filter(([, count]) => count !== 0), [])
    assert.deepEqual(this.#test.host.pending(), [])
  }
}

/** Runs so many random sequences on stacks of up to five bdevs; fast-check prints the seed of one that fails. */
export async function runModel(numRuns: number, timeLimitMs: number): Promise<number> {
  const fake = new FakeModule()
  const relays = new Map(Object.entries(LAYERS).map(([name, layer]) => [name, new RelayModule(name, { submit: layer!, onResize: 'follow' })]))
  const test = await startHost([fake, ...relays.values()], POOL)
  const threads = [test.host.appThread, test.host.createThread('other')]
  let run = 0
  await fc.assert(
    fc.asyncProperty(sequence, async one => {
      const { layers, steps, removeAt } = one
      run++
      test.log.length = 0
      const world = new World({ test, fake, relays, threads }, run, one)
      await world.open()
      for (const [i, step] of steps.entries()) {
        if (i === removeAt) await world.run({ what: 'remove', pick: 0 })
        await world.run(step)
      }
      await world.end(relays, layers, run)
    }),
    { numRuns, interruptAfterTimeLimit: timeLimitMs, endOnFailure: true },
  )
  return run
}

// SPDX-License-Identifier: Apache-2.0
// What a run of the model does: which stack, which disk below it, and the steps.
import fc from 'fast-check'
import { IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { ALL_TYPES, MORE_TYPES, type FakeDiskOptions, type RelayOptions } from '../support/fake-bdev.js'

export const BLOCKS = 48
/** What a disk may grow to. */
export const BLOCKS_MAX = 64
export const BLOCK_BYTES = 512
/** The longest I/O. */
const COUNT_MAX = 8

type Submit = NonNullable<RelayOptions['submit']>

/** How a layer passes I/O on. */
const LAYERS: Record<string, Submit> = {
  forward: (base, io) => io.forward(base),
  look: (base, io) => io.forwardThen(base, (child, parent) => parent.completeFrom(child)),
  // Sends everything down twice, one after the other.
  twice: (base, io) => io.forwardThen(base, (child, parent) => parent.forward(child.channel)),
}

const flip = (io: BdevIo): void => {
  const { buf, off, len } = io.iovs[0]!
  if (len > 0) buf[off]! ^= 0xff
}

/** Layers that do wrong, each in another way: the model must notice. */
export const FAULTS: Record<string, Submit> = {
  'loses writes': (base, io) => (io.type === IoType.Write ? io.complete(IoStatus.Success) : io.forward(base)),
  'reads wrong data': (base, io) =>
    io.forwardThen(base, (child, parent) => {
      if (parent.type === IoType.Read && child.status === IoStatus.Success && parent.iovCnt > 0) flip(parent)
      parent.completeFrom(child)
    }),
  'writes to another block': (base, io) => io.forward(base, io.type === IoType.Write && io.offsetBlocks > 0 ? -1 : 0),
  'answers before its base': (base, io) => {
    io.forwardThen(base, () => undefined)
    io.complete(IoStatus.Success)
  },
  'forgets to answer': (base, io) => (io.type === IoType.Write && io.offsetBlocks % 4 === 0 ? undefined : io.forward(base)),
  'calls failures success': (base, io) => io.forwardThen(base, (_child, parent) => parent.complete(IoStatus.Success)),
  'calls success failure': (base, io) =>
    io.forwardThen(base, (child, parent) => {
      if (parent.type === IoType.Write) parent.complete(IoStatus.Failed)
      else parent.completeFrom(child)
    }),
  'keeps a buffer': (base, io) => (io.type === IoType.Write ? io.getAuxBuf(() => io.forward(base)) : io.forward(base)),
  'answers twice': (base, io) =>
    io.forwardThen(base, (child, parent) => {
      parent.completeFrom(child)
      parent.completeFrom(child)
    }),
}

/** All of them. */
export const SUBMITS: Record<string, Submit> = { ...LAYERS, ...FAULTS }
/** Layers that a plan may have: those above, and a part, which the framework serves. */
const KINDS = [...Object.keys(LAYERS), 'part'] as const

/** I/O types of the disk: what it lacks the framework makes of the others. */
const TYPES = {
  bare: [IoType.Read, IoType.Write, IoType.Reset, IoType.Abort],
  usual: ALL_TYPES,
  all: [...ALL_TYPES, ...MORE_TYPES],
} as const
/** Limits that cut most I/O into pieces. */
const LIMITS = { maxRwSizeBlocks: 3, maxCopyBlocks: 3, maxWriteZeroesBlocks: 1, maxUnmapBlocks: 1, maxUnmapSegments: 2, maxNumSegments: 1 }

export type Step = { readonly what: string; readonly [key: string]: number | string | boolean }

const data = fc.record({
  what: fc.constantFrom('write', 'write', 'read', 'read', 'zero', 'unmap', 'compare', 'copy', 'swap', 'zcopy', 'flush'),
  lane: fc.nat(7),
  at: fc.nat(BLOCKS_MAX),
  from: fc.nat(BLOCKS_MAX),
  count: fc.integer({ min: 0, max: COUNT_MAX }),
  cut: fc.nat(4000),
  wrong: fc.boolean(),
})
const pick = (...what: string[]) => fc.record({ what: fc.constantFrom(...what), pick: fc.nat(63) })
const control = fc.record({
  what: fc.constantFrom('abort', 'reset', 'quiesce', 'unquiesce', 'resize', 'open', 'close', 'claim', 'settle', 'later'),
  pick: fc.nat(63),
  at: fc.nat(BLOCKS_MAX),
  count: fc.integer({ min: 1, max: 16 }),
})

export const plan = fc.record({
  kinds: fc.array(fc.constantFrom<string>(...KINDS), { maxLength: 5 }),
  steps: fc.array(
    fc.oneof(
      { weight: 40, arbitrary: data },
      { weight: 40, arbitrary: pick('complete') },
      { weight: 5, arbitrary: pick('nomem') },
      { weight: 5, arbitrary: pick('fail') },
      { weight: 20, arbitrary: control },
      // The disk goes under load; afterwards it comes back, empty, and the stack with it.
      { weight: 2, arbitrary: fc.record({ what: fc.constantFrom('remove', 'return') }) },
    ) as fc.Arbitrary<Step>,
    { maxLength: 70 },
  ),
  types: fc.constantFrom<keyof typeof TYPES>('bare', 'usual', 'all'),
  /** The disk takes I/O in small pieces only. */
  limited: fc.boolean(),
  /** The disk wants aligned memory, and asks the framework for it. */
  aligned: fc.boolean(),
  strict: fc.boolean(),
  /** So few I/Os and buffers that they are waited for again and again. */
  tight: fc.boolean(),
  /** Blocks carry protection information, which the disk checks; every descriptor hides it. */
  guarded: fc.nat(3).map(n => n === 0),
})

export type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never

/** What the plan says of the disk, but for its protection information. */
export function diskOptions({ types, limited, aligned, guarded }: Plan): FakeDiskOptions {
  return {
    numBlocks: BLOCKS,
    types: guarded ? TYPES.bare : TYPES[types],
    acwuBlocks: COUNT_MAX,
    requiredAlignmentBytes: aligned ? 512 : 1,
    ...(limited ? LIMITS : {}),
  }
}

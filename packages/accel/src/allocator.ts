// SPDX-License-Identifier: Apache-2.0
// Two-level segregated fit (Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for real-time systems",
// ECRTS 2004) over a range of numbers. A free range is filed by its size: the first level is the power of two, the second
// one of 32 steps inside it; two bitmaps find a list that fits in constant time, and neighbours join as soon as they are
// free. The ranges are described by objects beside the memory, never in it, so no stray write can damage the books.

const STEP_BITS = 5
const STEPS = 1 << STEP_BITS
const LEVELS = 32 - STEP_BITS

interface Range {
  start: number
  length: number
  free: boolean
  /** Neighbours by address. */
  prev: Range | undefined
  next: Range | undefined
  /** Neighbours in the free list, only while free. */
  prevFree: Range | undefined
  nextFree: Range | undefined
}

/** The list that a range of `length` is filed in. Its first member may be a little shorter than another one's need. */
function listOf(length: number): number {
  if (length < STEPS) return length
  const power = 31 - Math.clz32(length)
  return ((power - STEP_BITS + 1) << STEP_BITS) + ((length >>> (power - STEP_BITS)) & (STEPS - 1))
}

/** The first list whose members are all at least `length` long. */
function listThatFits(length: number): number {
  if (length < STEPS) return length
  const power = 31 - Math.clz32(length)
  return listOf(length + (1 << (power - STEP_BITS)) - 1)
}

/** Allocates ranges of whole units from [start, start + length), all below 2^30. */
export class RangeAllocator {
  private readonly lists: (Range | undefined)[] = new Array<Range | undefined>(LEVELS * STEPS).fill(undefined)
  private levelBits = 0
  private readonly stepBits = new Int32Array(LEVELS)
  private readonly used = new Map<number, Range>()
  private spare: Range | undefined
  /** Units in use. */
  inUse = 0

  constructor(start: number, length: number) {
    this.file(this.newRange(start, length, undefined, undefined))
  }

  /**
   * Takes `length` units at a multiple of `align` (a power of two), from the low end of a free range. What was never
   * taken is thus one run at the end, and offsets stay low.
   * @returns the first unit, or -1 when no free range is long enough.
   */
  alloc(length: number, align: number): number {
    let range = this.firstIn(listThatFits(length))
    let start = range === undefined ? -1 : place(range, length, align)
    if (start < 0 && align > 1) {
      range = this.firstIn(listThatFits(length + align - 1))
      start = range === undefined ? -1 : place(range, length, align)
    }
    if (start < 0) {
      range = this.search(length, align)
      if (range === undefined) return -1
      start = place(range, length, align)
    }
    this.take(range!, start, length)
    return start
  }

  /** Gives back the range that starts at `start`; @returns its length, or 0 when no range in use starts there. */
  free(start: number): number {
    let range = this.used.get(start)
    if (range === undefined) return 0
    const length = range.length
    this.used.delete(start)
    this.inUse -= length
    const prev = range.prev
    if (prev !== undefined && prev.free) {
      this.unfile(prev)
      range = this.join(prev, range)
    }
    const next = range.next
    if (next !== undefined && next.free) {
      this.unfile(next)
      range = this.join(range, next)
    }
    this.file(range)
    return length
  }

  private take(range: Range, start: number, length: number): void {
    this.unfile(range)
    if (start > range.start) {
      const front = this.newRange(range.start, start - range.start, range.prev, range)
      if (range.prev !== undefined) range.prev.next = front
      range.prev = front
      range.start = start
      range.length -= front.length
      this.file(front)
    }
    if (range.length > length) {
      const back = this.newRange(start + length, range.length - length, range, range.next)
      if (range.next !== undefined) range.next.prev = back
      range.next = back
      range.length = length
      this.file(back)
    }
    this.used.set(start, range)
    this.inUse += length
  }

  /** The first free range in `list` or any longer one. */
  private firstIn(list: number): Range | undefined {
    let level = list >>> STEP_BITS
    if (level >= LEVELS) return undefined
    let steps = this.stepBits[level]! & (-1 << (list & (STEPS - 1)))
    if (steps === 0) {
      const levels = level === LEVELS - 1 ? 0 : this.levelBits & (-1 << (level + 1))
      if (levels === 0) return undefined
      level = lowestBit(levels)
      steps = this.stepBits[level]!
    }
    return this.lists[(level << STEP_BITS) + lowestBit(steps)]
  }

  /** Near exhaustion: looks at each free range that could do, so that -1 means that there is none. */
  private search(length: number, align: number): Range | undefined {
    for (let list = listOf(length); ; list++) {
      const first = this.firstIn(list)
      if (first === undefined) return undefined
      for (let range: Range | undefined = first; range !== undefined; range = range.nextFree) {
        if (place(range, length, align) >= 0) return range
      }
      list = listOf(first.length)
    }
  }

  private file(range: Range): void {
    const list = listOf(range.length)
    const head = this.lists[list]
    range.free = true
    range.prevFree = undefined
    range.nextFree = head
    if (head !== undefined) head.prevFree = range
    this.lists[list] = range
    this.stepBits[list >>> STEP_BITS]! |= 1 << (list & (STEPS - 1))
    this.levelBits |= 1 << (list >>> STEP_BITS)
  }

  private unfile(range: Range): void {
    range.free = false
    const { prevFree, nextFree } = range
    if (nextFree !== undefined) nextFree.prevFree = prevFree
    if (prevFree !== undefined) prevFree.nextFree = nextFree
    else {
      const list = listOf(range.length)
      this.lists[list] = nextFree
      if (nextFree === undefined) {
        const level = list >>> STEP_BITS
        this.stepBits[level]! &= ~(1 << (list & (STEPS - 1)))
        if (this.stepBits[level] === 0) this.levelBits &= ~(1 << level)
      }
    }
    range.prevFree = range.nextFree = undefined
  }

  private join(low: Range, high: Range): Range {
    low.length += high.length
    low.next = high.next
    if (high.next !== undefined) high.next.prev = low
    high.prev = undefined
    high.next = this.spare
    this.spare = high
    return low
  }

  private newRange(start: number, length: number, prev: Range | undefined, next: Range | undefined): Range {
    const range = this.spare
    if (range === undefined) return { start, length, free: false, prev, next, prevFree: undefined, nextFree: undefined }
    this.spare = range.next
    range.start = start
    range.length = length
    range.prev = prev
    range.next = next
    return range
  }
}

/** Where `length` units at a multiple of `align` start in `range`; -1 when they do not fit. */
function place(range: Range, length: number, align: number): number {
  const start = (range.start + align - 1) & -align
  return start + length <= range.start + range.length ? start : -1
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

// SPDX-License-Identifier: Apache-2.0
// data plane
// Rules that say which I/O goes wrong, and how: pure state, one seed gives one sequence of hits.
import { BdevError, ERRNO, IO_TYPE_NAMES, IoType } from '@bdevkit/module-sdk'
import type { JsonObject } from '@bdevkit/module-sdk'

/** What happens to an I/O, as the RPC methods call it. */
export type ErrorType = 'failure' | 'pending' | 'corrupt_data' | 'nomem' | 'nvme_failure' | 'errno'

/** What happens to an I/O that is hit. */
export interface Fault {
  readonly errorType: ErrorType
  readonly nvmeSct: number
  readonly nvmeSc: number
  /** Negative errno, for `errno`. */
  readonly errno: number
  readonly corruptOffset: number
  readonly corruptValue: number
}

/** One rule, as `bdev_error_set_rules` takes it. */
export type RuleParams = {
  io_type: string
  error_type: ErrorType
  offset_blocks?: number
  num_blocks?: number
  every?: number
  probability?: number
  seed?: number
  count?: number
  heal_on_write?: boolean
  nvme_sct?: number
  nvme_sc?: number
  errno?: string
  corrupt_offset?: number
  corrupt_value?: number
}

/** Most blocks of a rule that heals: it keeps one bit for each. */
export const HEAL_MAX_BLOCKS = 1 << 24

const CORRUPTIBLE = (1 << IoType.Read) | (1 << IoType.Write)
/** Control commands are not failed: they are the way out. */
const ALL_TYPES = ~((1 << IoType.Reset) | (1 << IoType.Abort))

/** Number `sequence` of the draws of `seed`, in [0, 1): a function, so that one draw can be repeated without those before. */
export function draw(seed: number, sequence: number): number {
  let z = (seed ^ Math.imul(sequence | 0, 0x9e37_79b9) ^ Math.imul((sequence / 2 ** 32) | 0, 0x85eb_ca6b)) | 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a_2d97)
  z = Math.imul(z ^ (z >>> 15), 0x2c1b_3c6d)
  return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32
}

/** One rule at work. */
export class Rule implements Fault {
  readonly errorType: ErrorType
  readonly nvmeSct: number
  readonly nvmeSc: number
  readonly errno: number
  readonly corruptOffset: number
  readonly corruptValue: number
  readonly seed: number
  /** I/Os that it looked at: the sequence number of the last one. */
  seen = 0
  /** I/Os that it hit. */
  hits = 0
  readonly #params: RuleParams
  readonly #types: number
  readonly #firstBlock: number
  readonly #endBlock: number
  readonly #every: number
  readonly #probability: number
  readonly #count: number
  /** For a rule that heals: a bit for each block that is still bad. */
  readonly #bad: Uint8Array | null
  #badLeft: number

  /**
   * @param freshSeed used where the rule draws and names no seed.
   * @throws BdevError EINVAL parameters are missing or contradict each other.
   */
  constructor(params: RuleParams, who: string, freshSeed: number) {
    const refuse = (what: string): never => { // cold: a rule is set
      throw new BdevError('EINVAL', `${who}: ${what}`)
    }
    const { error_type: errorType, io_type: ioType } = params
    const { nvme_sct: sct = 0, nvme_sc: sc = 0, corrupt_value: corruptValue = 0, num_blocks: numBlocks } = params
    if ((errorType === 'nvme_failure') !== (sct !== 0 || sc !== 0)) refuse('nvme_failure needs nvme_sct or nvme_sc, and nothing else has them')
    if ((errorType === 'errno') !== (params.errno !== undefined)) refuse('error_type "errno" needs errno, and nothing else has it')
    if ((errorType === 'corrupt_data') !== (corruptValue !== 0)) refuse('corrupt_data needs a corrupt_value above 0, and nothing else has it')
    if (errorType === 'corrupt_data' && !['read', 'write', 'all'].includes(ioType)) refuse('corrupt_data is for reads and writes')
    if (params.every !== undefined && params.probability !== undefined) refuse('every and probability exclude each other')
    if (params.heal_on_write === true && (numBlocks === undefined || numBlocks > HEAL_MAX_BLOCKS)) {
      refuse(`heal_on_write needs num_blocks of at most ${HEAL_MAX_BLOCKS}`)
    }
    this.errorType = errorType
    this.nvmeSct = sct
    this.nvmeSc = sc
    this.errno = params.errno === undefined ? 0 : -ERRNO[params.errno as keyof typeof ERRNO]
    this.corruptOffset = params.corrupt_offset ?? 0
    this.corruptValue = corruptValue
    this.seed = params.seed ?? freshSeed
    this.#params = params.probability === undefined ? params : { ...params, seed: this.seed } // cold: a rule is set
    const types = ioType === 'all' ? ALL_TYPES : 1 << IO_TYPE_NAMES.indexOf(ioType)
    this.#types = errorType === 'corrupt_data' ? types & CORRUPTIBLE : types
    this.#firstBlock = params.offset_blocks ?? 0
    this.#endBlock = numBlocks === undefined ? Infinity : this.#firstBlock + numBlocks
    this.#every = params.every ?? 1
    this.#probability = params.probability ?? 1
    this.#count = params.count ?? Infinity
    this.#bad = params.heal_on_write === true ? new Uint8Array((numBlocks! + 7) >> 3).fill(0xff) : null
    this.#badLeft = numBlocks ?? Infinity
  }

  /** The rule as it was given, with the seed that it draws from. */
  get params(): RuleParams {
    return this.#params
  }

  /** Whether it can hit anything any more. */
  get active(): boolean {
    return this.hits < this.#count && this.#badLeft > 0
  }

  /** Whether a write may heal it. */
  get heals(): boolean {
    return this.#bad !== null
  }

  /** Whether it hits this I/O. Counts it. */
  hit(type: number, offsetBlocks: number, numBlocks: number): boolean {
    if (!this.active || (this.#types & (1 << type)) === 0) return false
    const first = Math.max(offsetBlocks, this.#firstBlock)
    const end = Math.min(offsetBlocks + numBlocks, this.#endBlock)
    if (first >= end || (this.#bad !== null && !this.#anyBad(this.#bad, first, end))) return false
    this.seen++
    if (this.seen % this.#every !== 0) return false
    if (this.#probability < 1 && draw(this.seed, this.seen) >= this.#probability) return false
    this.hits++
    return true
  }

  /** Blocks were written: they are good from now on. */
  heal(offsetBlocks: number, numBlocks: number): void {
    const bad = this.#bad
    if (bad === null) return
    const end = Math.min(offsetBlocks + numBlocks, this.#endBlock) - this.#firstBlock
    for (let at = Math.max(offsetBlocks - this.#firstBlock, 0); at < end; at++) {
      const bit = 1 << (at & 7)
      if ((bad[at >> 3] & bit) === 0) continue
      bad[at >> 3] &= ~bit
      this.#badLeft--
    }
  }

  /** The rule and what became of it, for `bdev_error_get_rules`. */
  toJson(): JsonObject {
    const bad = this.#bad === null ? {} : { bad_blocks: this.#badLeft }
    return { ...this.#params, seed: this.seed, active: this.active, seen: this.seen, hits: this.hits, ...bad } // cold: for bdev_error_get_rules
  }

  /** One line for the log. */
  describe(): string {
    const { error_type, errno, io_type } = this.#params
    const detail = errno ?? (this.nvmeSct === 0 && this.nvmeSc === 0 ? '' : `sct ${this.nvmeSct} sc ${this.nvmeSc}`)
    return `${io_type}, ${error_type}${detail === '' ? '' : ` ${detail}`}`
  }

  #anyBad(bad: Uint8Array, first: number, end: number): boolean {
    for (let at = first - this.#firstBlock; at < end - this.#firstBlock; at++) if ((bad[at >> 3] & (1 << (at & 7))) !== 0) return true
    return false
  }
}

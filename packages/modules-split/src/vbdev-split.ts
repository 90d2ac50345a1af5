// SPDX-License-Identifier: Apache-2.0
import { RpcError, type Bdev, type BdevHost, type PartBase, type RpcCall } from '@bdevkit/module-sdk'
import type { SplitCreateParams } from './rpc.js'

const MIB = 1 << 20
/** What SPDK answers where a split fails, whatever the cause. */
const INVALID_PARAMS = -32602

/** The parts that one request makes: `numBlocks` each, one behind the other. */
export interface SplitPlan {
  readonly count: number
  readonly numBlocks: number
}

/**
 * How a base is cut. A size that leaves no room for all parts makes as many as fit; a remainder stays unused.
 * @returns the errno text instead where the request makes no sense for this base.
 */
export function planSplit(base: Pick<Bdev, 'blockSizeBytes' | 'numBlocks'>, count: number, sizeMib: number): SplitPlan | string {
  if (count === 0) return 'Invalid argument'
  if (sizeMib === 0) {
    const numBlocks = Math.floor(base.numBlocks / count)
    return numBlocks === 0 ? 'Invalid argument' : { count, numBlocks }
  }
  const sizeBytes = sizeMib * MIB
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes % base.blockSizeBytes !== 0) return 'Invalid argument'
  const numBlocks = sizeBytes / base.blockSizeBytes
  return { count: Math.min(count, Math.floor(base.numBlocks / numBlocks)), numBlocks }
}

interface Split {
  readonly params: Required<SplitCreateParams>
  base: PartBase | null
}

/** The splits of one host, attached or waiting for their base. */
export class Splits {
  readonly #host: BdevHost
  readonly #splits = new Map<string, Split>()

  constructor(host: BdevHost) {
    this.#host = host
  }

  /** Handler of `bdev_split_create`. */
  create({ base_bdev, split_count, split_size_mb = 0 }: SplitCreateParams): readonly string[] {
    const refuse = (text: string, cause?: unknown): RpcError =>
      new RpcError(INVALID_PARAMS, `Failed to create ${split_count} split bdevs from '${base_bdev}': ${text}`, { cause })
    if (split_count === 0) throw refuse('Invalid argument')
    if (this.#splits.has(base_bdev)) throw refuse('File exists')
    const split: Split = { params: { base_bdev, split_count, split_size_mb }, base: null }
    this.#splits.set(base_bdev, split)
    const bdev = this.#host.bdevByName(base_bdev)
    if (bdev === undefined) {
      this.#host.log.notice(`the split of "${base_bdev}" waits for that bdev`)
      return []
    }
    try {
      const failure = this.#attach(split, bdev)
      if (failure !== null) throw refuse(failure)
    } catch (thrown) {
      this.#splits.delete(base_bdev)
      if ((thrown as Partial<RpcError>).rpcCode !== undefined) throw thrown
      this.#host.log.error(`split of "${base_bdev}": ${(thrown as Error).message}`)
      // SPDK's text for a base that is claimed, misleading as it is.
      throw refuse('Cannot allocate memory', thrown)
    }
    return (split.base?.parts() ?? []).map(part => part.name)
  }

  /** Handler of `bdev_split_delete`. */
  async delete(name: string): Promise<boolean> {
    const split = this.#splits.get(name)
    if (split === undefined) throw new RpcError(INVALID_PARAMS, 'No such file or directory')
    this.#splits.delete(name)
    await split.base?.close()
    return true
  }

  /** A bdev has appeared: cut it where somebody asked for it. */
  examine(bdev: Bdev): void {
    const split = this.#splits.get(bdev.name)
    if (split === undefined || split.base !== null) return
    try {
      const failure = this.#attach(split, bdev)
      if (failure !== null) this.#host.log.error(`the split of "${bdev.name}" into ${split.params.split_count} does not fit it: ${failure}`)
    } catch (thrown) {
      this.#host.log.warn(`the split of "${bdev.name}" stays away: ${(thrown as Error).message}`)
    }
  }

  /** For the saved configuration. */
  createCalls(): readonly RpcCall[] {
    return [...this.#splits.values()].map(({ params }) => ({ method: 'bdev_split_create', params: { ...params } }))
  }

  #attach(split: Split, bdev: Bdev): string | null {
    const plan = planSplit(bdev, split.params.split_count, split.params.split_size_mb)
    if (typeof plan === 'string') return plan
    if (plan.count < split.params.split_count) {
      this.#host.log.warn(`split of "${bdev.name}": wanted ${split.params.split_count} parts of ${split.params.split_size_mb} MiB, found room for ${plan.count}`)
    }
    const base = this.#host.openPartBase(bdev.name, {
      fn: { dumpInfoJson: part => ({ split: { base_bdev: part.base.bdev.name, offset_blocks: part.offsetBlocks } }) },
      onClosed: () => {
        if (split.base === base) split.base = null
      },
    })
    split.base = base
    try {
      for (let i = 0; i < plan.count; i++) {
        base.createPart({ name: `${bdev.name}p${i}`, offsetBlocks: i * plan.numBlocks, numBlocks: plan.numBlocks, productName: 'Split Disk', ctx: null })
      }
    } catch (thrown) {
      split.base = null
      void base.close()
      throw thrown
    }
    return null
  }
}

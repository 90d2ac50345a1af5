// SPDX-License-Identifier: Apache-2.0
import type { BdevHost, BdevModule, Json, JsonObject } from '@bdevkit/module-sdk'

/** Calls an RPC method of the host under test: the parameters are checked against its schema, as on the wire. */
export type Rpc = (method: string, params?: JsonObject) => Promise<Json>

/** Base bdevs with data on them, for modules that find something there. */
export interface ConformanceDisks {
  /** Makes a base bdev of these bytes, which it then changes; it relays to them where `basesRelayed` says so. */
  add(name: string, bytes: Uint8Array, blockSizeBytes: number): void
  /** Unregisters it; settles when it is gone. */
  remove(name: string): Promise<void>
}

/** What the kit needs to know about a module. There is no list of cases to skip: what the bdev declares decides. */
export interface ConformanceOptions {
  /** The module under test, as its package exports it. */
  module: BdevModule
  /** Further modules, where the bdev under test is a stack of several kinds. */
  modules?: readonly BdevModule[]
  /**
   * Creates the bdev under test and answers its name. Called once per case, each in a fresh host, and again after `remove`.
   * The bdev needs at least 8 MiB.
   */
  create(rpc: Rpc): Promise<unknown>
  /** Removes it; settles when it is gone. */
  remove(rpc: Rpc): Promise<unknown>
  /** Names of base bdevs that a vbdev module needs: the kit makes them before `create`, RAM of 16 MiB with 512-byte blocks. */
  bases?: readonly string[]
  /** Called once in each host before anything is created: for keys, and whatever else is not made by the module's own methods. */
  prepare?(host: BdevHost, disks: ConformanceDisks): void | Promise<void>
  /** False for bdevs that are found on a disk and never created by a call: a saved configuration then has none for them. Default true. */
  configured?: boolean
  /** Block size of the bases, in bytes. Default 512. */
  baseBlockSizeBytes?: number
  /** The bases are no RAM, but vbdevs that relay to it. Default false. */
  basesRelayed?: boolean
  /**
   * False for bdevs that forget: then every read must return zeros, whatever was written, and the kit checks that.
   * Default true: reads return what was written last.
   */
  keepsData?: boolean
  /** An I/O, a removal or a shutdown that takes longer counts as lost, in milliseconds. Default 4000. */
  limitMs?: number
  /** `describe` of the test runner; default the global one. */
  describe?: (name: string, body: () => void) => unknown
  /** `it` of the test runner; default the global one. */
  it?: (name: string, body: () => Promise<void>) => unknown
}

// SPDX-License-Identifier: Apache-2.0
import { Accel, type DmaHeap } from '@bdevkit/accel'
import type { Accel as SdkAccel } from '@bdevkit/module-sdk'
import type { CryptoKeys } from './crypto-keys.js'

/** The kernels on the host's heap, with the host's keys: the contract's `host.accel`. */
export class HostAccel extends Accel implements SdkAccel {
  readonly keys: CryptoKeys

  /** Kernels on `heap`; `makeKeys` is called at once. @internal */
  constructor(heap: DmaHeap, makeKeys: (accel: Accel) => CryptoKeys) {
    super(heap)
    this.keys = makeKeys(this)
  }
}

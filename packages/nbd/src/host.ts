// SPDX-License-Identifier: Apache-2.0
import { IoType, type Accel, type Bdev, type BdevDesc, type BdevHost, type Dma, type OpenOptions } from '@bdevkit/module-sdk'

/** What the server needs of a host: a part of `BdevHost`, which every host of `@bdevkit/core` has. */
export interface NbdHost extends Pick<BdevHost, 'log' | 'appThread'> {
  /** Opens a bdev; `owner` stands in the host's messages. */
  openBdev(name: string, options: OpenOptions & { owner?: string }): BdevDesc
  /** Copies payloads. */
  readonly accel: Pick<Accel, 'copy'>
  /** Gives the buffers. */
  readonly dma: Pick<Dma, 'alloc' | 'free'>
}

/** What core's bdevs say beyond the SDK: one bit per I/O type that the module itself serves. */
export interface NativeTypes {
  readonly supportedTypes?: number
}

/**
 * Whether the bdev's module zeroes by itself: only then is zeroing faster than writing. `ioTypeSupported` cannot tell, as it
 * counts the framework's emulation. False where it is not known.
 */
export function zeroesNatively(bdev: Bdev & NativeTypes): boolean {
  return ((bdev.supportedTypes ?? 0) & (1 << IoType.WriteZeroes)) !== 0
}

// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import type { BdevFnTable, BdevHost, DescChannel, VbdevBase, VbdevParams, Vbdevs } from '@bdevkit/module-sdk'
import { kitRamCreate, KIT_UUID_NAMESPACE } from './kit-ram.js'

/** Where the bdev under test stands: alone, under a vbdev that forwards, or below a bdev that shows its upper half. */
export type Level = 'bare' | 'relay' | 'half'

/** Parameters of the kit's vbdevs. */
export interface KitVbdevParams extends VbdevParams {
  half: boolean
}

interface KitVbdev {
  readonly base: VbdevBase
}

/** First block of the upper half: the half-size bdev's block 0. Whole write units. */
export function halfOffsetBlocks(numBlocks: number, writeUnitSizeBlocks: number): number {
  return numBlocks - Math.floor(numBlocks / 2 / writeUnitSizeBlocks) * writeUnitSizeBlocks
}

const common: Pick<BdevFnTable<KitVbdev, DescChannel>, 'destruct' | 'ioTypeSupported' | 'getIoChannel'> = {
  destruct: vbdev => vbdev.base.close(),
  ioTypeSupported: (vbdev, type) => vbdev.base.ioTypeSupported(type),
  getIoChannel: vbdev => vbdev.base.getIoChannel(),
}

const relayFn: BdevFnTable<KitVbdev, DescChannel> = {
  ...common,
  submitRequest(base, io) {
    io.forward(base)
  },
}

const halfFn: BdevFnTable<KitVbdev, DescChannel> = {
  ...common,
  submitRequest(base, io) {
    io.forward(base, halfOffsetBlocks(base.bdev.numBlocks, base.bdev.writeUnitSizeBlocks))
  },
}

/** The kit's hold on one host: its module's own host object and its bdevs. */
export interface Kit {
  readonly host: BdevHost
  readonly vbdevs: Vbdevs<KitVbdevParams>
  /** Makes a base bdev for a vbdev module under test. */
  createBase(name: string, numBlocks: number, blockSizeBytes: number): void
}

/** The kit's module: written on the SDK alone, as any other. `onSetup` gets its hold on each host that uses it. */
export function kitModule(onSetup: (kit: Kit) => void) {
  return defineBdevModule({
    name: 'conformance_kit',
    sdk: '0.1',
    setup(host) {
      const device = host.registerIoDevice({ name: 'conformance_kit', createChannel: () => null })
      const vbdevs = host.vbdevs<KitVbdevParams, KitVbdev>({
        attach(base, { name, half }) {
          const geometry = base.geometry()
          const skipped = half ? halfOffsetBlocks(geometry.numBlocks, geometry.writeUnitSizeBlocks ?? 1) : 0
          return {
            ...geometry,
            numBlocks: geometry.numBlocks - skipped,
            name,
            productName: half ? 'Conformance half' : 'Conformance relay',
            ctx: { base },
            fn: half ? halfFn : relayFn,
            lendsReadBuffers: base.bdev.lendsReadBuffers,
          }
        },
        uuidNamespace: KIT_UUID_NAMESPACE,
        onResize: 'remove',
      })
      onSetup({
        host,
        vbdevs,
        createBase: (name, numBlocks, blockSizeBytes) => {
          const bytes = new Uint8Array(numBlocks * blockSizeBytes)
          kitRamCreate({ host, device, bytes }, name, blockSizeBytes)
        },
      })
      return { moduleFini: () => device.unregister() }
    },
  })
}

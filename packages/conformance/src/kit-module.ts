// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, DescChannel, PartBase, VbdevBase, VbdevParams, Vbdevs } from '@bdevkit/module-sdk'
import { kitRamCreate, KIT_TYPES, KIT_UUID_NAMESPACE } from './kit-ram.js'

/** Where the bdev under test stands: alone, under a vbdev that forwards, or cut into two parts. */
export type Level = 'bare' | 'relay' | 'part'

interface Relay {
  readonly base: VbdevBase
}

/** First block of the upper half: the upper part's block 0. Whole write units. */
export function halfOffsetBlocks(numBlocks: number, writeUnitSizeBlocks: number): number {
  return numBlocks - Math.floor(numBlocks / 2 / writeUnitSizeBlocks) * writeUnitSizeBlocks
}

const relayFn: BdevFnTable<Relay, DescChannel> = {
  destruct: relay => relay.base.close(),
  ioTypeSupported: (relay, type) => relay.base.ioTypeSupported(type),
  getIoChannel: relay => relay.base.getIoChannel(),
  submitRequest(base, io) {
    io.forward(base)
  },
}

/** The kit's hold on one host: its module's own host object and its bdevs. */
export interface Kit {
  readonly host: BdevHost
  /** Bdevs that relay to a base. */
  readonly relays: Vbdevs<VbdevParams>
  /** While it is true, no channel of the kit's base bdevs can be made. */
  channelsFail: boolean
  /** Makes a base bdev for a vbdev module under test, of these bytes, serving `types` (default: all that the kit knows). */
  createBase(name: string, bytes: Uint8Array, blockSizeBytes: number, types?: readonly number[]): Bdev
  /** Cuts a bdev in two; the upper part gets this name. */
  cut(bdev: Bdev, name: string): PartBase
}

/** The kit's module: written on the SDK alone, as any other. `onSetup` gets its hold on each host that uses it. */
export function kitModule(onSetup: (kit: Kit) => void) {
  return defineBdevModule({
    name: 'conformance_kit',
    sdk: '0.1',
    setup(host) {
      const device = host.registerIoDevice({
        name: 'conformance_kit',
        createChannel() {
          if (kit.channelsFail) throw new Error('the conformance kit gives no channel now')
          return null
        },
      })
      const relays = host.vbdevs<VbdevParams, Relay>({
        attach: (base, { name }) => ({
          ...base.geometry(), name, productName: 'Conformance relay', ctx: { base }, fn: relayFn, lendsReadBuffers: base.bdev.lendsReadBuffers,
        }),
        uuidNamespace: KIT_UUID_NAMESPACE,
        onResize: 'remove',
      })
      const kit: Kit = {
        host,
        relays,
        channelsFail: false,
        createBase: (name, bytes, blockSizeBytes, types = KIT_TYPES) =>
          kitRamCreate({ host, device, types, bytes, nomem: 0 }, name, blockSizeBytes),
        cut(bdev, name) {
          const base = host.openPartBase(bdev.name)
          const half = halfOffsetBlocks(bdev.numBlocks, bdev.writeUnitSizeBlocks)
          const productName = 'Conformance part'
          base.createPart({ name: `${name}_lower`, offsetBlocks: 0, numBlocks: half, productName, ctx: null })
          base.createPart({ name, offsetBlocks: half, numBlocks: bdev.numBlocks - half, productName, ctx: null })
          return base
        },
      }
      onSetup(kit)
      return { moduleFini: () => device.unregister() }
    },
  })
}

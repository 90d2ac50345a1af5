// SPDX-License-Identifier: Apache-2.0
import { ClaimType, defineBdevModule, method } from '@bdevkit/module-sdk'
import type { Bdev, BdevFnTable, BdevHost, BdevIo, DescChannel, IoType, VbdevBase, VbdevParams } from '@bdevkit/module-sdk'

interface Relay {
  readonly base: VbdevBase
}

/** Where a test puts its fault: each member replaces the right behaviour. */
export interface RelayFaults {
  ioTypeSupported?(type: IoType): boolean
  submit?(base: DescChannel, io: BdevIo): void
  getIoChannel?(base: VbdevBase): DescChannel | null
  examineConfig?(host: BdevHost, bdev: Bdev): void
  onResize?: 'follow' | 'ignore' | 'remove'
}

const params = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: { name: { type: 'string' }, base_bdev_name: { type: 'string' }, uuid: { type: 'string' } },
}

/** Claims every bdev that nobody has. */
export function greedy(host: BdevHost, bdev: Bdev): void {
  if (bdev.claimType === ClaimType.None) host.openBdev(bdev.name, { onEvent() {} }).claim(ClaimType.ExclWrite)
}

/** A vbdev that does everything right, but for its faults. */
export function relayModule(faults: RelayFaults = {}) {
  const fn: BdevFnTable<Relay, DescChannel> = {
    destruct: relay => relay.base.close(),
    ioTypeSupported: (relay, type) => faults.ioTypeSupported?.(type) ?? relay.base.ioTypeSupported(type),
    getIoChannel: relay => (faults.getIoChannel === undefined ? relay.base.getIoChannel() : faults.getIoChannel(relay.base)),
    submitRequest(base, io) {
      if (faults.submit === undefined) io.forward(base)
      else faults.submit(base, io)
    },
  }
  return defineBdevModule({
    name: 'relay',
    sdk: '0.1',
    rpc: { bdev_relay_create: method<VbdevParams, string>({ params }), bdev_relay_delete: method<{ name: string }, boolean>({ params }) },
    setup(host) {
      const relays = host.vbdevs<VbdevParams, Relay>({
        attach: (base, { name }) => ({ ...base.geometry(), name, productName: 'Relay', ctx: { base }, fn }),
        uuidNamespace: '3c1de0a0-54ab-4a0e-9a7b-6f0e2d1c8b47',
        onResize: faults.onResize ?? 'follow',
      })
      const { examineConfig } = faults
      return {
        handlers: {
          bdev_relay_create: one => relays.create(one),
          bdev_relay_delete: ({ name }) => relays.delete(name).then(() => true),
        },
        configJson: () => relays.createCalls('bdev_relay_create'),
        ...(examineConfig !== undefined && { examineConfig: (bdev: Bdev) => examineConfig(host, bdev) }),
      }
    },
  })
}

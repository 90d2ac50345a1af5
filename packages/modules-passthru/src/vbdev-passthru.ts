// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevFnTable, BdevSpec, DescChannel, VbdevBase } from '@bdevkit/module-sdk'
import type { PassthruCreateParams } from './rpc.js'

/** One passthru bdev. */
export interface Passthru {
  readonly name: string
  readonly base: VbdevBase
}

const passthruFn: BdevFnTable<Passthru, DescChannel> = {
  destruct(passthru) {
    return passthru.base.close()
  },
  ioTypeSupported(passthru, type) {
    return passthru.base.ioTypeSupported(type)
  },
  getIoChannel(passthru) {
    return passthru.base.getIoChannel()
  },
  submitRequest(base, io) {
    io.forward(base)
  },
  dumpInfoJson({ name, base }) {
    return { passthru: { name, base_bdev_name: base.bdev.name } }
  },
}

/** The bdev for `params` on `base`: of the same size, shape and I/O types. */
export function passthruAttach(base: VbdevBase, { name }: PassthruCreateParams): BdevSpec<Passthru, DescChannel> {
  const { lendsReadBuffers } = base.bdev
  return Object.assign(base.geometry(), { name, ctx: { name, base }, fn: passthruFn, productName: 'passthru', lendsReadBuffers })
}

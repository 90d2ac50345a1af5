// SPDX-License-Identifier: Apache-2.0
// Changes data on its way up: flips the first byte of every read. Written on the SDK alone; copied out of the workspace by
// the benchmark before it is loaded.
import { defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'

function flip(child, parent) {
  if (child.status === IoStatus.Success) {
    const iov = parent.iovs[0]
    iov.buf[iov.off] ^= 0xff
  }
  parent.completeFrom(child)
}

const transformFn = {
  submitRequest(base, io) {
    if (io.type === IoType.Read) io.forwardThen(base, flip)
    else io.forward(base)
  },
  ioTypeSupported(transform, type) {
    return type === IoType.Read || type === IoType.Write ? transform.base.ioTypeSupported(type) : false
  },
  getIoChannel(transform) {
    return transform.base.getIoChannel()
  },
  destruct(transform) {
    return transform.base.close()
  },
}

export default defineBdevModule({
  name: 'transform',
  sdk: '0.1',
  rpc: { bdev_transform_create: { params: { type: 'object' } } },
  setup(host) {
    const vbdevs = host.vbdevs({
      attach: (base, params) => ({ ...base.geometry(), name: params.name, productName: 'transform', ctx: { base }, fn: transformFn }),
    })
    return { handlers: { bdev_transform_create: params => vbdevs.create(params) } }
  },
})

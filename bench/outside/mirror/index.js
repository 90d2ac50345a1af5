// SPDX-License-Identifier: Apache-2.0
// Two bases, reads from the first, writes to both: what a third party writes on the SDK alone. Copied out of the workspace
// by the benchmark before it is loaded.
import { BdevEventType, ClaimType, defineBdevModule, IoStatus, IoType } from '@bdevkit/module-sdk'

/** Writes to one leg; one that refuses has failed. A forwarded I/O has one child at a time: two legs are written by submission. */
function write(leg, io) {
  const rc = leg.writevBlocks(io.iovs, io.iovCnt, io.offsetBlocks, io.numBlocks, legWritten, io)
  if (rc === 0) return
  io.ctx.status = IoStatus.Failed
  if (--io.ctx.left === 0) io.complete(IoStatus.Failed)
}

/** A leg has answered; the last one answers for the write. */
function legWritten(child, success, parent) {
  const ctx = parent.ctx
  if (!success) ctx.status = child.status
  child.free()
  if (--ctx.left === 0) parent.complete(ctx.status)
}

/** What is no write goes to one leg after the other. */
function firstDone(child, parent) {
  if (child.status === IoStatus.Success) parent.forward(parent.ctx.legs.second)
  else parent.completeFrom(child)
}

const mirrorFn = {
  submitRequest(legs, io) {
    if (io.type === IoType.Read) {
      io.forward(legs.first)
      return
    }
    if (io.type !== IoType.Write) {
      io.ctx.legs = legs
      io.forwardThen(legs.first, firstDone)
      return
    }
    io.ctx.left = 2
    io.ctx.status = IoStatus.Success
    write(legs.first, io)
    write(legs.second, io)
  },
  ioTypeSupported(mirror, type) {
    if (type === IoType.Abort) return false
    return mirror.first.bdev.ioTypeSupported(type) && mirror.second.bdev.ioTypeSupported(type)
  },
  getIoChannel(mirror) {
    return mirror.device.getIoChannel()
  },
  async destruct(mirror) {
    for (const desc of [mirror.first, mirror.second]) {
      desc.releaseClaim()
      desc.close()
    }
    await mirror.device.unregister()
  },
}

export default defineBdevModule({
  name: 'mirror',
  sdk: '0.1',
  rpc: { bdev_mirror_create: { params: { type: 'object' } } },
  setup(host) {
    const open = (name, mirror) => {
      const desc = host.openBdev(name, { onEvent: event => event.type === BdevEventType.Remove && void host.unregisterBdev(mirror) })
      desc.claim(ClaimType.ExclWrite)
      return desc
    }
    return {
      createIoContext: () => ({ left: 0, status: 0, legs: null }),
      handlers: {
        bdev_mirror_create({ name, base_bdev_names: [firstName, secondName] }) {
          const first = open(firstName, name)
          const second = open(secondName, name)
          const device = host.registerIoDevice({
            name: `mirror_${name}`,
            createChannel: () => ({ first: first.getIoChannel(), second: second.getIoChannel() }),
            destroyChannel(legs) {
              legs.first.put()
              legs.second.put()
            },
          })
          host.registerBdev({ ...first.bdev.geometry(), name, productName: 'mirror', ctx: { first, second, device }, fn: mirrorFn })
          return name
        },
      },
    }
  },
})

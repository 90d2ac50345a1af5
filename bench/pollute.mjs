// SPDX-License-Identifier: Apache-2.0
// Makes the framework's call sites megamorphic: module types of different shapes, as a process with many packages has them.
import { defineBdevModule, IoStatus } from '@bdevkit/module-sdk'

/** Adds `count` generated vbdev modules to a host that is not initialised. Each has its own functions and hidden classes. */
export function useGenerated(host, count) {
  const names = []
  for (let i = 0; i < count; i++) {
    // new Function: functions of their own, as separate packages would have.
    const make = new Function('IoStatus', 'defineBdevModule', `
      class Node${i} { constructor(base) { this.f${i} = 1; this.base = base; this.x${i} = ${i} } }
      function looked(child, parent) { parent.ctx.a${i} = ${i}; parent.completeFrom(child) }
      const fn = { ${i % 2 ? `p${i}: 1,` : ''}
        submitRequest(channel, io) { io.ctx.a${i} = ${i}; ${i % 3 ? 'io.forward(channel)' : 'io.forwardThen(channel, looked)'} },
        ioTypeSupported(node, type) { return node.base.ioTypeSupported(type) },
        getIoChannel(node) { return node.base.getIoChannel() },
        destruct(node) { return node.base.close() } }
      return defineBdevModule({ name: 'generated${i}', sdk: '0.1', rpc: { make: {} }, setup(host) {
        const vbdevs = host.vbdevs({
          attach: (base, params) => ({ ...base.geometry(), name: params.name, productName: 'generated', ctx: new Node${i}(base), fn }),
        })
        return { createIoContext: () => ({ a${i}: 0, b: 0 }), handlers: { make: params => vbdevs.create(params) } } } })`)
    const module = make(IoStatus, defineBdevModule)
    host.use(module)
    names.push(module.name)
  }
  return names
}

/** Runs I/O through a stack of all generated modules on `base`. */
export async function pollute(host, names, base) { if (names.length === 0) return;
  const buf = host.dma.alloc(4096)
  const channels = []
  let under = base
  for (const name of names) {
    const module = host.modules.find(candidate => candidate.name === name)
    under = await module.instance.handlers.make({ name, base_bdev_name: under })
    channels.push(host.openBdev(under, { onEvent: () => {} }).getIoChannel())
  }
  for (let round = 0; round < 200; round++) {
    await new Promise(resolve => {
      let left = channels.length * 20
      for (const channel of channels) {
        for (let k = 0; k < 20; k++) channel.readBlocks(buf.buf, buf.off, 0, 8, (io) => { io.free(); if (--left === 0) resolve() }, k)
      }
    })
  }
}

// SPDX-License-Identifier: Apache-2.0
// A stack and its NBD server in the process of the test, for what only the host itself can tell.
import { join } from 'node:path'
import { createHost, type Host, type HostUsage } from '@bdevkit/core'
import type { BdevModule } from '@bdevkit/module-sdk'
import mallocModule from '@bdevkit/modules-malloc'
import passthruModule from '@bdevkit/modules-passthru'
import { NbdServer } from '@bdevkit/nbd'
import { registerHostMethods, RpcRegistry } from '@bdevkit/rpc'
import { type Call, inFolder } from './files.js'

export interface InProcess {
  readonly host: Host
  readonly nbd: NbdServer
  /** Path of the NBD socket. */
  readonly socket: string
  uri(name: string): string
  call<T = unknown>(method: string, params?: object): Promise<T>
  /** What has been logged. */
  readonly log: readonly string[]
}

/** Nothing at all in use. */
export const NOTHING: HostUsage = { bdevs: 0, descriptors: 0, channels: 0, bdevIos: 0, ioWaiters: 0, iobufs: 0, iobufWaiters: 0, dmaBytes: 0 }

/** Serves `exports` of the bdevs that `calls` create, calls `use`, stops, and checks that nothing is left. */
export async function inProcess(
  calls: readonly Call[],
  exports: readonly string[],
  use: (stack: InProcess) => Promise<void>,
  modules: readonly BdevModule<any>[] = [mallocModule, passthruModule],
): Promise<void> {
  await inFolder(async folder => {
    const log: string[] = []
    const host = createHost({ log: (level, source, message) => void log.push(`${level}: ${source}: ${message}`) })
    for (const module of modules) host.use(module)
    const registry = new RpcRegistry({ log: host.log, waits: host.waits })
    registerHostMethods(registry, host, { identity: { name: 'test', version: '0' }, kill: () => undefined })
    await host.init()
    registry.enterRuntime()
    for (const { method, params } of calls) await registry.call(method, params)
    const socket = join(folder, 'n')
    const nbd = new NbdServer(host, { exports: exports.map(name => ({ name, bdevName: name })) })
    try {
      await nbd.listen({ path: socket })
      await use({
        host,
        nbd,
        socket,
        log,
        uri: name => `nbd+unix:///${name}?socket=${socket}`,
        call: (method, params) => registry.call(method, params),
      })
    } finally {
      await nbd.stop({ deadlineMs: 2000 })
      await host.finish()
    }
    const left = JSON.stringify(host.usage())
    if (left !== JSON.stringify(NOTHING)) throw new Error(`wanted nothing in use after all has ended, found ${left}`)
  })
}

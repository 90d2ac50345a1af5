// SPDX-License-Identifier: Apache-2.0
// One file with everything in it: `esbuild bundle.ts --bundle --platform=node --format=esm`. There is no node_modules to search
// then, so modules are values that the code hands to the host.
import { createHost } from '@bdevkit/core'
import malloc from '@bdevkit/modules-malloc'
import passthru from '@bdevkit/modules-passthru'
import { NbdServer, nbdUri } from '@bdevkit/nbd'
import { RpcRegistry, registerHostMethods } from '@bdevkit/rpc'

const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('usage: node bundle.mjs SOCKET')

const host = createHost()
host.use(malloc)
host.use(passthru)
const registry = new RpcRegistry({ log: host.log })
registerHostMethods(registry, host)
await host.init()
registry.enterRuntime()
await registry.call('bdev_malloc_create', { name: 'Malloc0', num_blocks: 32_768, block_size: 512 })
await registry.call('bdev_passthru_create', { name: 'Top0', base_bdev_name: 'Malloc0' })

const server = new NbdServer(host, { exports: [{ bdevName: 'Top0', name: 'Top0' }] })
await server.listen({ path })
console.log(`ready: ${nbdUri({ path }, 'Top0')}`)

process.once('SIGTERM', () => void server.stop({ deadlineMs: 1000 }).then(() => host.finish()))

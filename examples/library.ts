// SPDX-License-Identifier: Apache-2.0
// An application that holds its disks itself: core as a library, modules as values, no stack file, no server, no socket.
import { createHost, type BdevHandle, type Host } from '@bdevkit/core'
import type { BdevModule } from '@bdevkit/module-sdk'
import malloc from '@bdevkit/modules-malloc'
import passthru from '@bdevkit/modules-passthru'
import { registerHostMethods, RpcRegistry } from '@bdevkit/rpc'

/** A running host whose RPC methods are typed by the modules that it uses. It ends with the block that holds it. */
class Stack<Modules extends readonly BdevModule[]> implements AsyncDisposable {
  readonly host: Host
  readonly #registry: RpcRegistry

  private constructor(host: Host, registry: RpcRegistry) {
    this.host = host
    this.#registry = registry
  }

  static async start<const Modules extends readonly BdevModule[]>(...modules: Modules): Promise<Stack<Modules>> {
    const host = createHost()
    for (const module of modules) host.use(module)
    const registry = new RpcRegistry({ log: host.log })
    registerHostMethods(registry, host)
    await host.init()
    registry.enterRuntime()
    return new Stack<Modules>(host, registry)
  }

  /** Calls a method of one of the modules: names, parameters and results are checked by the compiler, and again here. */
  call<Method extends MethodName<Modules>>(method: Method, params: ParamsOf<Modules, Method>): Promise<ResultOf<Modules, Method>> {
    return this.#registry.call(method, params as never)
  }

  open(name: string): Promise<BdevHandle> {
    return this.host.open(name, { write: true, owner: 'examples/library' })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host.finish()
  }
}

type MethodsOf<Modules extends readonly BdevModule[]> = UnionToIntersection<NonNullable<Modules[number]['rpc']>>
type UnionToIntersection<Union> = (Union extends unknown ? (of: Union) => void : never) extends (of: infer All) => void ? All : never
type MethodName<Modules extends readonly BdevModule[]> = keyof MethodsOf<Modules> & string
type TypesOf<Method> = Method extends { readonly '@bdevkit/types'?: infer Types } ? NonNullable<Types> : never
type ParamsOf<Modules extends readonly BdevModule[], Method extends MethodName<Modules>> =
  TypesOf<MethodsOf<Modules>[Method]> extends { params: infer Params } ? Params : never
type ResultOf<Modules extends readonly BdevModule[], Method extends MethodName<Modules>> =
  TypesOf<MethodsOf<Modules>[Method]> extends { result: infer Result } ? Result : never

await using stack = await Stack.start(malloc, passthru)
const base = await stack.call('bdev_malloc_create', { name: 'Malloc0', num_blocks: 2048, block_size: 512 })
const name = await stack.call('bdev_passthru_create', { name: 'Top0', base_bdev_name: base })

await using disk = await stack.open(name)
console.log(`${name} on ${base}: ${disk.sizeBytes} bytes`)

const data = new TextEncoder().encode('hello, block device').slice()
const block = new Uint8Array(512)
block.set(data)
await disk.write(block, 4096, { fua: true })
const found = await disk.read(4096, 512)
console.log(new TextDecoder().decode(found.subarray(0, data.length)))

// A request can be given up: ABORT goes down the stack, and the promise settles when the I/O has ended, either way.
const giveUp = new AbortController()
const reading = disk.read(0, 65_536, { signal: giveUp.signal })
giveUp.abort()
console.log(await reading.then(() => 'ended before the abort', (error: Error) => `given up: ${error.name}`))

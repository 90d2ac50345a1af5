// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import type { RpcMethod } from '@bdevkit/module-sdk'
import type { RpcHandler, RpcRegistry } from '../registry.js'

/**
 * Adds the methods of every module the host uses, with the handlers their `setup` returned. Call it after the last `use`.
 * @throws Error naming module and method when two modules have a method of one name, or a schema is none.
 */
export function registerModuleMethods(registry: RpcRegistry, host: Host): void {
  for (const module of host.modules) {
    const methods = (module.value.rpc ?? {}) as Record<string, RpcMethod>
    const handlers = (module.instance.handlers ?? {}) as Record<string, RpcHandler<unknown>>
    for (const [name, spec] of Object.entries(methods)) {
      try {
        registry.register(name, spec, (params: unknown) => handlers[name]?.(params))
      } catch (cause) {
        throw new Error(`module "${module.name}": ${(cause as Error).message}`, { cause })
      }
    }
  }
}

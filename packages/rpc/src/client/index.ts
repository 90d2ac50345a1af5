// SPDX-License-Identifier: Apache-2.0
/**
 * A typed client of SPDK's JSON-RPC, for our server and for a real `spdk_tgt`.
 * @packageDocumentation
 */
import { RpcClient, type RpcClientOptions } from '../client.js'
import type { BdevkitMethods } from './methods.generated.js'

export * from '../client.js'
export { RpcCallError, type RpcErrorObject } from '../errors.js'
export * from './config.js'
export type { BdevkitMethods } from './methods.generated.js'
export * from './notifications.js'

/**
 * Connects to the socket at `path`, with every method of our server typed.
 * @throws RpcConnectionError as `RpcClient.connect`.
 */
export function connect(path: string, options: RpcClientOptions = {}): Promise<RpcClient<BdevkitMethods>> {
  return RpcClient.connect<BdevkitMethods>(path, options)
}

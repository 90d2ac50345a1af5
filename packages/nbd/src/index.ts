// SPDX-License-Identifier: Apache-2.0
/**
 * Serves bdevs over the NBD protocol.
 * @packageDocumentation
 */
export { isLocalAddress, nbdAddressText, parseNbdAddress } from './address.js'
export type { ConnectionInfo } from './connection.js'
export type { ExportOptions } from './export.js'
export type { NbdHost } from './host.js'
export { DEFAULT_LIMITS, type NbdLimits } from './limits.js'
export { registerNbdMethods, type NbdMethods, type NbdMethodsOptions } from './rpc-methods.js'
export { NbdServer, type NbdServerOptions, type StopResult } from './server.js'
export type { NbdAddress } from './sockets.js'
export { nbdUri } from './uri.js'

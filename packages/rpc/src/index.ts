// SPDX-License-Identifier: Apache-2.0
/**
 * SPDK's JSON-RPC: registry, server, client, configuration files.
 * @packageDocumentation
 */
export * from './client.js'
export * from './config-file.js'
export * from './config-load.js'
export { RpcCallError, type RpcErrorObject } from './errors.js'
export * from './methods/accel-methods.js'
export * from './methods/app-methods.js'
export * from './methods/bdev-control-methods.js'
export * from './methods/bdev-methods.js'
export * from './methods/framework-methods.js'
export * from './methods/host-methods.js'
export * from './log-control.js'
export * from './methods/iobuf-methods.js'
export * from './methods/keyring-methods.js'
export * from './methods/log-methods.js'
export * from './methods/module-methods.js'
export * from './methods/notify-methods.js'
export * from './methods/scheduler-methods.js'
export * from './methods/sock-methods.js'
export * from './methods/thread-methods.js'
export * from './registry.js'
export * from './server.js'
export { RpcListenError } from './socket-lock.js'
export { errnoName, errnoOf, strerror } from './strerror.js'

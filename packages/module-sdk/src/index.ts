// SPDX-License-Identifier: Apache-2.0
/**
 * The contract between bdev modules and the bdevkit framework: types and constants, no state.
 * @packageDocumentation
 */
export * from './bdev.js'
export * from './bdev-io.js'
export * from './constants.js'
export * from './crypto.js'
export * from './dif.js'
export * from './dma.js'
export * from './errors.js'
export * from './host.js'
export * from './module.js'
export * from './offload.js'
export * from './part.js'
export * from './rpc.js'
export * from './thread.js'

// SPDX-License-Identifier: Apache-2.0
/**
 * The `bdev` command.
 * @packageDocumentation
 */
export { run } from './program.js'

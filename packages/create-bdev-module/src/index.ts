// SPDX-License-Identifier: Apache-2.0
/**
 * Makes projects for bdev modules.
 * @packageDocumentation
 */
export { CreateError } from './errors.js'
export { namesFor, type ModuleNames } from './names.js'
export { createProject, KINDS, type Kind, type ProjectOptions } from './project.js'
export { run } from './run.js'

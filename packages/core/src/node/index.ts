// SPDX-License-Identifier: Apache-2.0
/**
 * Finds, checks and loads module packages. The only part of core that needs Node.
 * @packageDocumentation
 */
export { SDK_VERSION } from '../sdk-version.js'
export { MODULE_MANIFEST_SCHEMA } from './manifest-schema.js'
export {
  discoverModules,
  type DiscoverOptions,
  type Discovery,
  type ModuleCandidate,
  type ModuleOrigin,
} from './module-discovery.js'
export { ModuleErrorCode, ModuleLoadError, type ModuleFailure } from './module-errors.js'
export {
  IMPORT_TIMEOUT_MS,
  inspectModules,
  loadModules,
  type LoadedModule,
  type LoadOptions,
  type ModuleInspection,
} from './module-loader.js'
export { negotiateModules, type HostOffer, type NegotiatedModule, type Negotiation } from './module-negotiation.js'
export { missingModuleText, neededModuleNames } from './needed-modules.js'
export type { PackageJson } from './package-json.js'
export { lowestSdkVersion } from './sdk-range.js'

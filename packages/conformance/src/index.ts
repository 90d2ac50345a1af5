// SPDX-License-Identifier: Apache-2.0
/**
 * The conformance kit that every module author runs.
 * @packageDocumentation
 */
export { checkModulePackage, type CheckOptions } from './check/check-package.js'
export { CHECKS, type CheckName, type CheckReport, type Finding, type Verdict } from './check/report.js'
export { conformance, conformanceCases } from './conformance.js'
export { ConformanceFailure } from './failure.js'
export type { ConformanceDisks, ConformanceOptions, Rpc } from './options.js'
export { parameterTables } from './parameter-tables.js'
export { startTestHost, type RamBdevSize, type TestHost, type TestHostOptions } from './test-host.js'

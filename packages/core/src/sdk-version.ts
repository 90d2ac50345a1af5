// SPDX-License-Identifier: Apache-2.0

/** Version of `@bdevkit/module-sdk` that this core offers to modules. A test holds it equal to that package's version. */
export const SDK_VERSION = '0.1.0'

/**
 * The line of compatible SDK releases that a version belongs to: its major (`'1'`), and below 1.0 its minor (`'0.1'`), since
 * semver lets every 0.x minor break. A module of one line never runs on a host of another.
 * @param version `major.minor`, as in a module's `sdk`, or a whole semver version
 * @returns undefined where `version` is neither
 */
export function sdkLine(version: string): string | undefined {
  const match = /^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:\.(?:0|[1-9]\d{0,8})(?:[-+][0-9A-Za-z.+-]{1,128})?)?$/.exec(version)
  if (match === null) return undefined
  return match[1] === '0' ? `0.${match[2]}` : match[1]
}

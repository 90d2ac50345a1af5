// SPDX-License-Identifier: Apache-2.0
// What core uses of semver 7, which ships no types.
declare module 'semver' {
  export class SemVer {
    readonly major: number
    readonly minor: number
    readonly patch: number
    readonly prerelease: readonly (string | number)[]
    readonly version: string
  }
  export class Comparator {
    readonly semver: SemVer
    readonly operator: string
  }
  export class Range {
    constructor(range: string)
    readonly set: readonly (readonly Comparator[])[]
    intersects(other: Range): boolean
    test(version: SemVer): boolean
  }
  const semver: {
    Range: typeof Range
    valid(version: unknown): string | null
    parse(version: string): SemVer
    minVersion(range: Range): SemVer | null
    satisfies(version: string, range: string, options?: { includePrerelease?: boolean }): boolean
    gtr(version: string, range: string, options?: { includePrerelease?: boolean }): boolean
  }
  export default semver
}

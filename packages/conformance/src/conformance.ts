// SPDX-License-Identifier: Apache-2.0
import { bdevioCases } from './cases-bdevio.js'
import { ioCases } from './cases-io.js'
import { lifecycleCases } from './cases-lifecycle.js'
import type { Level } from './kit-module.js'
import type { ConformanceOptions } from './options.js'
import { inRig } from './rig.js'

const LEVELS: readonly (readonly [Level, string])[] = [
  ['bare', 'bare'],
  ['relay', 'under a relay vbdev'],
  ['half', 'under a vbdev that shows its upper half'],
]

/**
 * Registers the conformance suite of a module with a test runner: SPDK's bdevio cases and the rules of the control plane,
 * in strict hosts, on the bare bdev, under a vbdev that relays, and under one that shows the upper half.
 * @throws Error where no `describe` and `it` are given and the test runner has no global ones.
 */
export function conformance(options: ConformanceOptions): void {
  const globals = globalThis as { describe?: ConformanceOptions['describe']; it?: ConformanceOptions['it'] }
  const describe = options.describe ?? globals.describe
  const it = options.it ?? globals.it
  if (describe === undefined || it === undefined) {
    throw new Error('conformance: this test runner has no global describe and it; pass both, e.g. conformance({ describe, it, … })')
  }
  describe(`conformance of module "${options.module.name}"`, () => {
    for (const [level, title] of LEVELS) {
      describe(title, () => {
        for (const { name, run } of [...bdevioCases, ...ioCases]) {
          it(name, () => inRig(options, level, async rig => {
            await rig.create()
            await run(await rig.stack())
          }))
        }
        for (const { name, levels, needsBases, run } of lifecycleCases) {
          if (!levels.includes(level) || (needsBases && (options.bases ?? []).length === 0)) continue
          it(name, () => inRig(options, level, run))
        }
      })
    }
  })
}

// SPDX-License-Identifier: Apache-2.0
import { bdevioCases } from './cases-bdevio.js'
import { ioCases } from './cases-io.js'
import { lifecycleCases } from './cases-lifecycle.js'
import type { Level } from './kit-module.js'
import type { ConformanceOptions } from './options.js'
import { inRig } from './rig.js'

interface Setting {
  readonly title: string
  readonly level: Level
  /** Strict hosts catch what touches an I/O after its end; the others recycle I/O objects and hand out the real buffers. */
  readonly strict: boolean
}

const settings: readonly Setting[] = [
  { title: 'bare', level: 'bare', strict: true },
  { title: 'bare, as in production', level: 'bare', strict: false },
  { title: 'under a relay vbdev', level: 'relay', strict: true },
  { title: 'under a vbdev that shows its upper half', level: 'half', strict: true },
]

/**
 * Registers the conformance suite of a module with a test runner: SPDK's bdevio cases and the rules of the control plane,
 * on the bare bdev, under a vbdev that relays, and under one that shows the upper half.
 * @throws Error where no `describe` and `it` are given and the test runner has no global ones.
 */
export function conformance(options: ConformanceOptions): void {
  const globals = globalThis as { describe?: ConformanceOptions['describe']; it?: ConformanceOptions['it'] }
  const describe = options.describe ?? globals.describe
  const it = options.it ?? globals.it
  if (describe === undefined || it === undefined) {
    throw new Error('conformance: this test runner has no global describe and it; pass both: conformance({ describe, it, … })')
  }
  describe(`conformance of module "${options.module.name}"`, () => {
    for (const { title, level, strict } of settings) {
      describe(title, () => {
        for (const { name, run } of [...bdevioCases, ...ioCases]) {
          it(name, () => inRig(options, level, strict, async rig => {
            await rig.create()
            await run(await rig.stack())
          }))
        }
        for (const { name, levels, needsBases, run } of lifecycleCases) {
          if (!strict || !levels.includes(level) || (needsBases && (options.bases ?? []).length === 0)) continue
          it(name, () => inRig(options, level, strict, run))
        }
      })
    }
  })
}

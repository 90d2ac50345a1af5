// SPDX-License-Identifier: Apache-2.0
import { IoType } from '@bdevkit/module-sdk'
import { bdevioCases } from './cases-bdevio.js'
import { faultCases } from './cases-faults.js'
import { ioCases } from './cases-io.js'
import { lifecycleCases } from './cases-lifecycle.js'
import { metadataCases } from './cases-metadata.js'
import { ConformanceFailure } from './failure.js'
import type { Level } from './kit-module.js'
import type { ConformanceOptions } from './options.js'
import { inRig } from './rig.js'

interface Setting {
  readonly title: string
  readonly level: Level
  /** Strict hosts catch what touches an I/O after its end; the others recycle I/O objects and hand out the real buffers. */
  readonly strict: boolean
  /** What the bases serve, where that is not everything: then only for modules that have bases, and without the control plane. */
  readonly baseTypes?: readonly number[]
}

const settings: readonly Setting[] = [
  { title: 'bare', level: 'bare', strict: true },
  { title: 'bare, as in production', level: 'bare', strict: false },
  { title: 'under a relay vbdev', level: 'relay', strict: true },
  { title: 'on the upper of two parts', level: 'part', strict: true },
  { title: 'on bases that only read and write', level: 'bare', strict: true, baseTypes: [IoType.Read, IoType.Write, IoType.Reset] },
]

/** The cases that are about a type of I/O, and not about sizes and scatter lists. */
const typeCases = [...bdevioCases.filter(({ name }) => !name.startsWith('blockdev write')), ...ioCases, ...metadataCases]

/** Every case by its name, with the one-line reason why it is there. */
export const conformanceCases: readonly { readonly name: string; readonly why?: string }[] =
  [...bdevioCases, ...ioCases, ...metadataCases, ...lifecycleCases, ...faultCases].map(({ name, why }) => ({ name, ...(why !== undefined && { why }) }))

/** Runs a case; its failure says why there is such a rule. */
async function explained(why: string | undefined, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (thrown) {
    if (!(thrown instanceof ConformanceFailure) || why === undefined) throw thrown
    throw Object.assign(new ConformanceFailure(thrown.reason, thrown.hint, why), { cause: thrown })
  }
}

/**
 * Registers the conformance suite of a module with a test runner: SPDK's bdevio cases and the rules of the control plane,
 * on the bare bdev, under a vbdev that relays, on parts of it, and, where it has bases, on bases that serve little. What the
 * bdev declares decides what is asked of it; nothing can be skipped.
 * @throws Error where no `describe` and `it` are given and the test runner has no global ones.
 */
export function conformance(options: ConformanceOptions): void {
  const globals = globalThis as { describe?: ConformanceOptions['describe']; it?: ConformanceOptions['it'] }
  const describe = options.describe ?? globals.describe
  const it = options.it ?? globals.it
  if (describe === undefined || it === undefined) {
    throw new Error('conformance: this test runner has no global describe and it; pass both: conformance({ describe, it, … })')
  }
  const hasBases = (options.bases ?? []).length > 0
  describe(`conformance of module "${options.module.name}"`, () => {
    for (const { title, level, strict, baseTypes } of settings) {
      if (baseTypes !== undefined && !hasBases) continue
      describe(title, () => {
        for (const { name, why, run } of baseTypes === undefined ? [...bdevioCases, ...ioCases, ...metadataCases] : typeCases) {
          const inStack = async (rig: Parameters<Parameters<typeof inRig>[3]>[0]): Promise<void> => {
            await rig.create()
            await run(await rig.stack())
          }
          it(name, () => explained(why, () => inRig(options, level, strict, inStack, baseTypes)))
        }
        if (!strict || baseTypes !== undefined) return
        for (const { name, why, levels, needsBases, run } of [...lifecycleCases, ...faultCases]) {
          if (!levels.includes(level) || (needsBases && !hasBases)) continue
          it(name, () => explained(why, () => inRig(options, level, strict, run)))
        }
      })
    }
  })
}

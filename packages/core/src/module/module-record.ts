// SPDX-License-Identifier: Apache-2.0
import type { BdevModule, BdevModuleInstance, Logger } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import type { Host } from '../host/host.js'
import { createLogger, describeThrown } from '../log.js'
import { sdkLine } from '../sdk-version.js'

/** Hooks whose answer is needed at once: a promise from one of them is refused by name. */
type PlainHook = 'initComplete' | 'configJson' | 'examineConfig'

/** A module in a host (`struct spdk_bdev_module`, its `internal` part). */
export class ModuleRecord {
  /** The host that it is in. @internal */
  readonly host: Host
  /** Its name, unique in the host. */
  readonly name: string
  /** What `defineBdevModule` made. */
  readonly value: BdevModule
  /** Major version of the SDK that it was built against. */
  readonly sdkMajor: number
  /** Minor version of the SDK that it was built against. */
  readonly sdkMinor: number
  /** Its log: the source is its name. @internal */
  readonly log: Logger
  /** What its `setup` returned; empty before. */
  instance: BdevModuleInstance = {}
  /** Makes the `ctx` of its I/Os; `null` where it wants none. @internal */
  createIoContext: (() => object) | null = null
  /** Told when a bdev has been destructed. @internal */
  bdevGone: ((bdev: Bdev) => void) | null = null
  /** Init and examinations under way (`action_in_progress`). @internal */
  actions = 0
  /** It has opened a bdev: its I/O may wait for I/O below. @internal */
  hasBases = false
  /** The module misused an I/O: its I/Os are not recycled any more, so that a late mistake cannot hit another I/O. */
  distrusted = false

  /** Made by `Host.use`. @internal */
  constructor(host: Host, value: BdevModule) {
    this.host = host
    this.value = value
    this.name = value.name
    const [major, minor] = value.sdk.split('.').map(Number)
    this.sdkMajor = major ?? 0
    this.sdkMinor = minor ?? 0
    this.log = createLogger(host.logSink, value.name)
  }

  /** Whether it looks at new bdevs: such modules go to the front of the list. */
  get examines(): boolean {
    return this.instance.examineConfig !== undefined || this.instance.examineDisk !== undefined
  }

  /** From now on none of its I/Os is used twice: those that it has, and those that it had before and may still know. @internal */
  distrust(): void {
    if (this.distrusted || this.host.strict) return
    this.distrusted = true
    for (const bdev of this.host.bdevs) if (bdev.module === this) bdev.distrustChannels()
    this.log.warn(`module "${this.name}": its I/O objects are not used again from here on, because it misused one`)
  }

  /** Logs what code of the module threw. @internal */
  reportThrow(where: string, thrown: unknown): void {
    this.log.error(`${where} threw: ${describeThrown(thrown)}`)
  }

  /** Calls a hook that must answer plainly. A throw is logged and gives `undefined`. @internal */
  callPlain<Name extends PlainHook>(
    hook: Name,
    ...args: Parameters<NonNullable<BdevModuleInstance[Name]>>
  ): ReturnType<NonNullable<BdevModuleInstance[Name]>> | undefined {
    const fn = this.instance[hook] as ((...args: unknown[]) => ReturnType<NonNullable<BdevModuleInstance[Name]>>) | undefined
    if (fn === undefined) return undefined
    return this.plainly(`${hook} of module "${this.name}"`, () => fn.apply(this.instance, args))
  }

  /** Runs code of the module that must answer plainly. A throw or a promise is logged and gives `undefined`. @internal */
  plainly<Answer>(where: string, call: () => Answer): Answer | undefined {
    try {
      const answer = call()
      if (typeof (answer as PromiseLike<unknown> | undefined | null)?.then === 'function') {
        ;(answer as PromiseLike<unknown>).then(undefined, thrown => this.reportThrow(where, thrown))
        throw new BdevError('EINVAL', `wanted a plain answer, found a promise; what needs time belongs into moduleInit, examineDisk or a handler`)
      }
      return answer
    } catch (thrown) {
      this.reportThrow(where, thrown)
      return undefined
    }
  }
}

/** What the loader checks of a package, for values that come without one: in a bundle the stamp in the value is all there is. */
export function checkContract({ name, sdk }: BdevModule, offered: string): void {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]{0,31}$/.test(name)) {
    throw new BdevError('EINVAL', `use: a module is called "${String(name)}"; a name begins with a letter and has at most 32 of a-z, 0-9 and _`)
  }
  if (typeof sdk === 'string' && /^\d+\.\d+$/.test(sdk) && sdkLine(sdk) === sdkLine(offered)) return
  const fix = `load a build of it for module-sdk ${String(sdkLine(offered))}.x`
  const minor = offered.split('.', 2).join('.')
  throw new BdevError('BDEV_E_MODULE_ABI', `module "${name}" was built against module-sdk ${String(sdk)}, but this host offers ${minor}; ${fix}`)
}

// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import type { RpcRegistry } from '../registry.js'
import { registerAccelMethods } from './accel-methods.js'
import { registerAppMethods, type AppCallbacks } from './app-methods.js'
import { registerBdevControlMethods } from './bdev-control-methods.js'
import { registerBdevMethods } from './bdev-methods.js'
import { registerFrameworkMethods, type RpcSubsystem } from './framework-methods.js'
import { registerModuleMethods } from './module-methods.js'
import { registerNotifyMethods } from './notify-methods.js'

/** Options of {@link registerHostMethods}. */
export interface HostMethodsOptions extends AppCallbacks {
  /** Subsystems of the application besides accel and bdev, initialised after them. May grow later. */
  readonly subsystems?: RpcSubsystem[]
}

/**
 * Adds everything a host answers to: the methods of the application, of accel, of the bdev layer, and of the modules it uses.
 * Call it after the last `use`. Returns the subsystems, for `loadConfig`.
 * @throws Error naming module and method when two methods have one name.
 */
export function registerHostMethods(registry: RpcRegistry, host: Host, options: HostMethodsOptions = {}): RpcSubsystem[] {
  const subsystems = options.subsystems ?? []
  const accelConfig = registerAccelMethods(registry, host)
  subsystems.unshift(
    { name: 'accel', dependsOn: [], configJson: accelConfig },
    { name: 'bdev', dependsOn: ['accel'], configJson: () => host.configJson() },
  )
  registerModuleMethods(registry, host)
  registerBdevMethods(registry, host)
  registerBdevControlMethods(registry, host)
  registerNotifyMethods(registry, host)
  registerFrameworkMethods(registry, subsystems)
  registerAppMethods(registry, options)
  return subsystems
}

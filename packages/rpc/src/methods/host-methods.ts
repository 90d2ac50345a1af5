// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import { LogControl } from '../log-control.js'
import { registerDiscover } from '../openrpc.js'
import type { RpcRegistry } from '../registry.js'
import { registerAccelMethods } from './accel-methods.js'
import { registerAppMethods, type AppCallbacks } from './app-methods.js'
import { registerBdevControlMethods } from './bdev-control-methods.js'
import { registerBdevMethods } from './bdev-methods.js'
import { registerConfigMethods } from './config-methods.js'
import { registerFrameworkMethods, type RpcSubsystem } from './framework-methods.js'
import { registerGraphMethods } from './graph-methods.js'
import { registerIobufMethods } from './iobuf-methods.js'
import { registerKeyringMethods } from './keyring-methods.js'
import { registerLogMethods } from './log-methods.js'
import { registerModuleMethods } from './module-methods.js'
import { registerNotifyMethods } from './notify-methods.js'
import { registerSchedulerMethods } from './scheduler-methods.js'
import { registerSockMethods } from './sock-methods.js'
import { registerThreadMethods } from './thread-methods.js'

/** Options of {@link registerHostMethods}. */
export interface HostMethodsOptions extends AppCallbacks {
  /** Subsystems of the application besides those of a host, initialised after them. May grow later. */
  readonly subsystems?: RpcSubsystem[]
  /** Which messages the application prints; without it `log_*` methods rule nothing. */
  readonly log?: LogControl
}

/**
 * Adds everything a host answers to: the methods of the application, of the framework, of the bdev layer, and of the modules
 * it uses.
 * Call it after the last `use`. Returns the subsystems, for `loadConfig`.
 * @throws Error naming module and method when two methods have one name.
 */
export function registerHostMethods(registry: RpcRegistry, host: Host, options: HostMethodsOptions = {}): RpcSubsystem[] {
  registry.setGuard(who => host.assertAppThread(who))
  const subsystems = options.subsystems ?? []
  const log = options.log ?? new LogControl()
  log.addSources(['bdev', 'rpc', ...host.modules.map(({ name }) => name)])
  subsystems.unshift(
    { name: 'scheduler', dependsOn: [], configJson: registerSchedulerMethods(registry) },
    { name: 'sock', dependsOn: [], configJson: registerSockMethods(registry) },
    { name: 'keyring', dependsOn: [], configJson: registerKeyringMethods(registry) },
    { name: 'iobuf', dependsOn: [], configJson: registerIobufMethods(registry, host) },
    { name: 'accel', dependsOn: ['iobuf'], configJson: registerAccelMethods(registry, host) },
    { name: 'bdev', dependsOn: ['accel', 'keyring', 'sock', 'iobuf'], configJson: () => host.configJson() },
  )
  registerModuleMethods(registry, host)
  registerLogMethods(registry, log)
  registerThreadMethods(registry, host)
  registerBdevMethods(registry, host)
  registerBdevControlMethods(registry, host)
  registerNotifyMethods(registry, host)
  registerGraphMethods(registry, host)
  registerFrameworkMethods(registry, subsystems)
  registerConfigMethods(registry, subsystems)
  registerAppMethods(registry, options)
  registerDiscover(registry, options.identity?.version ?? 'unknown')
  return subsystems
}

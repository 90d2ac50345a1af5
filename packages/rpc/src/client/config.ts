// SPDX-License-Identifier: Apache-2.0

/** One call of a saved configuration. */
export interface SavedCall {
  method: string
  params?: object
}

/** One subsystem of a saved configuration; an array among its entries is a batch. */
export interface SavedSubsystem {
  subsystem: string
  config: (SavedCall | SavedCall[])[] | null
}

/** A saved configuration. */
export interface SavedConfig {
  subsystems: SavedSubsystem[]
}

/** What these functions need of a client. */
export interface ConfigClient {
  call(method: string, params?: object): Promise<any>
}

/** A configuration that cannot be loaded: the message names the method. */
export class SavedConfigError extends Error {
  override readonly name = 'SavedConfigError'
  readonly code = 'BDEV_E_CONFIG'
}

/**
 * The configuration of a running server, as SPDK's `save_config` has it. `subsystems`: only these, and what they depend on.
 * @throws SavedConfigError there is no such subsystem; RpcCallError, RpcConnectionError.
 */
export async function saveConfig(client: ConfigClient, subsystems?: readonly string[]): Promise<SavedConfig> {
  const known: { subsystem: string; depends_on: string[] }[] = await client.call('framework_get_subsystems')
  const wanted = new Set<string>()
  const want = (name: string): void => {
    const found = known.find(({ subsystem }) => subsystem === name)
    if (found === undefined)
      throw new SavedConfigError(`there is no subsystem "${name}", only ${known.map(({ subsystem }) => subsystem).join(', ')}`)
    if (wanted.has(name)) return
    wanted.add(name)
    found.depends_on.forEach(want)
  }
  for (const name of subsystems ?? known.map(({ subsystem }) => subsystem)) want(name)
  const saved: SavedSubsystem[] = []
  for (const { subsystem } of known) if (wanted.has(subsystem)) saved.push(await saveSubsystemConfig(client, subsystem))
  return { subsystems: saved }
}

/** The configuration of one subsystem. @throws RpcCallError there is no such subsystem. */
export async function saveSubsystemConfig(client: ConfigClient, name: string): Promise<SavedSubsystem> {
  return { subsystem: name, config: await client.call('framework_get_config', { name }) }
}

/**
 * Loads a configuration into a running server, as SPDK's `load_config`: first every method is looked for, then what the present state
 * permits is called, and `framework_start_init` where it has its turn.
 * @throws SavedConfigError a method is unknown, and nothing was called; or calls are left that no state permits.
 */
export async function loadConfigInto(client: ConfigClient, config: SavedConfig): Promise<void> {
  const known = new Set<string>(await client.call('rpc_get_methods', { include_aliases: true }))
  let left = config.subsystems.flatMap(({ subsystem, config: entries }) => (entries ?? []).map(entry => ({ subsystem, entry })))
  for (const { subsystem, entry } of left) {
    for (const { method } of [entry].flat()) {
      if (!known.has(method))
        throw new SavedConfigError(`subsystem "${subsystem}": the server has no method "${method}"; nothing was called`)
    }
  }
  for (;;) {
    const current = new Set<string>(await client.call('rpc_get_methods', { current: true, include_aliases: true }))
    const later: typeof left = []
    for (const item of left) {
      const calls = [item.entry].flat()
      if (calls.some(({ method }) => !current.has(method))) later.push(item)
      else await Promise.all(calls.map(({ method, params }) => client.call(method, params)))
    }
    const advanced = later.length < left.length
    left = later
    if (current.has('framework_start_init')) await client.call('framework_start_init')
    else if (left.length === 0) return
    else if (!advanced)
      throw new SavedConfigError(
        `not called, as the present state does not permit it: ${left
          .flatMap(({ entry }) => [entry].flat())
          .map(({ method }) => method)
          .join(', ')}`,
      )
  }
}

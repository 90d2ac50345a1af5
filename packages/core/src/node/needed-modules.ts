// SPDX-License-Identifier: Apache-2.0

/**
 * The modules that RPC methods belong to. `bdev_<name>` and `bdev_<name>_…` belong to the longest `<name>` in `knownNames`;
 * `bdev_<name>_create` with no such name still needs `<name>`, which is then not there. Other methods are the framework's.
 */
export function neededModuleNames(methods: Iterable<string>, knownNames: Iterable<string>): Set<string> {
  const known = new Set(knownNames)
  const needed = new Set<string>()
  for (const method of methods) {
    const name = moduleOfMethod(method, known)
    if (name !== undefined) needed.add(name)
  }
  return needed
}

/**
 * What to tell someone who calls `method` where no module answers it: which module is missing, and what to install.
 * @param lookedIn the lists that were read, as `discoverModules` returns them
 * @returns undefined where the method's name does not tell a module
 */
export function missingModuleText(method: string, lookedIn: readonly string[]): string | undefined {
  const name = moduleOfMethod(method, new Set())
  if (name === undefined) return undefined
  const where = lookedIn.length === 0 ? 'nowhere to look' : `looked in ${lookedIn.join(', ')}`
  return `${method}: no module "${name}" (${where}); try: npm install bdev-module-${name.replaceAll('_', '-')}`
}

const METHOD_LENGTH_MAX = 256

function moduleOfMethod(method: string, known: ReadonlySet<string>): string | undefined {
  if (typeof method !== 'string' || !method.startsWith('bdev_') || method.length > METHOD_LENGTH_MAX) return undefined
  for (let rest = method.slice('bdev_'.length), end = rest.length; end > 0; end = rest.lastIndexOf('_', end - 1)) {
    if (known.has(rest.slice(0, end))) return rest.slice(0, end)
  }
  return /^bdev_([a-z][a-z0-9_]{0,31})_create$/.exec(method)?.[1]
}

// SPDX-License-Identifier: Apache-2.0
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from './bdev.js'

/** Bdevs in the order of registration, and the one namespace of their names and aliases. */
export class BdevRegistry {
  readonly bdevs: Bdev[] = []
  readonly #names = new Map<string, Bdev>()

  /** By name, alias or UUID. */
  find(name: string): Bdev | undefined {
    return this.#names.get(name)
  }

  /**
   * Adds a bdev with its name, its UUID and the given aliases, or nothing.
   * @throws BdevError EEXIST a name is taken, EINVAL an alias is empty.
   */
  add(bdev: Bdev, aliases: readonly string[]): void {
    const names = [bdev.name, ...new Set([...(bdev.uuid === bdev.name ? [] : [bdev.uuid]), ...aliases])]
    if (aliases.includes(bdev.name)) throw new BdevError('EEXIST', `register of bdev "${bdev.name}": its own name is among its aliases; leave it out`)
    for (const name of names) {
      if (typeof name !== 'string' || name === '') throw new BdevError('EINVAL', `register of bdev "${bdev.name}": wanted aliases to be non-empty strings, found ${JSON.stringify(name)}`)
      const holder = this.#names.get(name)
      if (holder !== undefined) {
        throw new BdevError('EEXIST', `register of bdev "${bdev.name}": the name "${name}" belongs to bdev "${holder.name}" of module "${holder.module.name}"; choose another`)
      }
    }
    for (const name of names) this.#names.set(name, bdev)
    bdev.aliases.push(...names.slice(1))
    this.bdevs.push(bdev)
  }

  /**
   * Adds an alias (`spdk_bdev_alias_add`).
   * @throws BdevError EINVAL empty; EEXIST taken.
   */
  addAlias(bdev: Bdev, alias: string): void {
    if (alias === '') throw new BdevError('EINVAL', `alias of bdev "${bdev.name}": wanted a non-empty string`)
    const holder = this.#names.get(alias)
    if (holder !== undefined) throw new BdevError('EEXIST', `alias "${alias}" of bdev "${bdev.name}": bdev "${holder.name}" has that name`)
    this.#names.set(alias, bdev)
    bdev.aliases.push(alias)
  }

  /**
   * Removes an alias (`spdk_bdev_alias_del`).
   * @throws BdevError ENOENT it is no alias of the bdev.
   */
  removeAlias(bdev: Bdev, alias: string): void {
    const at = bdev.aliases.indexOf(alias)
    if (at < 0) throw new BdevError('ENOENT', `alias "${alias}": bdev "${bdev.name}" has no such alias`)
    bdev.aliases.splice(at, 1)
    this.#names.delete(alias)
  }

  /** Removes a bdev and its names. */
  remove(bdev: Bdev): void {
    this.bdevs.splice(this.bdevs.indexOf(bdev), 1)
    for (const name of [bdev.name, ...bdev.aliases]) if (this.#names.get(name) === bdev) this.#names.delete(name)
  }
}

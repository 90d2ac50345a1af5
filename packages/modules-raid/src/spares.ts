// SPDX-License-Identifier: Apache-2.0
// Hot spares: bdevs that wait to take the place of a member. SPDK reserves a state for them and has none.
import { BdevError, BdevEventType, ClaimType } from '@bdevkit/module-sdk'
import type { Bdev, BdevDesc, RpcCall } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidModule } from './raid-module.js'

interface Spare {
  readonly raidName: string
  readonly name: string
  /** `null` as long as the bdev is not there. */
  desc: BdevDesc | null
}

/**
 * The spares of one host. Nothing is written to them before they are used; the configuration keeps them. Neither the array nor
 * the bdev has to be there: a configuration loads in any order.
 */
export class Spares {
  readonly #module: RaidModule
  readonly #spares: Spare[] = []

  constructor(module: RaidModule) {
    this.#module = module
  }

  /**
   * Keeps a bdev for an array, and uses it at once where a member is missing.
   * @throws BdevError EEXIST it is a spare already; EPERM another has it; EINVAL the array has no redundancy.
   */
  async add(raidName: string, name: string): Promise<true> {
    const raid = this.#module.find(raidName)
    const who = `raid bdev "${raidName}"`
    if (raid?.level.redundant === false) throw new BdevError('EINVAL', `${who}: ${raid.level.name} cannot rebuild a member, and so has no spares`)
    if (this.#spares.some(one => one.name === name)) throw new BdevError('EEXIST', `${who}: bdev "${name}" is a spare already`)
    const spare: Spare = { raidName, name, desc: null }
    if (this.#module.host.bdevByName(name) !== undefined) this.#take(spare)
    this.#spares.push(spare)
    if (raid === undefined) return true
    this.#module.notice(raid, `has spare bdev "${name}"`)
    await this.fill(raid)
    return true
  }

  /** Takes a spare out. Answers whether it was one. */
  remove(name: string): boolean {
    const spare = this.#spares.find(one => one.name === name)
    if (spare !== undefined) this.#drop(spare)
    return spare !== undefined
  }

  /** A bdev has appeared: answers whether it is a spare that was waited for. */
  async appeared(bdev: Bdev): Promise<boolean> {
    const spare = this.#spares.find(({ name, desc }) => name === bdev.name && desc === null)
    if (spare === undefined) return false
    try {
      this.#take(spare)
    } catch (thrown) {
      this.#module.host.log.error(`spare bdev "${bdev.name}" of raid bdev "${spare.raidName}": ${(thrown as Error).message}`)
      return true
    }
    const raid = this.#module.find(spare.raidName)
    if (raid !== undefined) await this.fill(raid)
    return true
  }

  /** Puts spares into empty slots, one after the other. Never rejects. */
  async fill(raid: RaidBdev): Promise<void> {
    if (this.#module.finishing || raid.state !== 'online' || raid.rebuild !== null || raid.numDiscovered === raid.members.length) return
    const spare = this.#spares.find(({ raidName, desc }) => raidName === raid.name && desc !== null)
    if (spare === undefined) return
    try {
      await this.#module.addMember(raid, spare.name, () => {
        this.#module.notice(raid, `puts spare bdev "${spare.name}" in the place of a missing member`)
        this.#drop(spare)
      })
    } catch (thrown) {
      if (this.#spares.includes(spare)) return // the place is taken, for now
      this.#module.host.log.error(`${raid.who}: spare bdev "${spare.name}" cannot be used: ${(thrown as Error).message}`)
      await this.fill(raid)
    }
  }

  calls(): readonly RpcCall[] {
    return this.#spares.map(({ raidName, name }) => ({ method: 'bdev_raid_add_base_bdev', params: { raid_bdev: raidName, base_bdev: name, spare: true } }))
  }

  close(): void {
    for (const spare of [...this.#spares]) this.#drop(spare)
  }

  /** @throws BdevError EPERM another has it. */
  #take(spare: Spare): void {
    const desc = this.#module.host.openBdev(spare.name, {
      write: true,
      onEvent: ({ type }) => {
        if (type === BdevEventType.Remove) this.#letGo(spare)
      },
    })
    try {
      desc.claim(ClaimType.ExclWrite)
    } catch (thrown) {
      desc.close()
      throw thrown
    }
    spare.desc = desc
  }

  #letGo(spare: Spare): void {
    const { desc } = spare
    spare.desc = null
    desc?.releaseClaim()
    desc?.close()
  }

  #drop(spare: Spare): void {
    const at = this.#spares.indexOf(spare)
    if (at < 0) return
    this.#spares.splice(at, 1)
    this.#letGo(spare)
  }
}

// SPDX-License-Identifier: Apache-2.0
// Hot spares: bdevs that wait to take the place of a member. SPDK reserves a state for them and has none.
import { BdevError, BdevEventType, ClaimType } from '@bdevkit/module-sdk'
import type { BdevDesc, RpcCall } from '@bdevkit/module-sdk'
import type { RaidBdev } from './raid-bdev.js'
import type { RaidModule } from './raid-module.js'

interface Spare {
  readonly raidName: string
  readonly name: string
  desc: BdevDesc | null
}

/** The spares of one host. Nothing is written to them before they are used; the configuration keeps them. */
export class Spares {
  readonly #module: RaidModule
  readonly #spares: Spare[] = []

  constructor(module: RaidModule) {
    this.#module = module
  }

  /**
   * Keeps a bdev for an array, and uses it at once where a member is missing.
   * @throws BdevError ENODEV there is none; EPERM another has it; EINVAL the array has no redundancy, or the blocks differ.
   */
  async add(raid: RaidBdev, name: string): Promise<true> {
    if (raid.maxMissing === 0) throw new BdevError('EINVAL', `${raid.who}: ${raid.level.name} cannot rebuild a member, and so has no spares`)
    const spare: Spare = { raidName: raid.name, name, desc: null }
    const desc = this.#module.host.openBdev(name, {
      write: true,
      onEvent: ({ type }) => {
        if (type === BdevEventType.Remove) this.#drop(spare)
      },
    })
    try {
      desc.claim(ClaimType.ExclWrite)
    } catch (thrown) {
      desc.close()
      throw thrown
    }
    spare.desc = desc
    this.#spares.push(spare)
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

  /** Names of an array's spares. */
  of(raid: RaidBdev): readonly string[] {
    return this.#spares.filter(({ raidName }) => raidName === raid.name).map(({ name }) => name)
  }

  /** Puts spares into empty slots, one after the other. Never rejects. */
  async fill(raid: RaidBdev): Promise<void> {
    if (this.#module.finishing || raid.state !== 'online' || raid.rebuild !== null || raid.numDiscovered === raid.members.length) return
    const spare = this.#spares.find(({ raidName }) => raidName === raid.name)
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

  #drop(spare: Spare): void {
    const at = this.#spares.indexOf(spare)
    if (at < 0) return
    this.#spares.splice(at, 1)
    spare.desc?.releaseClaim()
    spare.desc?.close()
  }
}

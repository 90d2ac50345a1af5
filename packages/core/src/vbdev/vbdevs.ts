// SPDX-License-Identifier: Apache-2.0
import type { BdevDesc, BdevGeometry, JsonObject, RpcCall, VbdevBase, VbdevParams, Vbdevs as SdkVbdevs, VbdevsSpec } from '@bdevkit/module-sdk'
import { BdevError, BdevEventType, ClaimType } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { notifyBlockcntChange } from '../bdev/bdev-resize.js'
import { uuidBytes, uuidV5 } from '../bdev/uuid.js'
import type { Desc } from '../descriptor/desc.js'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { Host } from '../host/host.js'
import type { ModuleRecord } from '../module/module-record.js'

/** A vbdev that somebody asked for, with or without its base. */
interface Association<Params> {
  readonly params: Params
  base: Base | null
  vbdev: Bdev | null
  /** The base that it was on last. It does not come back on that one, only when the base does. */
  left: Bdev | null
}

/** The base of one vbdev. */
class Base implements VbdevBase {
  readonly bdev: Bdev
  readonly desc: BdevDesc
  readonly #desc: Desc
  readonly #claimType: number

  constructor(desc: Desc, claimType: number) {
    this.bdev = desc.bdev
    this.desc = desc
    this.#desc = desc
    this.#claimType = claimType
  }

  geometry(): BdevGeometry {
    return this.bdev.geometry()
  }

  ioTypeSupported(type: number): boolean {
    return (this.bdev.supportedTypes & (1 << type)) !== 0
  }

  getIoChannel(): DescChannel | null {
    return this.#desc.getIoChannel()
  }

  close(): Promise<void> {
    const desc = this.#desc
    if (desc.closed) return Promise.resolve()
    return new Promise(resolve => {
      desc.thread.execMsg(() => {
        if (this.#claimType === ClaimType.ExclWrite) desc.releaseClaim()
        desc.close()
        resolve()
      }, undefined)
    })
  }
}

/** The association of one module's vbdevs with their bases: see the contract. */
export class Vbdevs<Params extends VbdevParams, Ctx> implements SdkVbdevs<Params> {
  readonly #host: Host
  readonly #module: ModuleRecord
  readonly #spec: VbdevsSpec<Params, Ctx>
  readonly #associations = new Map<string, Association<Params>>()
  /** Deleted by their owner, and not gone yet. */
  readonly #leaving = new Set<Association<Params>>()

  constructor(host: Host, module: ModuleRecord, spec: VbdevsSpec<Params, Ctx>) {
    this.#host = host
    this.#module = module
    this.#spec = spec
  }

  create(params: Params): string {
    const name = params.name
    const who = `module "${this.#module.name}": create of "${name}" on "${params.base_bdev_name}"`
    this.#host.assertAppThread(who)
    if (this.#associations.has(name)) throw new BdevError('EEXIST', `${who}: there is a vbdev of that name, attached or waiting; choose another or delete it`)
    if (this.#host.bdevByName(name) !== undefined) throw new BdevError('EEXIST', `${who}: a bdev has that name; choose another`)
    const association: Association<Params> = { params, base: null, vbdev: null, left: null }
    this.#associations.set(name, association)
    const base = this.#host.bdevByName(params.base_bdev_name)
    if (base === undefined || base.status !== 'ready') {
      this.#module.log.notice(`"${name}" waits for bdev "${params.base_bdev_name}"`)
      return name
    }
    try {
      this.#attach(association, base)
    } catch (thrown) {
      this.#associations.delete(name)
      throw thrown
    }
    return name
  }

  async delete(name: string): Promise<void> {
    this.#host.assertAppThread(`module "${this.#module.name}": delete of "${name}"`)
    const association = this.#associations.get(name)
    if (association === undefined) {
      const found = this.#host.bdevByName(name)
      throw new BdevError('ENODEV', `module "${this.#module.name}": delete of "${name}": ${found === undefined ? 'there is no such vbdev' : `that bdev belongs to module "${found.module.name}"`}`)
    }
    this.#associations.delete(name)
    const { vbdev } = association
    if (vbdev === null) return
    this.#leaving.add(association)
    await (vbdev.gone ?? this.#host.unregisterBdev(vbdev))
  }

  createCalls(method: string, order: readonly (keyof Params & string)[] = []): readonly RpcCall[] {
    return [...this.#associations.values()].map(({ params, vbdev }) => {
      const all: Params = { ...params, ...(vbdev === null ? {} : { uuid: vbdev.uuid }) }
      const first = order.filter(key => all[key] !== undefined).map(key => [key, all[key]])
      return { method, params: { ...Object.fromEntries(first), ...all } as unknown as JsonObject }
    })
  }

  params(name: string): Params | undefined {
    return this.#associations.get(name)?.params
  }

  /** A bdev has appeared: attach those that wait for it. */
  examine(bdev: Bdev): void {
    for (const association of this.#associations.values()) {
      if (association.vbdev !== null || association.base !== null) continue
      const wanted = association.params.base_bdev_name
      if (wanted === bdev.name || bdev.aliases.includes(wanted)) this.#tryAttach(association, bdev)
    }
  }

  /** A bdev has been destructed. Where it was a vbdev of this module, its base may be back already. */
  bdevGone(bdev: Bdev): void {
    for (const association of [...this.#associations.values(), ...this.#leaving]) {
      if (association.vbdev !== bdev) continue
      association.left = association.base?.bdev ?? null
      void association.base?.close()
      association.base = null
      association.vbdev = null
      this.#leaving.delete(association)
    }
    if (this.#host.state === 'finishing') return
    // A name or a base that was taken is free now: whoever waited for it has another try.
    for (const association of this.#associations.values()) {
      if (association.vbdev !== null || association.base !== null) continue
      const base = this.#host.bdevByName(association.params.base_bdev_name)
      if (base !== undefined && base.status === 'ready' && base !== association.left) this.#tryAttach(association, base)
    }
  }

  #tryAttach(association: Association<Params>, bdev: Bdev): void {
    try {
      this.#attach(association, bdev)
    } catch (thrown) {
      this.#module.log.warn(`"${association.params.name}" stays away from bdev "${bdev.name}": ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    }
  }

  #attach(association: Association<Params>, bdev: Bdev): void {
    const { params } = association
    const claimType = this.#spec.claimType ?? ClaimType.ExclWrite
    const desc = this.#host.openFor(bdev.name, { onEvent: event => this.#onEvent(association, event.type) }, `module "${this.#module.name}"`, this.#module)
    try {
      const writer = bdev.descs.find(other => other !== desc && other.write)
      if (writer !== undefined && this.#spec.allowOtherWriters !== true) {
        throw new BdevError('EPERM', `module "${this.#module.name}": "${params.name}" wants bdev "${bdev.name}" for itself, but ${writer.owner} has it open for writing; close that first`)
      }
      desc.claim(claimType)
    } catch (thrown) {
      desc.close()
      throw thrown
    }
    const base = new Base(desc, claimType)
    association.base = base
    try {
      const spec = this.#spec.attach(base, params)
      const namespace = this.#spec.uuidNamespace
      const uuid = params.uuid ?? spec.uuid ?? (namespace === undefined ? undefined : uuidV5(namespace, uuidBytes(bdev.uuid)))
      association.vbdev = this.#host.registerBdev(this.#module, { ...spec, ...(uuid === undefined ? {} : { uuid }) })
    } catch (thrown) {
      association.base = null
      void base.close()
      throw thrown
    }
  }

  #onEvent(association: Association<Params>, type: number): void {
    const { vbdev, base } = association
    if (vbdev === null || base === null) return
    const remove = type === BdevEventType.Remove || (type === BdevEventType.Resize && this.#spec.onResize === 'remove')
    if (remove) {
      if (vbdev.status !== 'ready') return
      this.#host.unregisterBdev(vbdev).catch((thrown: unknown) => this.#module.reportThrow(`removal of "${vbdev.name}"`, thrown))
    } else if (type === BdevEventType.Resize) {
      if (this.#spec.onResize === 'follow') this.#follow(vbdev, base)
      else this.#module.log.notice(`"${vbdev.name}" keeps its size of ${vbdev.numBlocks} blocks; its base "${base.bdev.name}" has ${base.bdev.numBlocks} now`)
    }
  }

  #follow(vbdev: Bdev, base: Base): void {
    try {
      notifyBlockcntChange(this.#module, vbdev, base.bdev.numBlocks)
    } catch (thrown) {
      this.#module.log.error(`"${vbdev.name}" cannot follow the new size of "${base.bdev.name}": ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    }
  }
}

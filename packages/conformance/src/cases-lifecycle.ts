// SPDX-License-Identifier: Apache-2.0
// What a module owes the control plane: names, removal under load, configuration, shutdown.
import { isDeepStrictEqual } from 'node:util'
import { IO_TYPE_NAMES, IoType } from '@bdevkit/module-sdk'
import type { Bdev, Json } from '@bdevkit/module-sdk'
import { check, codeOf, textOf, within } from './failure.js'
import type { Level } from './kit-module.js'
import type { Rig } from './rig.js'
import type { Subject } from './subject.js'

/** One rule of the control plane. It starts in a fresh host with the bases, but without the bdev under test. */
export interface LifecycleCase {
  readonly name: string
  /** Why there is such a rule, in a line. */
  readonly why?: string
  /** Where it runs. */
  readonly levels: readonly Level[]
  /** Only for modules that stand on base bdevs. */
  readonly needsBases: boolean
  run(rig: Rig): Promise<void>
}

const OUTSTANDING = 32
const STILL_THERE = 'remove must wait for host.unregisterBdev'

/** What a saved configuration must bring back of a bdev. */
function portrait(rig: Rig, bdev: Bdev): string {
  return JSON.stringify({
    name: bdev.name,
    uuid: bdev.uuid,
    productName: bdev.productName,
    ...bdev.geometry(),
    lendsReadBuffers: bdev.lendsReadBuffers,
    ioTypes: IO_TYPE_NAMES.filter((_, type) => type !== IoType.Invalid && bdev.ioTypeSupported(type)),
    driverSpecific: rig.driverSpecific(bdev.name),
  })
}

/** Fills the queue with READ and, where it is served, WRITE. */
export function startMany(s: Subject): void {
  const unit = s.blocks(1)
  for (let i = 0; i < OUTSTANDING; i++) {
    if (s.supports(IoType.Write)) s.driver.startWrite(s.filled(i * unit, unit, 30).iovs, i * unit, unit)
    s.driver.startRead(s.scatter([s.bytes(unit)]).iovs, i * unit, unit)
  }
}

/** Waits for the REMOVE event and for every I/O, closes, and waits for the end of the removal. */
async function followRemoval(rig: Rig, driver: Subject['driver'], removal: Promise<unknown>): Promise<void> {
  removal.catch(() => undefined) // thrown again below
  await within(rig.limitMs, driver.removed, 'an open descriptor got no REMOVE event',
    'unregister the bdev (host.unregisterBdev, vbdevs.delete) although descriptors are open')
  await driver.drain()
  rig.close()
  await within(rig.limitMs, removal, 'removal did not end after the last descriptor was closed',
    'destruct must settle; a vbdev closes its base there')
}

/** What `create` throws. */
const failureOf = (attempt: Promise<unknown>): Promise<{ thrown: unknown } | undefined> =>
  attempt.then(() => undefined, (thrown: unknown) => ({ thrown }))

async function createRemoveCreate(rig: Rig): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const name = await rig.create()
    await rig.remove()
    check(rig.bdev(name) === undefined, `bdev "${name}" is still there after remove`, STILL_THERE)
  }
}

async function nameClash(rig: Rig): Promise<void> {
  const name = await rig.create()
  const first = portrait(rig, rig.mustHave(name))
  const failure = await failureOf(rig.create())
  const hint = 'let the error of host.registerBdev or vbdevs.create through'
  check(failure !== undefined, `a second create of "${name}" succeeded`, hint)
  // Some methods of SPDK answer with a text of their own around the errno's.
  const refused = codeOf(failure.thrown) === 'EEXIST' || textOf(failure.thrown).includes('File exists')
  check(refused, `second create of "${name}": wanted EEXIST, found: ${textOf(failure.thrown)}`, hint)
  check(portrait(rig, rig.mustHave(name)) === first, `the refused create of "${name}" changed the first bdev`,
    'undo only what the refused create itself took')
  const subject = await rig.stack()
  if (await subject.write(0, subject.blocks(1), 31)) await subject.expect(0, subject.data(0, subject.blocks(1), 31))
}

async function hotRemove(rig: Rig): Promise<void> {
  const name = await rig.create()
  const subject = await rig.stack()
  startMany(subject)
  await followRemoval(rig, subject.driver, rig.remove())
  check(rig.bdev(name) === undefined, `bdev "${name}" is still there after remove`, STILL_THERE)
}

async function hotRemoveOfBase(rig: Rig): Promise<void> {
  const name = await rig.create()
  const subject = await rig.stack()
  startMany(subject)
  await followRemoval(rig, subject.driver, rig.removeBases())
  check(rig.bdev(name) === undefined, `bdev "${name}" outlives its base`, 'on REMOVE of the base, unregister the bdev')
}

async function baseIsClaimed(rig: Rig): Promise<void> {
  await rig.create()
  for (const base of rig.bases) {
    const failure = await failureOf((async () => rig.kit.host.openBdev(base, { write: true, onEvent() {} }).close())())
    const hint = 'claim the base (desc.claim, or host.vbdevs)'
    check(failure !== undefined, `base "${base}" can be opened for writing beside the bdev on top of it`, hint)
    check(codeOf(failure.thrown) === 'EPERM', `base "${base}" opened: wanted EPERM, found: ${textOf(failure.thrown)}`, hint)
  }
}

async function configuration(rig: Rig): Promise<void> {
  const name = await rig.create()
  const before = portrait(rig, rig.mustHave(name))
  const calls = rig.configuration()
  const hint = 'return the create call of every bdev from configJson, or from writeConfigJson: not from both'
  const text = JSON.stringify(calls)
  if (!rig.configured) return
  check(calls.length > 0, `the configuration has no call for bdev "${name}"`, hint)
  await rig.inFreshHost(async fresh => {
    for (const { method, params } of JSON.parse(text) as typeof calls) {
      const failure = await failureOf(fresh.rpc(method, params))
      const said = textOf(failure?.thrown)
      check(failure === undefined, `${method} is refused as it was saved: ${said}`, 'save what the method takes')
    }
    const after = portrait(fresh, fresh.mustHave(name))
    check(after === before, `saved and loaded, the bdev is\n  ${after}\ninstead of\n  ${before}`,
      'save every parameter that shapes the bdev, its uuid too')
    const again = JSON.stringify(fresh.configuration())
    check(again === text, `saved again, the configuration is\n  ${again}\ninstead of\n  ${text}`, 'save what was given')
  })
}

async function plainJson(rig: Rig): Promise<void> {
  const shown: Json = rig.driverSpecific(await rig.create())
  const text = JSON.stringify(shown)
  const plain = text.startsWith('{') && isDeepStrictEqual(JSON.parse(text), shown)
  check(plain, `dumpInfoJson answers ${text}`, 'answer an object of plain JSON values')
}

async function shutdown(rig: Rig): Promise<void> {
  await rig.create()
  const subject = await rig.stack()
  await subject.read(0, subject.blocks(1))
  rig.close()
  await rig.stop()
}

const bare: readonly Level[] = ['bare']
const everywhere: readonly Level[] = ['bare', 'relay', 'part']

const bdevsOnly = { levels: bare, needsBases: false }
const withBases = { levels: bare, needsBases: true }
const onEachLevel = { levels: everywhere, needsBases: false }

export const lifecycleCases: readonly LifecycleCase[] = [
  {
    name: 'create, remove, and create again under the same name',
    why: 'a name is free again once remove has settled, and nothing of the first bdev is left',
    ...bdevsOnly,
    run: createRemoveCreate,
  },
  {
    name: 'a second bdev of the same name is refused with EEXIST',
    why: 'control planes create what they do not know to be there; a refused create must not touch what is',
    ...bdevsOnly,
    run: nameClash,
  },
  {
    name: 'hot remove with a descriptor open and I/O outstanding',
    why: 'devices are pulled under load: holders are told, every I/O ends, and the removal waits for both',
    ...onEachLevel,
    run: hotRemove,
  },
  {
    name: 'hot remove of the base with I/O outstanding',
    why: 'a vbdev goes before its base does, or the base can never go',
    ...withBases,
    run: hotRemoveOfBase,
  },
  {
    name: 'the base is claimed against other writers',
    why: 'two writers that do not know of each other destroy data',
    ...withBases,
    run: baseIsClaimed,
  },
  {
    name: 'the saved configuration makes an equal bdev in a fresh host',
    why: 'a restart must bring back the same disk, or clients see another one under its name',
    ...bdevsOnly,
    run: configuration,
  },
  {
    name: 'what bdev_get_bdevs shows is plain JSON',
    why: 'clients in every language read it',
    ...bdevsOnly,
    run: plainJson,
  },
  {
    name: 'shutdown with the bdev in place leaves nothing behind',
    why: 'what is left at the end has leaked all along',
    ...onEachLevel,
    run: shutdown,
  },
]

// SPDX-License-Identifier: Apache-2.0
// What happens around a module: bases that grow, run out of memory or give no channel; bdevs that are none of its business;
// a second thread.
import { ClaimType, IoStatus, IoType, type Thread } from '@bdevkit/module-sdk'
import type { LifecycleCase } from './cases-lifecycle.js'
import { Driver, type Op } from './driver.js'
import { check, within } from './failure.js'
import { inBlocks, stamp } from './protection.js'
import type { Rig } from './rig.js'
import { endingOf } from './subject.js'

const MANY = 32
const FOREIGN_BLOCKS = 32_768

async function basesGrow(rig: Rig): Promise<void> {
  await rig.create()
  const subject = await rig.stack()
  const { driver, bdev } = subject
  const numBlocks = subject.blocks(8)
  const before = bdev.numBlocks
  const written = await subject.write(0, numBlocks, 41)
  rig.growBases()
  await rig.settle()
  if (driver.isRemoved) return // it takes another size for another device
  check(bdev.numBlocks >= before, `the bases grew, and the bdev shrank from ${before} to ${bdev.numBlocks} blocks`,
    'follow with host.notifyBlockcntChange, or leave the size alone')
  if (written) await subject.expect(0, subject.data(0, numBlocks, 41))
  if (bdev.numBlocks === before) return
  check(driver.resizes > 0, `the bdev grew from ${before} to ${bdev.numBlocks} blocks, and an open descriptor got no RESIZE event`,
    'change the size with host.notifyBlockcntChange')
  const end = bdev.numBlocks - numBlocks
  if (await subject.write(end, numBlocks, 42)) await subject.expect(end, subject.data(end, numBlocks, 42))
}

async function basesOutOfMemory(rig: Rig): Promise<void> {
  await rig.create()
  const subject = await rig.stack()
  const unit = subject.blocks(1)
  if (!subject.supports(IoType.Write)) return
  const scatters = Array.from({ length: MANY }, (_, i) => {
    const scatter = subject.scatter([subject.bytes(unit)])
    scatter.set(subject.data(i * unit, unit, 43))
    return scatter
  })
  rig.exhaustBases(MANY / 4)
  const writes = scatters.map(({ iovs }, i) => subject.driver.startWrite(iovs, i * unit, unit))
  for (const write of writes) subject.judge(IoType.Write, await subject.driver.end(write))
  for (let i = 0; i < MANY; i++) await subject.expect(i * unit, subject.data(i * unit, unit, 43))
}

async function basesGiveNoChannel(rig: Rig): Promise<void> {
  const name = await rig.create()
  rig.kit.channelsFail = true
  const desc = rig.kit.host.openBdev(name, { onEvent() {} })
  const channel = desc.getIoChannel()
  if (channel !== null) { // it has its channels already, or asks for them late: then an I/O may fail, and must end
    const buffer = new Uint8Array(desc.bdev.blockSizeBytes * desc.bdev.writeUnitSizeBlocks)
    const ended = new Promise<void>((resolve, reject) => {
      const rc = channel.readBlocks(buffer, 0, 0, desc.bdev.writeUnitSizeBlocks, io => (io.free(), resolve()), null)
      if (rc !== 0) reject(new Error(`READ was refused with ${rc}`))
    })
    await within(rig.limitMs, ended, 'READ without channels of the bases never completed', 'fail it; or answer null in getIoChannel')
    channel.put()
  }
  desc.close()
  rig.kit.channelsFail = false
  rig.forgive()
  const subject = await rig.stack()
  if (await subject.write(0, subject.blocks(1), 44)) await subject.expect(0, subject.data(0, subject.blocks(1), 44))
}

async function bdevsOfOthers(rig: Rig): Promise<void> {
  const zeros = rig.kit.createBase('Foreign0', new Uint8Array(FOREIGN_BLOCKS * 512), 512)
  const noise = rig.kit.createBase('Foreign1', new Uint8Array(FOREIGN_BLOCKS * 512), 512, [IoType.Read])
  await rig.settle()
  const hint = 'in examineConfig and examineDisk claim what was asked for, or what carries your own mark; nothing else'
  for (const { name, claimType } of [zeros, noise]) {
    check(claimType === ClaimType.None, `bdev "${name}", which nobody asked it to use, is claimed`, hint)
  }
  const [own] = rig.ownBdevs()
  check(own === undefined, `bdev "${own?.name}" appeared, which nobody asked for`, hint)
}

/** Runs `body` on a thread. */
const on = <Result>(thread: Thread, body: () => Result): Promise<Result> =>
  new Promise((resolve, reject) => {
    thread.sendMsg(() => {
      try {
        resolve(body())
      } catch (thrown) {
        reject(thrown as Error)
      }
    }, null)
  })

async function secondThread(rig: Rig): Promise<void> {
  const name = await rig.create()
  const { host } = rig.kit
  const thread = rig.createThread('conformance')
  const driver = await on(thread, () => new Driver(host, name, rig.limitMs))
  const { bdev } = driver.desc
  const numBlocks = bdev.writeUnitSizeBlocks
  const bytes = stamp(host, inBlocks(host, bdev), 0, new Uint8Array(numBlocks * bdev.blockSizeBytes).fill(0x5a))
  const found = new Uint8Array(bytes.length)
  let elsewhere = ''
  const start = (what: string, submit: Parameters<Driver['start']>[1]): Promise<Op> =>
    on(thread, () => driver.start(what, submit, () => {
      if (host.currentThread() !== thread) elsewhere = what
    }))
  const writes = bdev.ioTypeSupported(IoType.Write)
  if (writes) {
    const write = await driver.end(await start('WRITE', (ch, cb, op) => ch.writeBlocks(bytes, 0, 0, numBlocks, cb, op)))
    check(write.status === IoStatus.Success, `a WRITE on a second thread ${endingOf(write)}`, 'nothing may be bound to the thread that created the bdev')
  }
  const read = await driver.end(await start('READ', (ch, cb, op) => ch.readBlocks(found, 0, 0, numBlocks, cb, op)))
  check(read.status === IoStatus.Success, `a READ on a second thread ${endingOf(read)}`, 'nothing may be bound to the thread that created the bdev')
  check(elsewhere === '', `the callback of a ${elsewhere} ran on another thread than the one that submitted it`,
    'io.complete brings it there by itself; keep what belongs to a thread in its channel')
  await on(thread, () => driver.close())
  const subject = await rig.stack()
  const shared = await subject.read(0, numBlocks)
  subject.same(0, shared, subject.keepsData ? found : new Uint8Array(found.length))
}

const withBases = { levels: ['bare'], needsBases: true } as const
const always = { levels: ['bare'], needsBases: false } as const

export const faultCases: readonly LifecycleCase[] = [
  {
    name: 'a base that grows',
    why: 'volumes are resized while they are in use: follow, ignore or remove, but consistently, and tell who has it open',
    ...withBases,
    run: basesGrow,
  },
  {
    name: 'bases that are out of memory for a while',
    why: 'NOMEM is no error: the I/O is sent again, and none is lost',
    ...withBases,
    run: basesOutOfMemory,
  },
  {
    name: 'bases that give no channel for a while',
    why: 'a thread that gets no channel must be told so, and the next one must get one',
    ...withBases,
    run: basesGiveNoChannel,
  },
  {
    name: 'bdevs that are none of its business are left alone',
    why: 'a module that claims too much takes disks away from others',
    ...always,
    run: bdevsOfOthers,
  },
  {
    name: 'I/O from a second thread',
    why: 'any thread may open the bdev; each has a channel of its own, and I/O ends where it was submitted',
    ...always,
    run: secondThread,
  },
]

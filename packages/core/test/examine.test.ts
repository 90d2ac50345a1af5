// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { ClaimType, IoType, type BdevDesc } from '@bdevkit/module-sdk'
import { ALL_TYPES, FakeModule } from './support/fake-bdev.js'
import { startHost } from './support/harness.js'

/** Examining modules `a`, `b`, `c` over a leaf; `claims` says what each claims in examineConfig. */
async function setup(claims: Partial<Record<string, number>> = {}) {
  const calls: string[] = []
  const descs: BdevDesc[] = []
  const leaf = new FakeModule('leaf')
  const vbdevs = ['a', 'b', 'c'].map((name): FakeModule => {
    const module: FakeModule = new FakeModule(name, {
      examineConfig: bdev => {
        calls.push(`${name}.config ${bdev.name}`)
        const type = claims[name]
        if (type === undefined) return
        const desc = module.host.openBdev(bdev.name, { onEvent: () => {} })
        descs.push(desc)
        desc.claim(type, type === ClaimType.ReadManyWriteShared ? { sharedClaimKey: 7 } : {})
      },
      examineDisk: bdev => void calls.push(`${name}.disk ${bdev.name}`),
    })
    return module
  })
  return { ...(await startHost([leaf, ...vbdevs])), calls, descs, leaf, vbdevs }
}

describe('a new bdev', () => {
  it('is shown to examineConfig of all modules in list order, then to examineDisk of all where nobody claims it', async () => {
    const { leaf, calls } = await setup()
    leaf.create('disk')
    expect(calls).toEqual(['c.config disk', 'b.config disk', 'a.config disk', 'c.disk disk', 'b.disk disk', 'a.disk disk'])
  })

  it('under an exclusive claim is shown to examineDisk of its owner alone', async () => {
    const { leaf, calls } = await setup({ b: ClaimType.ExclWrite })
    leaf.create('disk')
    expect(calls).toEqual(['c.config disk', 'b.config disk', 'a.config disk', 'b.disk disk'])
  })

  it('under shared claims is shown to examineDisk of each claimant, in the order of the claims', async () => {
    const { leaf, calls } = await setup({ a: ClaimType.ReadManyWriteShared, c: ClaimType.ReadManyWriteShared })
    leaf.create('disk')
    expect(calls).toEqual(['c.config disk', 'b.config disk', 'a.config disk', 'c.disk disk', 'a.disk disk'])
  })

  it('that cannot be read is not examined', async () => {
    const { leaf, calls } = await setup()
    leaf.create('disk', { types: ALL_TYPES.filter(type => type !== IoType.Read) })
    expect(calls).toEqual([])
  })

  it('can be opened by name as soon as it is registered, and is announced when it has been examined', async () => {
    const notices: string[] = []
    let open!: () => void
    const examined = new Promise<void>(resolve => (open = resolve))
    const leaf = new FakeModule('leaf')
    const vbdev = new FakeModule('vbdev', { examineDisk: () => examined })
    const { host, clock } = await startHost([leaf, vbdev], {
      onNotification: (type, name) => void notices.push(`${type} ${name}`),
    })
    leaf.create('disk')
    host.openBdev('disk', { onEvent: () => {} }).close()
    await clock.settle()
    expect(notices).toEqual([])
    open()
    await clock.settle()
    expect(notices).toEqual(['bdev_register disk'])
  })

  it('is held until it has been examined: unregister waits', async () => {
    let open!: () => void
    const examined = new Promise<void>(resolve => (open = resolve))
    const leaf = new FakeModule('leaf')
    const vbdev = new FakeModule('vbdev', { examineDisk: () => examined })
    const { host, clock } = await startHost([leaf, vbdev])
    const disk = leaf.create('disk')
    let gone = false
    const done = host.unregister('disk').then(() => (gone = true))
    await clock.settle()
    expect([gone, disk.destructs]).toEqual([false, 0])
    open()
    await clock.settle()
    await done
    expect(disk.destructs).toBe(1)
  })
})

describe('examination', () => {
  it('of one module does not wait for another, and waitForExamine waits for all', async () => {
    const gates: (() => void)[] = []
    const calls: string[] = []
    const hooks = (name: string) => ({
      examineDisk: () => {
        calls.push(name)
        return new Promise<void>(resolve => gates.push(resolve))
      },
    })
    const leaf = new FakeModule('leaf')
    const { host, clock } = await startHost([leaf, new FakeModule('a', hooks('a')), new FakeModule('b', hooks('b'))])
    await host.waitForExamine()
    leaf.create('disk')
    expect(calls).toEqual(['b', 'a'])
    let idle = false
    const waiting = host.waitForExamine().then(() => (idle = true))
    gates[0]!()
    await clock.settle()
    expect(idle).toBe(false)
    gates[1]!()
    await clock.settle()
    await waiting
  })

  it('that throws or rejects is named, and counts as ended', async () => {
    const leaf = new FakeModule('leaf')
    const thrower = new FakeModule('thrower', {
      examineDisk: () => {
        throw new Error('bad magic')
      },
    })
    const rejecter = new FakeModule('rejecter', { examineDisk: () => Promise.reject(new Error('bad checksum')) })
    const { host, clock, lines } = await startHost([leaf, thrower, rejecter])
    leaf.create('disk')
    await clock.settle()
    await host.waitForExamine()
    const errors = lines('error').join('\n')
    expect(errors).toContain('thrower: examineDisk of module "thrower" for bdev "disk" threw: Error: bad magic')
    expect(errors).toContain('rejecter: examineDisk of module "rejecter" for bdev "disk" threw: Error: bad checksum')
  })

  it('in examineConfig that throws is named, and the next module is asked', async () => {
    const leaf = new FakeModule('leaf')
    const calls: string[] = []
    const quiet = new FakeModule('quiet', { examineConfig: bdev => void calls.push(bdev.name) })
    const thrower = new FakeModule('thrower', {
      examineConfig: () => {
        throw new Error('config')
      },
    })
    const { lines } = await startHost([leaf, quiet, thrower])
    leaf.create('disk')
    expect(lines('error').join()).toContain('thrower: examineConfig of module "thrower" threw: Error: config')
    expect(calls).toEqual(['disk'])
  })

  it('without auto examine looks only at bdevs on the list, by name or alias', async () => {
    const leaf = new FakeModule('leaf')
    const calls: string[] = []
    const vbdev = new FakeModule('vbdev', { examineConfig: bdev => void calls.push(bdev.name) })
    const { host } = await startHost([leaf, vbdev], { autoExamine: false })
    host.examine.allowList.add('listed').add('nick')
    leaf.create('disk')
    leaf.create('listed')
    leaf.create('other', { aliases: ['nick'] })
    expect(calls).toEqual(['listed', 'other'])
  })
})

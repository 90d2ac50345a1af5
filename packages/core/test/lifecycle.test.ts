// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { BdevError, ClaimType } from '@bdevkit/module-sdk'
import { FakeModule, type FakeHooks } from './support/fake-bdev.js'
import { codeOf, makeHost, openRw, startHost } from './support/harness.js'

/** A module that writes down each of its hooks. */
function noted(calls: string[], name: string, examines: boolean, over: FakeHooks = {}): FakeModule {
  const note = (hook: string) => () => void calls.push(`${name}.${hook}`)
  return new FakeModule(
    name,
    {
      moduleInit: note('moduleInit'),
      initComplete: note('initComplete'),
      finiStart: note('finiStart'),
      moduleFini: note('moduleFini'),
      ...(examines ? { examineConfig: note('examineConfig'), examineDisk: note('examineDisk') } : {}),
      ...over,
    },
    calls,
  )
}

/** Resolves when the test says so. */
function gate() {
  let open!: () => void
  let fail!: (error: Error) => void
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}

describe('initialisation', () => {
  it('starts modules in list order: those that examine first and newest first, then the others oldest first', async () => {
    const calls: string[] = []
    await startHost([
      noted(calls, 'leaf1', false),
      noted(calls, 'vbdev1', true),
      noted(calls, 'leaf2', false),
      noted(calls, 'vbdev2', true),
    ])
    expect(calls).toEqual([
      'vbdev2.moduleInit',
      'vbdev1.moduleInit',
      'leaf1.moduleInit',
      'leaf2.moduleInit',
      'vbdev2.initComplete',
      'vbdev1.initComplete',
      'leaf1.initComplete',
      'leaf2.initComplete',
    ])
  })

  it('does not wait for one module before it starts the next, and waits for all before initComplete', async () => {
    const calls: string[] = []
    const slow = gate()
    const { host, clock } = makeHost([
      noted(calls, 'slow', false, { moduleInit: () => (calls.push('slow.moduleInit'), slow.promise) }),
      noted(calls, 'fast', false),
    ])
    const done = host.init()
    await clock.settle()
    expect(calls).toEqual(['slow.moduleInit', 'fast.moduleInit'])
    expect(host.state).toBe('initializing')
    slow.open()
    await done
    expect(calls.slice(2)).toEqual(['slow.initComplete', 'fast.initComplete'])
    expect(host.state).toBe('running')
  })

  it('waits for examination of what modules made in moduleInit', async () => {
    const calls: string[] = []
    const disk = gate()
    const leaf: FakeModule = noted(calls, 'leaf', false, { moduleInit: () => void leaf.create('disk') })
    const { host, clock } = makeHost([leaf, noted(calls, 'vbdev', true, { examineDisk: () => disk.promise })])
    const done = host.init()
    await clock.settle()
    expect(calls).not.toContain('leaf.initComplete')
    disk.open()
    await done
    expect(calls).toEqual(['vbdev.moduleInit', 'vbdev.examineConfig', 'vbdev.initComplete', 'leaf.initComplete'])
  })

  it('fails with the name of the module that threw, and starts no module after it', async () => {
    const calls: string[] = []
    const { host } = makeHost([
      noted(calls, 'first', false),
      noted(calls, 'bad', false, {
        moduleInit: () => {
          throw new BdevError('ENOMEM', 'no hugepages')
        },
      }),
      noted(calls, 'third', false),
    ])
    const failure = await host.init().catch((error: unknown) => error as BdevError)
    expect(failure).toMatchObject({ code: 'ENOMEM', message: 'moduleInit of module "bad" failed: no hugepages' })
    expect(calls).toEqual(['first.moduleInit'])
    expect(host.state).toBe('failed')
  })

  it('fails with the name of the module whose promise rejected, after all have settled, without initComplete', async () => {
    const calls: string[] = []
    const slow = gate()
    const { host, clock } = makeHost([
      noted(calls, 'bad', false, { moduleInit: () => Promise.reject(new Error('no device')) }),
      noted(calls, 'slow', false, { moduleInit: () => slow.promise }),
    ])
    let failure: BdevError | null = null
    const done = host.init().catch((error: unknown) => void (failure = error as BdevError))
    await clock.settle()
    expect(failure).toBeNull()
    slow.open()
    await done
    expect(failure).toMatchObject({ code: 'EIO', message: 'moduleInit of module "bad" failed: no device' })
    expect(calls).toEqual([])
  })

  it('that failed can still be finished', async () => {
    const calls: string[] = []
    const { host } = makeHost([noted(calls, 'bad', false, { moduleInit: () => Promise.reject(new Error('no device')) })])
    expect(await codeOf(() => host.init())).toBe('EIO')
    await host.finish()
    expect(calls).toEqual(['bad.finiStart', 'bad.moduleFini'])
    expect(host.state).toBe('finished')
  })

  it('happens once', async () => {
    const { host } = await startHost([])
    expect(await codeOf(() => host.init())).toBe('EALREADY')
    expect(await codeOf(() => host.use(new FakeModule().value))).toBe('EBUSY')
  })

  it('refuses a second module of a name, and what is no module', async () => {
    const { host } = makeHost([new FakeModule('twin')])
    expect(await codeOf(() => host.use(new FakeModule('twin').value))).toBe('EEXIST')
    expect(await codeOf(() => host.use({ name: 'x' } as never))).toBe('EINVAL')
    const value = new FakeModule('other').value
    expect(await codeOf(() => host.use({ ...value, name: 'Not-A-Name' }))).toBe('EINVAL')
    expect(await codeOf(() => host.use({ ...value, sdk: '9.0' }))).toBe('BDEV_E_MODULE_ABI')
    expect(await codeOf(() => host.use({ ...value, sdk: 'latest' }))).toBe('BDEV_E_MODULE_ABI')
  })

  it('that a finish overtakes ends first', async () => {
    const calls: string[] = []
    const slow = gate()
    const module = noted(calls, 'slow', false, { moduleInit: () => slow.promise })
    const { host, clock } = makeHost([module])
    const init = host.init()
    const finish = host.finish()
    await clock.settle()
    expect(calls).toEqual([])
    slow.open()
    await init
    await finish
    expect(calls).toEqual(['slow.initComplete', 'slow.finiStart', 'slow.moduleFini'])
    expect(host.state).toBe('finished')
    expect(await codeOf(() => module.create('late'))).toBe('ESHUTDOWN')
  })
})

describe('a hook that must answer plainly', () => {
  it('is named when it returns a promise, and its rejection is too', async () => {
    const leaf = new FakeModule('leaf', {
      initComplete: (async () => {
        throw new Error('too late')
      }) as never,
      configJson: (async () => []) as never,
    })
    const vbdev = new FakeModule('vbdev', { examineConfig: (async () => {}) as never })
    const { host, clock, lines } = await startHost([leaf, vbdev])
    leaf.create('disk')
    expect(host.configJson().map(call => call.method)).toEqual(['bdev_set_options', 'bdev_wait_for_examine'])
    await clock.settle()
    const errors = lines('error').join('\n')
    for (const [module, hook] of [
      ['leaf', 'initComplete'],
      ['leaf', 'configJson'],
      ['vbdev', 'examineConfig'],
    ]) {
      expect(errors).toContain(
        `${module}: ${hook} of module "${module}" threw: BdevError: wanted a plain answer, found a promise`,
      )
    }
    expect(errors).toContain('too late')
  })

  it('is named when it throws, and the others run', async () => {
    const calls: string[] = []
    const { lines } = await startHost([
      noted(calls, 'a', false, {
        initComplete: () => {
          throw new Error('oops')
        },
      }),
      noted(calls, 'b', false),
    ])
    expect(lines('error').join()).toContain('a: initComplete of module "a" threw: Error: oops')
    expect(calls).toContain('b.initComplete')
  })
})

describe('the end', () => {
  it('calls finiStart backwards, unregisters the newest unclaimed bdev first, then calls moduleFini backwards', async () => {
    const calls: string[] = []
    const leaf = noted(calls, 'leaf', false)
    const vbdev = noted(calls, 'vbdev', true)
    const { host } = await startHost([leaf, vbdev])
    const disks = ['base', 'other', 'top'].map(name => (name === 'top' ? vbdev : leaf).create(name))
    const desc = vbdev.host.openBdev('base', { onEvent: () => {} })
    desc.claim(ClaimType.ExclWrite)
    disks[2]!.destruct = () => {
      desc.releaseClaim()
      desc.close()
    }
    calls.length = 0
    await host.finish()
    expect(calls).toEqual([
      'leaf.finiStart',
      'vbdev.finiStart',
      'destruct top',
      'destruct other',
      'destruct base',
      'leaf.moduleFini',
      'vbdev.moduleFini',
    ])
    expect(host.bdevs).toEqual([])
  })

  it('waits for promises of its hooks, one by one', async () => {
    const calls: string[] = []
    const start = gate()
    const fini = gate()
    const { host, clock } = await startHost([
      noted(calls, 'a', false),
      noted(calls, 'b', false, {
        finiStart: () => (calls.push('b.finiStart'), start.promise),
        moduleFini: () => (calls.push('b.moduleFini'), fini.promise),
      }),
    ])
    calls.length = 0
    const done = host.finish()
    await clock.settle()
    expect(calls).toEqual(['b.finiStart'])
    start.open()
    await clock.settle()
    expect(calls).toEqual(['b.finiStart', 'a.finiStart', 'b.moduleFini'])
    fini.open()
    await done
    expect(calls.at(-1)).toBe('a.moduleFini')
  })

  it('waits for an examination that is under way', async () => {
    const calls: string[] = []
    const disk = gate()
    const leaf = noted(calls, 'leaf', false)
    const { host, clock } = await startHost([leaf, noted(calls, 'vbdev', true, { examineDisk: () => disk.promise })])
    leaf.create('disk')
    calls.length = 0
    const done = host.finish()
    await clock.settle()
    expect(calls).toEqual([])
    disk.open()
    await done
    expect(calls[0]).toBe('leaf.finiStart')
  })

  it('names a hook that fails and goes on', async () => {
    const calls: string[] = []
    const { host, lines } = await startHost([
      noted(calls, 'a', false),
      noted(calls, 'b', false, {
        finiStart: () => Promise.reject(new Error('start')),
        moduleFini: () => {
          throw new Error('fini')
        },
      }),
    ])
    await host.finish()
    expect(lines('error').map(line => line.split('\n')[0])).toEqual([
      'b: finiStart of module "b" threw: Error: start',
      'b: moduleFini of module "b" threw: Error: fini',
    ])
    expect(calls.slice(-2)).toEqual(['a.finiStart', 'a.moduleFini'])
  })

  it('names a bdev whose destruct fails and goes on', async () => {
    const leaf = new FakeModule('leaf')
    const { host, lines } = await startHost([leaf])
    leaf.create('good')
    leaf.create('bad').destruct = () => Promise.reject(new Error('still mapped'))
    await host.finish()
    expect(lines('error').join()).toContain('unregister of bdev "bad" threw: Error: still mapped')
    expect(host.bdevs).toEqual([])
    expect(host.state).toBe('finished')
  })

  it('waits for an unregistration under way before it takes a claimed base', async () => {
    const calls: string[] = []
    const leaf = noted(calls, 'leaf', false)
    const vbdev = noted(calls, 'vbdev', true)
    const { host, clock, lines } = await startHost([leaf, vbdev])
    leaf.create('base')
    const top = vbdev.create('top')
    const desc = vbdev.host.openBdev('base', { onEvent: () => {} })
    desc.claim(ClaimType.ExclWrite)
    const slow = gate()
    top.destruct = async () => {
      await slow.promise
      desc.releaseClaim()
      desc.close()
    }
    const removal = host.unregister('top')
    const done = host.finish()
    await clock.settle()
    slow.open()
    await removal
    await done
    expect(lines('warn')).toEqual([])
  })

  it('warns where only claimed bdevs are left, and takes them', async () => {
    const leaf = new FakeModule('leaf')
    const { host, lines } = await startHost([leaf])
    leaf.create('base')
    const desc = leaf.host.openBdev('base', { onEvent: () => {} })
    desc.claim(ClaimType.ExclWrite)
    desc.close()
    await host.finish()
    expect(lines('warn').join()).toContain(
      'finish: only claimed bdevs are left; unregistering "base" under claim exclusive_write of module "leaf"',
    )
    expect(host.bdevs).toEqual([])
  })

  it('refuses to register meanwhile and afterwards', async () => {
    const seen: string[] = []
    const leaf: FakeModule = new FakeModule('leaf', {
      finiStart: async () => void seen.push(await codeOf(() => leaf.create('late'))),
    })
    const { host } = await startHost([leaf])
    await host.finish()
    seen.push(await codeOf(() => leaf.create('later')))
    expect(seen).toEqual(['ESHUTDOWN', 'ESHUTDOWN'])
    expect(await codeOf(() => host.finish())).toBe('EALREADY')
  })

  it('says what is still in use', async () => {
    const leaf = new FakeModule('leaf')
    const { host, lines } = await startHost([leaf])
    leaf.host.dma.alloc(4096)
    leaf.create('disk')
    await host.finish()
    expect(lines('error').join()).toMatch(/finish: still in use: \d+ dmaBytes/)
  })
})

describe('what hangs has an owner', () => {
  it('moduleInit, examineDisk, finiStart, moduleFini and destruct are listed by name, and logged after a while', async () => {
    const gates: Record<string, ReturnType<typeof gate>> = {}
    const hang = (what: string) => () => (gates[what] = gate()).promise
    const leaf = new FakeModule('leaf', { finiStart: hang('finiStart'), moduleFini: hang('moduleFini') })
    const vbdev = new FakeModule('vbdev', { moduleInit: hang('moduleInit'), examineDisk: hang('examineDisk') })
    const { host, clock, lines } = makeHost([leaf, vbdev])
    const waits = (): string[] => host.waits.list().map(({ what, who }) => `${what}: ${who}`)
    const next = async (what: string): Promise<void> => {
      gates[what]!.open()
      await clock.settle()
    }

    const init = host.init()
    await clock.settle()
    expect(waits()).toEqual(['initialisation: moduleInit of module "vbdev"'])
    await clock.advance(5001)
    expect(lines('warn')).toEqual(['bdev: initialisation has waited 5 s for moduleInit of module "vbdev"'])
    await next('moduleInit')
    await init
    expect(waits()).toEqual([])

    leaf.create('disk').destruct = hang('destruct')
    await clock.settle()
    expect(waits()).toEqual(['examineDisk of bdev "disk": module "vbdev"'])
    await next('examineDisk')

    const finish = host.finish()
    await clock.settle()
    expect(waits()).toEqual(['finish: finiStart of module "leaf"'])
    await next('finiStart')
    expect(waits()).toEqual(['destruct of bdev "disk": module "leaf"'])
    await clock.advance(5001)
    expect(lines('warn').at(-1)).toBe('bdev: destruct of bdev "disk" has waited 5 s for module "leaf"')
    await next('destruct')
    expect(waits()).toEqual(['finish: moduleFini of module "leaf"'])
    await next('moduleFini')
    await finish
    expect(waits()).toEqual([])
  })

  it('is logged again each time the wait has doubled, and not after it ended', async () => {
    const init = gate()
    const { host, clock, lines } = makeHost([new FakeModule('slow', { moduleInit: () => init.promise })])
    const done = host.init()
    await clock.advance(45_000)
    expect(lines('warn').map(line => /waited (\d+) s/.exec(line)![1])).toEqual(['5', '10', '20', '40'])
    init.open()
    await done
    const before = lines('warn').length
    await clock.advance(200_000)
    expect(lines('warn').length).toBe(before)
  })
})

it('two hosts in one process do not see each other', async () => {
  const fake = new FakeModule('fake')
  const other = new FakeModule('fake')
  const one = await startHost([fake])
  const two = await startHost([other])
  fake.create('disk')
  expect(two.host.bdevByName('disk') === undefined).toBe(true)
  other.create('disk')
  await two.clock.settle()
  const opened = openRw(one.host, 'disk')
  expect(two.host.usage().descriptors).toBe(0)
  opened.close()
})

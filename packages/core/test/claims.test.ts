// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClaimType, type BdevDesc, type ClaimOptions } from '@bdevkit/module-sdk'
import { FakeModule } from './support/fake-bdev.js'
import { codeOf, openRw, read, startHost, write } from './support/harness.js'

const { None, ExclWrite, ReadManyWriteOne, ReadManyWriteNone, ReadManyWriteShared } = ClaimType

async function setup() {
  const fake = new FakeModule()
  const other = new FakeModule('other')
  const test = await startHost([fake, other])
  fake.create('disk')
  await test.clock.settle()
  const bdev = test.host.bdevByName('disk')!
  const open = (write = false, module = fake): BdevDesc => module.host.openBdev('disk', { write, onEvent: () => {} })
  /** `ok`, or the code of the refusal. */
  const attempt = (desc: BdevDesc, type: number, options: ClaimOptions = {}): string => {
    try {
      desc.claim(type, options)
      return 'ok'
    } catch (thrown) {
      return (thrown as { code: string }).code
    }
  }
  return { ...test, fake, other, bdev, open, attempt }
}

/** What can be asked for: a claim, or to open. */
const REQUESTS: Record<'excl' | 'one' | 'none' | 'shared7' | 'shared8', readonly [number, ClaimOptions]> = {
  excl: [ExclWrite, {}],
  one: [ReadManyWriteOne, {}],
  none: [ReadManyWriteNone, {}],
  shared7: [ReadManyWriteShared, { sharedClaimKey: 7 }],
  shared8: [ReadManyWriteShared, { sharedClaimKey: 8n }],
}

/** existing -> [excl, one, none, shared7, shared8, open to read, open to write]; the columns of the matrix of the claims. */
const MATRIX: Record<string, readonly string[]> = {
  nothing: ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok'],
  excl: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'ok', 'EPERM'],
  one: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'ok', 'EPERM'],
  none: ['EPERM', 'EPERM', 'ok', 'EPERM', 'EPERM', 'ok', 'EPERM'],
  shared7: ['EPERM', 'EPERM', 'EPERM', 'ok', 'EPERM', 'ok', 'EPERM'],
  shared8: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'ok', 'ok', 'EPERM'],
  'a writer': ['ok', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'ok', 'ok'],
}

describe('a claim on a bdev that is under', () => {
  for (const [existing, row] of Object.entries(MATRIX)) {
    it(`${existing} is granted or refused as the matrix says`, async () => {
      const found: string[] = []
      for (const asked of [...Object.keys(REQUESTS), 'open', 'open rw']) {
        const { open, attempt } = await setup()
        if (existing === 'a writer') open(true)
        else if (existing !== 'nothing') open().claim(...REQUESTS[existing as 'excl'])
        if (asked.startsWith('open'))
          found.push(await codeOf(() => open(asked === 'open rw')).then(code => (code === 'nothing thrown' ? 'ok' : code)))
        else found.push(attempt(open(), ...REQUESTS[asked as 'excl']))
      }
      expect(found).toEqual(row)
    })
  }
})

describe('the checks of a claim come in order:', () => {
  it('another type first, then a second claim of the descriptor, then the options', async () => {
    const { open, attempt } = await setup()
    const holder = open()
    holder.claim(ReadManyWriteNone)
    expect(attempt(open(), ReadManyWriteShared)).toBe('EPERM')
    expect(attempt(holder, ReadManyWriteNone, { sharedClaimKey: 1 })).toBe('EPERM')
    expect(attempt(open(), ReadManyWriteNone, { sharedClaimKey: 1 })).toBe('EINVAL')
  })

  it('a shared key must be given where it is needed and only there', async () => {
    const { open, attempt } = await setup()
    expect(attempt(open(), ReadManyWriteOne, { sharedClaimKey: 1 })).toBe('EINVAL')
    expect(attempt(open(), ReadManyWriteNone, { sharedClaimKey: 1n })).toBe('EINVAL')
    for (const options of [{}, { sharedClaimKey: 0 }, { sharedClaimKey: 0n }, { sharedClaimKey: 0.5 }, { sharedClaimKey: NaN }])
      expect(attempt(open(), ReadManyWriteShared, options)).toBe('EINVAL')
    expect(attempt(open(), ReadManyWriteShared, { sharedClaimKey: 2n ** 64n - 1n })).toBe('ok')
  })

  it('a descriptor that is open for writing cannot ask for no writers', async () => {
    const { open, attempt } = await setup()
    expect(attempt(open(true), ReadManyWriteNone)).toBe('EINVAL')
  })

  it('unknown types and "not claimed" are ENOTSUP, under another claim EPERM', async () => {
    const { open, attempt } = await setup()
    for (const type of [None, 5, -1, 99]) expect(attempt(open(), type)).toBe('ENOTSUP')
    open().claim(ExclWrite)
    for (const type of [None, 5]) expect(attempt(open(), type)).toBe('EPERM')
  })

  it('a name may have 31 characters', async () => {
    const { bdev, open, attempt } = await setup()
    expect(attempt(open(), ReadManyWriteNone, { name: 'x'.repeat(32) })).toBe('EINVAL')
    expect(bdev.claimType).toBe(None)
    expect(attempt(open(), ReadManyWriteNone, { name: 'x'.repeat(31) })).toBe('ok')
  })

  it('a closed descriptor claims nothing and does not come alive', async () => {
    const { host, bdev, attempt } = await setup()
    const { desc, channel } = openRw(host, 'disk')
    desc.close()
    for (const type of [ExclWrite, ReadManyWriteOne]) expect(attempt(desc, type)).toBe('EBADF')
    expect(write(channel, 0, 1).rc).toBe(-9)
    expect(bdev.claimType).toBe(None)
  })

  it('a refusal names who asked, what for, who holds it and what to do', async () => {
    const { fake, other, open } = await setup()
    open().claim(ReadManyWriteOne, { name: 'metadata' })
    expect(() => open(false, other).claim(ExclWrite)).toThrow(
      'module "other": wanted claim exclusive_write on bdev "disk", ' +
        'but claim read_many_write_one of module "fake" (metadata); remove that holder first',
    )
    expect(() => other.host.openBdev('disk', { write: true, onEvent: () => {} })).toThrow(
      'module "other": open of bdev "disk": wanted write permission, ' +
        'but it is under claim read_many_write_one of module "fake" (metadata)',
    )
    void fake
  })
})

describe('the holder of a claim', () => {
  for (const [name, promoted] of [
    ['excl', true],
    ['one', true],
    ['none', false],
    ['shared7', true],
  ] as const) {
    it(`${name} ${promoted ? 'may write although it opened to read' : 'does not get write permission'}`, async () => {
      const { host, drain } = await setup()
      const { desc, channel } = openRw(host, 'disk', { write: false })
      expect([desc.write, write(channel, 0, 1).rc]).toEqual([false, -9])
      desc.claim(...REQUESTS[name])
      expect([desc.write, write(channel, 0, 1).rc, read(channel, 0, 1).rc]).toEqual([promoted, promoted ? 0 : -9, 0])
      drain()
    })
  }
})

describe('a claim ends', () => {
  it('with its descriptor, and the type falls back with the last one', async () => {
    const { bdev, open } = await setup()
    const descs = [open(), open(), open()]
    for (const desc of descs) desc.claim(...REQUESTS.shared7)
    for (const desc of descs) {
      expect(bdev.claimType).toBe(ReadManyWriteShared)
      desc.close()
    }
    expect(bdev.claimType).toBe(None)
    open().claim(...REQUESTS.shared8)
  })

  it('exclusive: not with its descriptor, but by release, by any descriptor of its module', async () => {
    const { bdev, open, other } = await setup()
    const desc = open()
    desc.claim(ExclWrite)
    desc.close()
    expect(bdev.claimType).toBe(ExclWrite)
    expect(await codeOf(() => open(false, other).releaseClaim())).toBe('EINVAL')
    open().releaseClaim()
    expect(bdev.claimType).toBe(None)
    expect(await codeOf(() => open().releaseClaim())).toBe('EINVAL')
  })

  it('shared: release is refused, closing is the way', async () => {
    const { open } = await setup()
    const desc = open()
    desc.claim(ReadManyWriteOne)
    expect(await codeOf(() => desc.releaseClaim())).toBe('EINVAL')
  })
})

// CLAIM_RUNS=100000 vitest run packages/core/test/claims.test.ts
const RUNS = Number(process.env['CLAIM_RUNS'] ?? 300)

it('a random series of open, claim, release and close is answered as by a model of the rules', { timeout: 10_000 + 10 * RUNS }, async () => {
  const { host, bdev, open, attempt } = await setup()
  interface Slot {
    desc: BdevDesc
    write: boolean
    claim: string | null
  }
  const step = fc.record({
    what: fc.constantFrom('open', 'open rw', 'claim', 'claim', 'claim', 'close', 'release'),
    slot: fc.nat(3),
    kind: fc.constantFrom(...(Object.keys(REQUESTS) as (keyof typeof REQUESTS)[])),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
      const slots: (Slot | null)[] = [null, null, null, null]
      let exclusive = false
      const claimed = (): string | null => (exclusive ? 'excl' : slots.find(slot => slot?.claim != null)?.claim ?? null)
      for (const { what, slot: at, kind } of steps) {
        const slot = slots[at]!
        if (what.startsWith('open')) {
          if (slot !== null) continue
          const rw = what === 'open rw'
          const refused = rw && claimed() !== null
          expect(await codeOf(() => (slots[at] = { desc: open(rw), write: rw, claim: null }))).toBe(
            refused ? 'EPERM' : 'nothing thrown',
          )
        } else if (slot === null) continue
        else if (what === 'close') {
          slot.desc.close()
          slots[at] = null
        } else if (what === 'release') {
          expect(await codeOf(() => slot.desc.releaseClaim())).toBe(exclusive ? 'nothing thrown' : 'EINVAL')
          exclusive = false
        } else {
          const now = claimed()
          const writer = slots.some(other => other !== null && other !== slot && other.write)
          let wanted = 'ok'
          const type = (name: string): string => name.slice(0, 4)
          if (now !== null && type(now) !== type(kind)) wanted = 'EPERM'
          else if (slot.claim !== null && kind !== 'excl') wanted = 'EPERM'
          else if (kind === 'none' && slot.write) wanted = 'EINVAL'
          else if (now !== null) wanted = now === kind && kind !== 'excl' && kind !== 'one' ? 'ok' : 'EPERM'
          else if (kind !== 'excl' && writer) wanted = 'EPERM'
          expect(attempt(slot.desc, ...REQUESTS[kind])).toBe(wanted)
          if (wanted !== 'ok') continue
          if (kind === 'excl') exclusive = true
          else slot.claim = kind
          if (kind !== 'none') slot.write = true
        }
        expect(bdev.claimType).toBe(claimed() === null ? None : REQUESTS[claimed() as 'excl'][0])
        for (const each of slots) if (each !== null) expect(each.desc.write).toBe(each.write)
      }
      for (const slot of slots) slot?.desc.close()
      if (exclusive) {
        const last = open()
        last.releaseClaim()
        last.close()
      }
      expect([bdev.claimType, host.usage().descriptors]).toEqual([None, 0])
    }),
    { numRuns: RUNS },
  )
})

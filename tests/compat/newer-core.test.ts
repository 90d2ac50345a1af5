// SPDX-License-Identifier: Apache-2.0
// Evolution (docs/compatibility.md): modules of today on a core that is one minor further. There WRITE_ZEROES counts as new,
// which has a submission of its own to try; a type 23 is new that nobody has heard of; and there is one more optional hook.
// An old vbdev that mirrors its base must not be asked about what it does not know, nor be sent it: a crypto that passed it on
// would write plain text.
import { readFile, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as Core from '@bdevkit/core'
import { defineBdevModule, IO_TYPE_NAMES, IoStatus, IoType, type BdevHost, type BdevModule } from '@bdevkit/module-sdk'
import { build, type Plugin } from 'esbuild'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const frozen = join(root, 'compat/modules/sdk-0.x')
const NEW_TYPE = IO_TYPE_NAMES.length

/** Replaces text that must be there exactly once. */
function edit(text: string, from: string | RegExp, to: string): string {
  const found = text.match(typeof from === 'string' ? from.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : from)
  if (found === null) throw new Error(`this test edits core's source, and does not find ${from}`)
  return text.replace(from, to)
}

/** Core of today as it will be at 1.1, over modules of 1.0. */
const oneMinorFurther: Plugin = {
  name: 'one minor further',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^@bdevkit\/(module-sdk|accel)$/ }, ({ path }) => ({
      path: join(root, 'packages', path.slice('@bdevkit/'.length), 'src/index.ts'),
    }))
    onLoad({ filter: /module-sdk\/src\/constants\.ts$/ }, async ({ path }) => {
      const names = edit(await readFile(path, 'utf8'), "'write_uncorrectable',\n]", "'write_uncorrectable', 'frobnicate',\n]")
      const since = `(_, type) => (type === ${NEW_TYPE} || type === ${IoType.WriteZeroes} ? [1, 1] : [0, 1]) as readonly [number, number]`
      return { contents: edit(names, '() => [0, 1] as const', since), loader: 'ts' }
    })
    onLoad({ filter: /core\/src\/sdk-version\.ts$/ }, async ({ path }) => ({
      contents: edit(await readFile(path, 'utf8'), /SDK_VERSION = '[^']+'/, "SDK_VERSION = '1.1.0'"), loader: 'ts',
    }))
    onLoad({ filter: /core\/src\/module\/module-lifecycle\.ts$/ }, async ({ path }) => ({
      contents: edit(await readFile(path, 'utf8'), /(\w+)\.callPlain\('initComplete'\)/, "($&, $1.callPlain('frobnicateConfig'))"), loader: 'ts',
    }))
  },
}

let folder: string
let core: typeof Core
/** Modules of `sdk-0.x` as if they had been built with 1.0. */
let passthru: BdevModule, crypto: BdevModule

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'bdevkit-newer-core-')))
  const outfile = join(folder, 'core.mjs')
  const entryPoints = [join(root, 'packages/core/src/index.ts')]
  await build({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', plugins: [oneMinorFurther], logLevel: 'error' })
  core = (await import(pathToFileURL(outfile).href)) as typeof Core
  const load = async (name: string): Promise<BdevModule> => {
    const file = join(folder, `${name}.mjs`)
    await writeFile(file, edit(await readFile(join(frozen, `${name}.mjs`), 'utf8'), /sdk: "[\d.]+"/, 'sdk: "1.0"'))
    return ((await import(pathToFileURL(file).href)) as { default: BdevModule }).default
  }
  passthru = await load('passthru')
  crypto = await load('crypto')
}, 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

let host: Core.Host
let asked: number[], received: number[]
let hookCalls: number
/** Makes PT0 on Ram0, or C0 on PT0 on Ram0. */
let create: (name: string) => Promise<Core.Bdev>
const bytes = new Uint8Array(2048 * 512)

/** A RAM disk of the new minor, which serves everything and knows the hook. */
const newest = defineBdevModule({
  name: 'newest',
  sdk: '1.1',
  setup(own: BdevHost) {
    const device = own.registerIoDevice({ name: 'newest', createChannel: () => null })
    const hooks = {
      moduleFini: () => device.unregister(),
      frobnicateConfig: () => void hookCalls++,
      moduleInit() {
        own.registerBdev({
          name: 'Ram0', productName: 'RAM', numBlocks: 2048, blockSizeBytes: 512, ctx: null,
          fn: {
            destruct() {},
            ioTypeSupported: (_ctx, type) => (asked.push(type), true),
            getIoChannel: () => device.getIoChannel(),
            submitRequest(_channel, io) {
              received.push(io.type)
              const at = io.offsetBlocks * 512
              if (io.type === IoType.Read) own.accel.copyToIovs(io.iovs, io.iovCnt, bytes, at, io.numBlocks * 512)
              else if (io.type === IoType.Write) own.accel.copyFromIovs(bytes, at, io.iovs, io.iovCnt, io.numBlocks * 512)
              else if (io.type === IoType.WriteZeroes) bytes.fill(0, at, at + io.numBlocks * 512)
              io.complete(IoStatus.Success)
            },
          },
        })
      },
    }
    return hooks
  },
})

beforeEach(async () => {
  ;[asked, received, hookCalls] = [[], [], 0]
  bytes.fill(0x77)
  host = core.createHost({ log: () => {} })
  for (const module of [newest, passthru, crypto]) host.use(module)
  await host.init()
  host.keys.create({ name: 'key', cipher: 'AES_XTS', key: '00'.repeat(16), key2: '11'.repeat(16) })
  const call = (module: string, method: string, params: object): unknown =>
    (host.modules.find(({ name }) => name === module)!.instance.handlers as Record<string, (params: object) => unknown>)[method]!(params)
  create = async name => {
    await call('passthru', 'bdev_passthru_create', { name: 'PT0', base_bdev_name: 'Ram0' })
    if (name === 'C0') await call('crypto', 'bdev_crypto_create', { name, base_bdev_name: 'PT0', key_name: 'key' })
    return host.bdevByName(name)!
  }
  return async () => host.finish()
})

it('a module of the new minor is asked about the new types, and the hook is called', () => {
  expect(asked).toContain(NEW_TYPE)
  expect(asked).toContain(IoType.WriteZeroes)
  expect(host.bdevByName('Ram0')!.ioTypeSupported(NEW_TYPE)).toBe(true)
  expect(hookCalls).toBe(1)
})

it.each(['PT0', 'C0'])('%s, of an older module that mirrors its base, does not serve them', async name => {
  const bdev = await create(name)
  expect(bdev.ioTypeSupported(NEW_TYPE)).toBe(false)
  expect(bdev.ioTypeSupported(IoType.Write)).toBe(true)
})

it.each([['PT0', 0x00], ['C0', undefined]] as const)('zeroes through %s by WRITE, which it knows: the data is right', async (name, onDisk) => {
  await create(name)
  const desc = host.openBdev(name, { write: true, onEvent() {} })
  const channel = desc.getIoChannel()!
  const ok = await new Promise((resolve, reject) => {
    const rc = channel.writeZeroesBlocks(8, 8, (io, success) => (io.free(), resolve(success)), null)
    if (rc !== 0) reject(new Error(`refused with ${rc}`))
  })
  channel.put()
  desc.close()
  expect(ok).toBe(true)
  expect(received).not.toContain(IoType.WriteZeroes)
  expect(received).toContain(IoType.Write)
  await using disk = await host.open(name)
  expect(await disk.read(8 * 512, 8 * 512)).toEqual(new Uint8Array(8 * 512))
  const below = bytes.subarray(8 * 512, 16 * 512)
  if (onDisk === undefined) expect(below.every(byte => byte === 0)).toBe(false) // ciphertext: plain zeros would decrypt to noise
  else expect(below.every(byte => byte === onDisk)).toBe(true)
  expect(bytes[7 * 512]).toBe(0x77)
  expect(bytes[16 * 512]).toBe(0x77)
})

it.each(['PT0', 'C0'])('a submission of a new type to %s would be refused before it gets there', async name => {
  // What every submission call looks at first.
  const { allowedTypes } = (await create(name)) as unknown as { allowedTypes: number }
  expect(allowedTypes & (1 << IoType.Write)).not.toBe(0)
  expect(allowedTypes & (1 << NEW_TYPE)).toBe(0)
})

it('an older module of another major is refused', () => {
  const other = core.createHost({ log: () => {} })
  const old = defineBdevModule({ name: 'old', sdk: '0.9', setup: () => ({}) })
  expect(() => other.use(old)).toThrow(/^module "old" was built against module-sdk 0\.9, but this host offers 1\.1; /)
})

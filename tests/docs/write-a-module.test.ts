// SPDX-License-Identifier: Apache-2.0
// The modules of docs/write-a-module.md, as they stand on the page, through the conformance kit.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { conformance, startTestHost } from '@bdevkit/conformance'
import { defineBdevModule, type BdevModule, type RpcMethod } from '@bdevkit/module-sdk'
import { transformSync } from 'esbuild'
import { afterAll, describe, expect, it } from 'vitest'
import { fencesOf } from '../../tools/fences.js'

const page = fileURLToPath(new URL('../../docs/write-a-module.md', import.meta.url))
const folder = fileURLToPath(new URL('../temp/write-a-module/', import.meta.url))
const fences = fencesOf('docs/write-a-module.md', readFileSync(page, 'utf8')).filter(({ language }) => language === 'ts')

/** Runs the TypeScript fence that holds `word`; `more` is added at its end. */
async function fence<Exports>(word: string, more = ''): Promise<Exports> {
  const found = fences.filter(({ code }) => code.includes(word))
  if (found.length !== 1) throw new Error(`wanted one fence with ${word}, found ${found.length}`)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `line-${found[0]!.line}.mjs`)
  writeFileSync(file, transformSync(found[0]!.code + more, { loader: 'ts', target: 'node20' }).code)
  return (await import(pathToFileURL(file).href)) as Exports
}
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { default: keep } = await fence<{ default: BdevModule }>("name: 'keep'")
const { default: forwards } = await fence<{ default: BdevModule }>("name: 'slow'")
const { slowAttach, SlowIo } = await fence<{ slowAttach: (...args: unknown[]) => never; SlowIo: new () => object }>(
  'export function slowAttach', '\nexport { SlowIo }\n',
)

/** The last part of the page says where both go: `attach` of `host.vbdevs`, and what `setup` returns. */
const slow = defineBdevModule({
  name: 'slow',
  sdk: '0.1',
  rpc: forwards.rpc as { bdev_slow_create: RpcMethod; bdev_slow_delete: RpcMethod },
  setup(host) {
    const slows = host.vbdevs<{ name: string; base_bdev_name: string }, never>({
      attach: (base, params) => slowAttach(host, base, params),
      uuidNamespace: '2f6b0f4e-9c3a-4a57-8f1d-0f8c1f0f6a11',
      onResize: 'follow',
    })
    return {
      handlers: {
        bdev_slow_create: params => slows.create(params),
        bdev_slow_delete: ({ name }) => slows.delete(name as string).then(() => true),
      },
      configJson: () => slows.createCalls('bdev_slow_create', ['name', 'base_bdev_name']),
      createIoContext: () => new SlowIo(),
    }
  },
})

const onBase = (module: BdevModule, latencyUs: number): Parameters<typeof conformance>[0] => ({
  module,
  bases: ['Base0'],
  create: rpc => rpc('bdev_slow_create', { name: 'Slow0', base_bdev_name: 'Base0', latency_us: latencyUs }),
  remove: rpc => rpc('bdev_slow_delete', { name: 'Slow0' }),
  describe,
  it,
})

describe('sections 1 and 2, a bdev:', () => {
  conformance({
    module: keep,
    create: rpc => rpc('bdev_keep_create', { name: 'Keep0', num_blocks: 32_768, block_size: 512 }),
    remove: rpc => rpc('bdev_keep_delete', { name: 'Keep0' }),
    describe,
    it,
  })
})
describe('section 4, a vbdev that forwards:', () => {
  conformance(onBase(forwards, 0))
})
describe('section 5, one with state:', () => {
  conformance(onBase(slow, 50))

  it('is as late as it says', async () => {
    await using test = await startTestHost(slow, { strict: false })
    test.createRamBdev('Base0')
    await test.rpc('bdev_slow_create', { name: 'Slow0', base_bdev_name: 'Base0', latency_us: 20_000 })
    await using disk = await test.host.open('Slow0')
    const before = performance.now()
    await disk.read(0, 512)
    expect(performance.now() - before).toBeGreaterThanOrEqual(20)
  })
})

describe('section 3', () => {
  const text = readFileSync(page, 'utf8')
  const api = readFileSync(fileURLToPath(new URL('../../packages/module-sdk/etc/module-sdk.api.md', import.meta.url)), 'utf8')
  /** Members of an interface of the contract. */
  const members = (name: string): string[] => {
    const body = new RegExp(`export interface ${name}[^{]*\\{([^]*?)\\n\\}`).exec(api)![1]!
    return [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??[(:<]/gm)].map(match => match[1]!)
  }

  it.each(['BdevModuleInstance', 'BdevFnTable', 'IoDeviceSpec'])('has a row for each function of %s', name => {
    const rows = [...text.matchAll(/^\| ((?:`\w+`(?:, )?)+)/gm)].flatMap(match => match[1]!.match(/\w+/g)!)
    const missing = members(name).filter(member => member !== 'name' && !rows.includes(member))
    expect(missing).toEqual([])
  })
})

// SPDX-License-Identifier: Apache-2.0
// A process of its own: what keeps it alive, and whether workers are found in an application bundled into one file.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'

const core = fileURLToPath(new URL('../../src/index.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bdevkit-bundle-'))
writeFileSync(join(folder, 'data'), 'data of the file')
afterAll(() => rmSync(folder, { recursive: true }))

const APPLICATION = `
import { openSync } from 'node:fs'
import { createHost } from ${JSON.stringify(core)}
const host = createHost()
await host.init()
const queue = host.offload.openQueue({ name: 'bundled' })
const { buf, off } = host.dma.alloc(16)
const fd = openSync(process.argv[2], 'r')
// Nothing but the call keeps the process alive.
const length = await new Promise(resolve => queue.read(fd, 0, [{ buf, off, len: 16 }], 1, 16, (_, result) => resolve(result), null))
console.log(length, Buffer.from(buf.slice(off, off + 16)).toString())
// And nothing at all from here on: the idle workers do not.
`

function run(program: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [program, join(folder, 'data')], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => resolve({ code, output }))
  })
}

const shapes = [{}, { minify: true }, { keepNames: true }, { minify: true, keepNames: true }, { target: 'es2020' }]
beforeAll(async () => {
  for (const [i, shape] of shapes.entries()) {
    const outfile = join(folder, `${i}.mjs`)
    const stdin = { contents: APPLICATION, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'js' as const }
    const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" }
    await build({ stdin, outfile, bundle: true, platform: 'node', format: 'esm', banner, logLevel: 'error', supported: { 'top-level-await': true }, ...shape })
  }
})

it.each(shapes.map((shape, i) => [JSON.stringify(shape), i] as const))(
  'works in a bundle made with %s, which ends by itself when the last call has ended',
  async (_, i) => {
    expect(await run(join(folder, `${i}.mjs`))).toEqual({ code: 0, output: '16 data of the file\n' })
  },
)

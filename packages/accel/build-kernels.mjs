// SPDX-License-Identifier: Apache-2.0
// Compiles src/kernels/index.ts (AssemblyScript) into src/kernels.generated.ts: the WebAssembly binary as a base64
// constant, so that a bundler carries it along and nothing is read from disk at run time.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const here = dirname(fileURLToPath(import.meta.url))
let wasm
const { error, stderr } = await asc.main(
  [
    'src/kernels/index.ts',
    ...['--baseDir', here, '--outFile', 'kernels.wasm'],
    ...['-O3', '--noAssert', '--runtime', 'stub'],
    ...['--enable', 'simd', '--enable', 'bulk-memory', '--enable', 'threads'],
    // The import accepts every heap size: at least one page, at most all of a 32-bit address space.
    ...['--importMemory', '--sharedMemory', '--noExportMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  ],
  { writeFile: (_name, contents) => void (wasm = contents) },
)
if (error !== null || wasm === undefined) {
  process.stderr.write(stderr.toString())
  throw error ?? new Error('build-kernels: asc wrote no binary; see its messages above')
}
await WebAssembly.compile(wasm)

const text = `// SPDX-License-Identifier: Apache-2.0
// Made from src/kernels/index.ts by build-kernels.mjs; not under version control. ${wasm.byteLength} bytes.
export const KERNELS_BASE64: string =
  '${Buffer.from(wasm).toString('base64')}'
`
const target = join(here, 'src/kernels.generated.ts')
let previous
try {
  previous = readFileSync(target, 'utf8')
} catch {
  // First build.
}
if (previous !== text) writeFileSync(target, text)

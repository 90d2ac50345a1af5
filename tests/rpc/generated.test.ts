// SPDX-License-Identifier: Apache-2.0
// What is written from the methods themselves: the OpenRPC document, the reference, the types of the client. After a change of a method:
// npx vitest run tests/rpc/generated.test.ts -u
import { readFileSync } from 'node:fs'
import { methodsInterface, openRpcPage, type OpenRpcDocument } from '@bdevkit/rpc'
import { describe, expect, it } from 'vitest'
import { inFolder } from '../interop/support/files.js'
import { startRpcServer } from './support.js'

const SPDX = '// SPDX-License-Identifier: Apache-2.0\n'
const file = (path: string): string => new URL(`../../${path}`, import.meta.url).pathname

describe('the description of the methods', () => {
  it('is current', { timeout: 30_000 }, async () => {
    await inFolder(async folder => {
      const server = await startRpcServer(folder, ['--no-discover', ...BUILTIN.flatMap(name => ['--module', name])])
      const document = await server.call<OpenRpcDocument>('rpc.discover')
      await server.stop()
      // A version would make every release a change of each file.
      const constant = { ...document, info: { ...document.info, version: 'SPDK v26.09-pre' } }
      await expect(`${JSON.stringify(constant, null, 1)}\n`).toMatchFileSnapshot(file('packages/rpc/openrpc.json'))
      await expect(`${PAGE_HEAD}${openRpcPage(constant)}`).toMatchFileSnapshot(file('docs/rpc.md'))
      const types = `${SPDX}// Written by tests/rpc/generated.test.ts.\n\n/** The methods of the server with the modules that ship with it: parameters and results, from their schemas. */\n`
      await expect(types + methodsInterface(constant, 'BdevkitMethods')).toMatchFileSnapshot(
        file('packages/rpc/src/client/methods.generated.ts'),
      )
    })
  })
})

/** The modules that ship with the command. */
const BUILTIN = Object.keys(
  (JSON.parse(readFileSync(file('packages/cli/package.json'), 'utf8')) as { dependencies: object }).dependencies,
)
  .filter(name => name.startsWith('@bdevkit/modules-'))
  .map(name => file(`packages/${name.slice('@bdevkit/'.length)}`))

const PAGE_HEAD = `# JSON-RPC methods

Written from the methods themselves; \`packages/rpc/openrpc.json\` holds the same for programs, and a running server answers it to
\`rpc.discover\`. Names, parameters, answers and errors are SPDK's, but for [what differs](spdk-differences.md). \`bdev rpc METHOD\`
takes parameters as SPDK's \`rpc.py\` does (third column), as \`name=value\`, or as JSON with \`--params\`.
SPDK's own \`rpc.py\` works, too: \`node tests/rpc/spdk-rpc-py.mjs\` fetches it and drives a stack of every module with it.

`

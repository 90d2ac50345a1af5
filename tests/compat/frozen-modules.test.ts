// SPDX-License-Identifier: Apache-2.0
// Modules of other days (compat/modules) on the core of today.
import { readdirSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { conformance, startTestHost } from '@bdevkit/conformance'
import type { BdevModule } from '@bdevkit/module-sdk'
import cryptoNow from '@bdevkit/modules-crypto'
import mallocNow from '@bdevkit/modules-malloc'
import passthruNow from '@bdevkit/modules-passthru'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../compat/modules/', import.meta.url))
const lines = readdirSync(root).filter(name => name.startsWith('sdk-'))
const frozen = async (line: string, name: string): Promise<BdevModule> =>
  ((await import(pathToFileURL(`${root}${line}/${name}.mjs`).href)) as { default: BdevModule }).default

const keyCreate = { cipher: 'AES_XTS', key: '00112233445566778899001122334455', key2: '11223344556677889900112233445500', name: 'key' }

for (const line of lines) {
  const malloc = await frozen(line, 'malloc')
  const zeros = await frozen(line, 'null')
  const passthru = await frozen(line, 'passthru')
  const crypto = await frozen(line, 'crypto')

  describe(`${line} passes the kit of today:`, () => {
    conformance({
      module: malloc,
      create: rpc => rpc('bdev_malloc_create', { name: 'Malloc0', num_blocks: 32_768, block_size: 512 }),
      remove: rpc => rpc('bdev_malloc_delete', { name: 'Malloc0' }),
      describe,
      it,
    })
    conformance({
      module: zeros,
      create: rpc => rpc('bdev_null_create', { name: 'Null0', num_blocks: 32_768, block_size: 512 }),
      remove: rpc => rpc('bdev_null_delete', { name: 'Null0' }),
      keepsData: false,
      describe,
      it,
    })
    conformance({
      module: passthru,
      bases: ['Base0'],
      create: rpc => rpc('bdev_passthru_create', { name: 'PT0', base_bdev_name: 'Base0' }),
      remove: rpc => rpc('bdev_passthru_delete', { name: 'PT0' }),
      describe,
      it,
    })
    conformance({
      module: crypto,
      bases: ['Base0'],
      prepare: host => host.accel.keys.create(keyCreate),
      create: rpc => rpc('bdev_crypto_create', { name: 'C0', base_bdev_name: 'Base0', key_name: 'key' }),
      remove: rpc => rpc('bdev_crypto_delete', { name: 'C0' }),
      describe,
      it,
    })
  })

  it.each([
    ['its own modules', [malloc, passthru, crypto]],
    ['a base of today', [mallocNow, passthru, crypto]],
    ['a crypto of today on top', [malloc, passthru, cryptoNow]],
    ['a passthru of today between', [malloc, passthruNow, crypto]],
  ] as const)(`${line} stacks with %s`, async (_what, modules) => {
    await using test = await startTestHost(modules)
    test.host.keys.create(keyCreate)
    await test.rpc('bdev_malloc_create', { name: 'Malloc0', num_blocks: 2048, block_size: 512 })
    await test.rpc('bdev_passthru_create', { name: 'PT0', base_bdev_name: 'Malloc0' })
    await test.rpc('bdev_crypto_create', { name: 'C0', base_bdev_name: 'PT0', key_name: 'key' })
    const data = new Uint8Array(8192).map((_, i) => i)
    await using top = await test.host.open('C0', { write: true })
    await top.write(data, 4096)
    expect(await top.read(4096, 8192)).toEqual(data)
    await using bottom = await test.host.open('Malloc0')
    expect(await bottom.read(4096, 8192)).not.toEqual(data)
  })
}

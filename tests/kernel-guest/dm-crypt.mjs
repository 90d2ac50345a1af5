// SPDX-License-Identifier: Apache-2.0
// The host's side of dm-crypt.sh: node dm-crypt.mjs BLOCK_SIZE. Writes the second MiB of a malloc bdev through a crypto bdev,
// serves the malloc bdev itself until SIGTERM, then reads the first MiB, which dm-crypt has written, through a crypto bdev.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createHost } from '@bdevkit/core'
import crypto from '@bdevkit/modules-crypto'
import malloc from '@bdevkit/modules-malloc'
import { NbdServer } from '@bdevkit/nbd'

const MIB = 1 << 20
const blockSize = Number(process.argv[2])
const key = Buffer.from(Array.from({ length: 64 }, (_, i) => i)).toString('hex')
const lines = text => Buffer.alloc(MIB, `${text}\n`)

const host = createHost({ log: (level, source, message) => level === 'error' && console.error(`${source}: ${message}`) })
for (const module of [malloc, crypto]) host.use(module)
await host.init()
const call = (method, params) => host.modules.find(module => method in (module.instance.handlers ?? {})).instance.handlers[method](params)
host.keys.create({ name: 'plain64', cipher: 'AES_XTS', key: key.slice(0, 64), key2: key.slice(64), tweak_mode: 'INCR_512_FULL_LBA' })
await call('bdev_malloc_create', { name: 'Malloc0', num_blocks: (16 * MIB) / blockSize, block_size: blockSize })

async function throughCrypto(use) {
  await call('bdev_crypto_create', { base_bdev_name: 'Malloc0', name: 'Crypto0', key_name: 'plain64' })
  const disk = await host.open('Crypto0', { write: true })
  const result = await use(disk)
  await disk.close()
  await call('bdev_crypto_delete', { name: 'Crypto0' })
  return result
}

const ours = lines('written by bdevkit')
await throughCrypto(disk => disk.write(ours, MIB))
const nbd = new NbdServer(host, { exports: [{ name: 'Malloc0', bdevName: 'Malloc0' }] })
await nbd.listen({ host: '127.0.0.1', port: 0 })
const [{ port }] = nbd.addresses
console.log(`port: ${port}\nkey: ${key}\nmd5: ${createHash('md5').update(ours).digest('hex')}`)
await once(process, 'SIGTERM')
await nbd.stop({ deadlineMs: 2000 })
const found = await throughCrypto(disk => disk.read(0, MIB))
const same = Buffer.compare(found, lines('written by dm-crypt')) === 0
console.log(`${same ? 'ok' : 'NOT ok'}: a crypto bdev with blocks of ${blockSize} bytes reads the MiB that dm-crypt wrote`)
await host.finish()
process.exitCode = same ? 0 : 1

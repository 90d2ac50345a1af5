// SPDX-License-Identifier: Apache-2.0
// What the error module is told to answer, as clients see it: the very errno over NBD, and bad sectors that a write heals.
import crypto from '@bdevkit/modules-crypto'
import delay from '@bdevkit/modules-delay'
import error from '@bdevkit/modules-error'
import mallocModule from '@bdevkit/modules-malloc'
import { describe, expect, it } from 'vitest'
import { malloc, MiB } from './support/files.js'
import { inProcess, type InProcess } from './support/in-process.js'
import { Cmd, RawNbd, request } from './support/nbd-client.js'
import { run } from './support/run.js'
import { itWith } from './support/tools.js'

const [EIO, ENOMEM, EINVAL, ENOSPC, EPERM] = [5, 12, 22, 28, 1]
const latencies = { avg_read_latency: 0, p99_read_latency: 50, avg_write_latency: 0, p99_write_latency: 50 }
const KEY = { name: 'key0', cipher: 'AES_XTS', key: '11'.repeat(16), key2: '22'.repeat(16) }
const modules = [mallocModule, error, delay, crypto]

/** malloc under error, and on top of it what must pass its answers on. */
async function withErrors(rules: object[], use: (stack: InProcess, client: RawNbd) => Promise<void>): Promise<void> {
  const calls = [
    { method: 'accel_crypto_key_create', params: KEY },
    malloc('Base0', MiB),
    { method: 'bdev_error_create', params: { base_name: 'Base0' } },
    { method: 'bdev_error_set_rules', params: { name: 'EE_Base0', rules } },
    { method: 'bdev_delay_create', params: { name: 'Delay0', base_bdev_name: 'EE_Base0', ...latencies } },
    { method: 'bdev_crypto_create', params: { name: 'Disk0', base_bdev_name: 'Delay0', key_name: 'key0' } },
  ]
  await inProcess(calls, ['Disk0'], async stack => {
    const client = await RawNbd.open(stack.socket, 'Disk0')
    try {
      await use(stack, client)
    } finally {
      client.destroy()
    }
  }, modules)
}

async function errorOf(client: RawNbd, type: number, cookie: number, offsetBytes: number, lengthBytes = 512): Promise<number> {
  client.write(request(type, cookie, offsetBytes, lengthBytes), Buffer.alloc(type === Cmd.Write ? lengthBytes : 0, 'x'))
  return (await client.reply(cookie, type === Cmd.Read ? lengthBytes : 0)).error
}

describe('an NBD client under crypto, delay and error', () => {
  it.each([
    [{ error_type: 'errno', errno: 'ENOSPC' }, ENOSPC],
    [{ error_type: 'errno', errno: 'EROFS' }, EPERM],
    [{ error_type: 'errno', errno: 'EIO' }, EIO],
    [{ error_type: 'errno', errno: 'ENOMEM' }, ENOMEM],
    [{ error_type: 'errno', errno: 'EINVAL' }, EINVAL],
    [{ error_type: 'nvme_failure', nvme_sct: 0, nvme_sc: 0x81 }, ENOSPC],
    [{ error_type: 'nvme_failure', nvme_sct: 1, nvme_sc: 0x82 }, EPERM],
    [{ error_type: 'nvme_failure', nvme_sct: 2, nvme_sc: 0x81 }, EIO],
    [{ error_type: 'failure' }, EIO],
  ])('gets the errno of %j for reads and writes of that range, and for no other', async (fault, errno) => {
    await withErrors([{ io_type: 'all', offset_blocks: 8, num_blocks: 1, ...fault }], async (_stack, client) => {
      expect(await errorOf(client, Cmd.Write, 1, 8 * 512)).toBe(errno)
      expect(await errorOf(client, Cmd.Read, 2, 7 * 512, 1024)).toBe(errno)
      expect(await errorOf(client, Cmd.Write, 3, 9 * 512)).toBe(0)
      expect(await errorOf(client, Cmd.Read, 4, 7 * 512)).toBe(0)
    })
  })

  it('finds a sector bad until it writes to it; the rule counts, and the log says how to repeat it', async () => {
    const bad = { io_type: 'read', error_type: 'errno', errno: 'EIO', offset_blocks: 4, num_blocks: 2, heal_on_write: true, seed: 7 }
    await withErrors([bad], async (stack, client) => {
      expect(await errorOf(client, Cmd.Read, 1, 4 * 512)).toBe(EIO)
      expect(await errorOf(client, Cmd.Write, 2, 4 * 512)).toBe(0)
      expect(await errorOf(client, Cmd.Read, 3, 4 * 512)).toBe(0)
      expect(await errorOf(client, Cmd.Read, 4, 5 * 512)).toBe(EIO)
      const [rule] = await stack.call<object[]>('bdev_error_get_rules', { name: 'EE_Base0' })
      expect(rule).toMatchObject({ active: true, hits: 2, bad_blocks: 1 })
      expect(stack.log.filter(line => /EE_Base0.*hit 2, sequence 2, seed 7/.test(line))).toHaveLength(1)
    })
  })

  itWith(['qemu-io'], 'that is qemu says what went wrong in its own words', async () => {
    await withErrors([{ io_type: 'write', error_type: 'errno', errno: 'ENOSPC', every: 2 }], async stack => {
      const { stdout, stderr } = await run('qemu-io', ['-f', 'raw', '-t', 'none', '-c', 'write 0 4k', '-c', 'write 0 4k', stack.uri('Disk0')])
      expect(`${stdout}${stderr}`).toContain('No space left on device')
    })
  })
})

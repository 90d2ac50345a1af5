// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { GiB, malloc, MiB } from './support/files.js'
import { RawNbd } from './support/nbd-client.js'
import { runOk } from './support/run.js'
import { withServer } from './support/server.js'
import { itWith, TEST_TIMEOUT_MS } from './support/tools.js'

/** What the kernel counts as memory of a process that has read `lengthBytes` which nobody has written: most count nothing. */
function countedAsRead(lengthBytes: number): number {
  const fresh = new Float64Array((64 * MiB) / 8)
  const before = process.memoryUsage.rss()
  expect(fresh.includes(1)).toBe(false)
  return process.memoryUsage.rss() - before > 32 * MiB ? lengthBytes : 0
}

describe('memory', () => {
  it('of a served 1 GiB malloc bdev stays under 200 MB before any write', { timeout: TEST_TIMEOUT_MS }, async () => {
    await withServer({ calls: [malloc('Disk0', GiB)] }, async server => {
      const client = await RawNbd.open(server.socket, 'Disk0')
      expect(server.memory().peakBytes).toBeLessThan(200e6)
      client.destroy()
    })
  })

  itWith(['nbdcopy'], 'grows with what is written, not with what is read', async () => {
    const limitBytes = 400e6 + countedAsRead(GiB)
    await withServer({ calls: [malloc('Disk0', GiB)] }, async server => {
      await runOk('nbdcopy', ['--connections=4', server.uri(), 'null:'])
      expect(server.memory().peakBytes).toBeLessThan(limitBytes)
      await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 1 100M 64M', server.uri()])
      expect(server.memory().rssBytes).toBeLessThan(limitBytes + 64 * MiB)
    })
  })
})

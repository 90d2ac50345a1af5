// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bdev, malloc, stackFile, startBdev, tempFolder, until } from './support.js'

describe('bdev perf -z', () => {
  it('measures each time perform_tests asks, as bdevperf does', { timeout: 30_000 }, async () => {
    const socket = join(tempFolder(), 'perf.sock')
    const options = ['--bdev', 'Malloc0', '-w', 'randread', '-o', '4096', '-q', '4', '-t', '0.05', '--warmup', '0']
    const child = startBdev(['perf', '-c', stackFile([malloc('Malloc0')]), ...options, '-z', '-r', socket, '--json'])
    await until(child.stdout!, /\n/)
    const rpc = (...args: string[]) => bdev(['rpc', '-s', socket, '--json', ...args])
    const { results, core_count } = JSON.parse((await rpc('perform_tests')).stdout) as {
      results: Record<string, unknown>[]
      core_count: number
    }
    expect(core_count).toBe(1)
    expect(results).toMatchObject([
      { job: 'Malloc0', core_mask: '0x1', workload: 'randread', status: 'finished', queue_depth: 4, io_size: 4096, io_failed: 0 },
    ])
    expect(results[0]!['iops']).toBeGreaterThan(0)
    expect(results[0]!['min_latency_us']).toBeLessThanOrEqual(results[0]!['max_latency_us'] as number)
    const params = JSON.stringify({
      workload_type: 'rw',
      queue_depth: 2,
      io_size: '1k',
      rw_percentage: 30,
      time_in_sec: 1,
      unknown: 1,
    })
    const second = JSON.parse((await rpc('perform_tests', '--params', params)).stdout) as { results: object[] }
    expect(second.results).toMatchObject([{ workload: 'rw', percentage: 30, queue_depth: 2, io_size: 1024 }])
    expect((await rpc('perform_tests', 'workload_type=trim')).stderr).toBe(
      'bdev: perform_tests: Invalid parameters provided (code -32700)\n',
    )
    expect((await rpc('perform_tests', 'io_size=100')).stderr).toContain('(code -32700)')
    expect((await rpc('perform_tests', 'queue_depth=x')).stderr).toBe(
      'bdev: perform_tests: spdk_json_decode_object failed (code -32700)\n',
    )
    child.kill('SIGTERM')
    expect((await child.ended).status).toBe(0)
    expect(await bdev(['perf', '-c', 'x.json', ...options, '-z'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('-z: wanted -r'),
    })
  })
})

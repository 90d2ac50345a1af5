// SPDX-License-Identifier: Apache-2.0
import type { GraphNode } from '@bdevkit/rpc'
import { describe, expect, it } from 'vitest'
import { percentileUs, type TopRow } from '../src/top.js'
import { treeLines } from '../src/tree.js'
import { NbdClient } from './nbd-client.js'
import { bdev, bdevHere, call, malloc, passthru, stackFile, startServer } from './support.js'

describe('bdev tree', () => {
  it('shows what stands on what, who claims it, and who has it open', async () => {
    const split = call('bdev_split_create', { base_bdev: 'Base', split_count: 2 })
    const server = await startServer(stackFile([malloc('Base', 4096), split, passthru('Top', 'Basep0'), malloc('Alone')]), [
      '--export',
      'Top',
    ])
    const { stdout } = await bdev(['tree', '-s', server.rpcSocket])
    expect(stdout.split('\n').slice(0, -1)).toEqual([
      'Basep1  Split Disk, 1 MiB in blocks of 512',
      '└─ Base  Malloc disk, 2 MiB in blocks of 512, claimed by split (exclusive_write)',
      'Top  passthru, 1 MiB in blocks of 512, open by nbd export "Top" for writing',
      '└─ Basep0  Split Disk, 1 MiB in blocks of 512, claimed by passthru (exclusive_write)',
      '   └─ Base  Malloc disk, 2 MiB in blocks of 512, claimed by split (exclusive_write)',
      'Alone  Malloc disk, 1 MiB in blocks of 512',
    ])
    const nodes = JSON.parse((await bdev(['tree', '-s', server.rpcSocket, '--json'])).stdout) as GraphNode[]
    expect(nodes.find(({ name }) => name === 'Top')).toMatchObject({ module: 'passthru', bases: ['Basep0'], claim_type: null })
  })

  it('shows the bases of a bdev once', () => {
    const node = (name: string, ...bases: string[]): GraphNode => ({
      name,
      product_name: 'x',
      module: 'x',
      block_size: 512,
      num_blocks: 2,
      bases,
      claim_type: null,
      claimed_by: [],
      opened_by: [],
    })
    expect(treeLines([])).toEqual(['no bdevs'])
    const lines = treeLines([node('leaf'), node('middle', 'leaf'), node('a', 'middle', 'leaf'), node('b', 'middle')])
    expect(lines.map(line => line.replace(/ {2}x, .*blocks of 512/, ''))).toEqual([
      'a',
      '├─ middle',
      '│  └─ leaf',
      '└─ leaf',
      'b',
      '└─ middle (shown above)',
    ])
  })
})

describe('bdev top', () => {
  it('counts the I/O of each layer, and leaves no meter behind', async () => {
    const server = await startServer(stackFile([malloc('Base'), passthru('Top', 'Base')]))
    const client = await NbdClient.open(server.nbdSocket, 'Top')
    let running = true
    const load = (async () => {
      while (running) await client.write(0, Buffer.alloc(4096, 1))
    })()
    const { stdout, stderr } = await bdev(['top', '-s', server.rpcSocket, '-i', '0.3', '-n', '2', '--json'])
    running = false
    await load
    expect(stderr).toBe('')
    const tables = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as TopRow[])
    expect(tables.map(table => table.map(row => [row.bdev, row.layer]))).toEqual([
      [
        ['Top', 0],
        ['Base', 1],
      ],
      [
        ['Top', 0],
        ['Base', 1],
      ],
    ])
    for (const row of tables[1]!) {
      expect(row.iops).toBeGreaterThan(0)
      expect(row.mibPerSec / row.iops).toBeCloseTo(4096 / 1024 / 1024, 6)
      expect(row.avgUs).toBeGreaterThan(0)
      expect(row.p99Us!).toBeGreaterThanOrEqual(row.p50Us!)
      expect(row.queueDepth).toBeTypeOf('number')
    }
    const rpc = (...args: string[]) => bdev(['rpc', '-s', server.rpcSocket, '--json', ...args])
    expect((await rpc('bdev_get_histogram', 'Top')).stderr).toContain('(code -')
    expect((await rpc('bdev_get_iostat')).stdout).not.toContain('queue_depth')
  })

  it('finds percentiles in the middle of their bucket', () => {
    const shape = { granularity: 2, minRange: 0, tickRate: 1e6 }
    // Buckets of SPDK at granularity 2: 0 1 2 3 | 4 5 6 7 | 8 10 12 14 | …
    const counts = new Float64Array(12)
    counts[1] = 98
    counts[9] = 2
    expect([
      percentileUs(shape, counts, 0.5),
      percentileUs(shape, counts, 0.99),
      percentileUs(shape, new Float64Array(12), 0.5),
    ]).toEqual([1.5, 11, null])
  })
})

it('bdev doctor says what this host can do', async () => {
  const { status, stdout } = await bdevHere(['doctor', '--json'])
  expect(status).toBe(0)
  const findings = JSON.parse(stdout) as { what: string; state: string }[]
  expect(findings.find(({ what }) => what === 'Node')).toMatchObject({ state: 'yes' })
  expect(findings.find(({ what }) => what === 'DMA heap')).toMatchObject({ state: 'yes' })
  expect((await bdevHere(['doctor'])).stdout).toContain('NBD clients')
})

// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bdev, call, malloc, stackFile, startBdev, tempFolder, until, type Ended } from './support.js'

type Bdev = ReturnType<typeof startBdev> & { stdout: NodeJS.ReadableStream }

const rpc = (socket: string, ...args: string[]): Promise<Ended> => bdev(['rpc', '-s', socket, '--json', ...args])

/** A server that waits for `framework_start_init`, and the lines it has printed. */
async function waiting(args: readonly string[]): Promise<{ socket: string; child: Bdev; lines: string[] }> {
  const socket = join(tempFolder(), 'bdev.sock')
  const child = startBdev(['serve', '-r', socket, '--json', '--wait-for-rpc', ...args]) as Bdev
  const lines: string[] = []
  child.stdout.on('data', (chunk: Buffer) =>
    lines.push(
      ...chunk
        .toString()
        .split('\n')
        .filter(line => line !== ''),
    ),
  )
  await until(child.stdout, /\n/)
  return { socket, child, lines }
}

describe('bdev serve --wait-for-rpc', () => {
  it('answers only methods of STARTUP until framework_start_init, then loads the rest of the stack file', async () => {
    const calls = [call('bdev_set_options', { bdev_auto_examine: false }), malloc('Malloc0')]
    const { socket, child, lines } = await waiting(['-c', stackFile(calls)])
    expect(JSON.parse(lines[0]!)).toEqual({ ready: false, waitsFor: 'framework_start_init', pid: child.pid, rpcSocket: socket })
    expect((await rpc(socket, 'bdev_get_bdevs')).stderr).toContain('Method may only be called after framework is initialized')
    // What a client sets comes after the file's own.
    expect((await rpc(socket, 'bdev_set_options', 'bdev_io_pool_size=4096', 'bdev_io_cache_size=64')).stdout).toBe('true\n')
    expect((await rpc(socket, 'framework_start_init')).stdout).toBe('true\n')
    expect((await rpc(socket, 'framework_wait_init')).stdout).toBe('true\n')
    const bdevs = JSON.parse((await rpc(socket, 'bdev_get_bdevs')).stdout) as { name: string }[]
    expect(bdevs.map(({ name }) => name)).toEqual(['Malloc0'])
    const [options] = JSON.parse((await rpc(socket, 'framework_get_config', 'name=bdev')).stdout) as { params: object }[]
    expect(options!.params).toMatchObject({ bdev_io_pool_size: 4096, bdev_io_cache_size: 64, bdev_auto_examine: false })
    expect((await rpc(socket, 'framework_start_init')).stderr).toContain(
      'Method may only be called before framework is initialized',
    )
    expect(lines).toHaveLength(2)
    expect(JSON.parse(lines[1]!)).toMatchObject({ ready: true })
    child.kill('SIGTERM')
    expect((await child.ended).status).toBe(0)
  })

  it('tells the caller and ends with status 1 when the stack cannot be brought up', async () => {
    const { socket, child } = await waiting(['-c', stackFile([malloc('Malloc0', 0)])])
    expect((await rpc(socket, 'framework_start_init')).stderr).toContain('framework_initialization failed (code -32603)')
    const { status, stderr } = await child.ended
    expect([status, stderr]).toEqual([1, expect.stringMatching(/stack\.json:1:\d+: bdev_malloc_create: /)])
  })

  it('ends with status 0 when a signal comes first', async () => {
    const { child } = await waiting([])
    child.kill('SIGTERM')
    expect((await child.ended).status).toBe(0)
  })

  it('wants a socket to wait on', async () => {
    expect(await bdev(['serve', '--wait-for-rpc'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--wait-for-rpc: wanted -r'),
    })
  })
})

describe('bdev serve', () => {
  it('stops at the first call that fails, and with --lenient names it and goes on', async () => {
    const file = stackFile([malloc('Malloc0'), call('bdev_nope_create', {}), malloc('Malloc0'), malloc('Malloc1')])
    expect(await bdev(['serve', '-c', file, '--run', 'true'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/stack\.json:1:\d+: bdev_nope_create: no module "nope"/),
    })
    const lenient = await bdev(['serve', '-c', file, '--lenient', '--run', 'echo $uri_Malloc1'])
    expect([lenient.status, lenient.stdout]).toEqual([0, expect.stringContaining('Malloc1')])
    expect(lenient.stderr).toContain('bdev_nope_create: no module "nope"')
    expect(lenient.stderr).toContain('bdev_malloc_create: ')
  })

  it('has only the methods that --rpcs-allowed names', async () => {
    const socket = join(tempFolder(), 'bdev.sock')
    const child = startBdev(['serve', '-r', socket, '--json', '--rpcs-allowed', 'bdev_get_bdevs,rpc_get_methods'])
    await until(child.stdout!, /\n/)
    expect(JSON.parse((await rpc(socket, 'rpc_get_methods')).stdout)).toEqual(['rpc_get_methods', 'bdev_get_bdevs'])
    expect((await rpc(socket, 'spdk_get_version')).stderr).toContain('Method not found (code -32601)')
    expect(await bdev(['serve', '-r', socket, '--rpcs-allowed', 'nope'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('there is no method "nope"'),
    })
  })
})

// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bdev, bdevHere, call, cleanup, malloc, passthru, stackFile, tempFolder } from './support.js'

/** What `bdev serve` prints when it cannot start, without the folder's name. */
async function startError(stack: string | object, ...args: string[]): Promise<string> {
  const folder = tempFolder()
  writeFileSync(join(folder, 's.json'), typeof stack === 'string' ? stack : JSON.stringify(stack))
  const { status, stdout, stderr } = await bdevHere([
    'serve',
    '-c',
    `${folder}/s.json`,
    ...(args.length > 0 ? args : ['--run', 'true']),
  ])
  expect(status).toBe(1)
  expect(stdout).toBe('')
  return stderr.replaceAll(`${folder}/`, '')
}

const config = (...lines: string[]): string =>
  ['{ "subsystems": [{ "subsystem": "bdev", "config": [', ...lines, '] }] }'].join('\n')

describe('a server that cannot start says file, line, method, cause and what to do', () => {
  it('for a method of a module that is not there', async () => {
    expect(await startError(config('  { "method": "bdev_foo_create", "params": {} }'))).toMatch(
      /^bdev: s\.json:2:3: bdev_foo_create: no module "foo" \(looked in .*package\.json\); try: npm install bdev-module-foo\n$/,
    )
  })

  it('for parameters that do not fit, those that the module refuses, and those that are not JSON', async () => {
    const texts = [
      await startError(config('{ "method": "bdev_malloc_create", "params": { "num_blocks": "x", "block_size": 512 } }')),
      await startError(
        config('', '  { "method": "bdev_malloc_create", "params": { "name": "M", "num_blocks": 8, "block_size": 513 } }'),
      ),
      await startError('{ "subsystems": [\n}'),
    ]
    expect(texts).toEqual([
      'bdev: s.json:2:1: bdev_malloc_create: "params.num_blocks": wanted type integer, found "x": ' +
        'spdk_json_decode_object failed (code -32603)\n',
      'bdev: s.json:3:3: bdev_malloc_create: malloc bdev "M": block_size must be a multiple of 512, but is 513: ' +
        'Invalid argument (code -22)\n',
      expect.stringMatching(/^bdev: s\.json:2:1: wanted .*\n$/),
    ])
  })

  it('for a file that is not there, and for one that creates nothing', async () => {
    expect(await bdevHere(['serve', '-c', 'nope.json', '--run', 'true'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^bdev: nope\.json: cannot read the configuration: ENOENT/),
    })
    expect(await startError({ subsystems: [] })).toBe(
      'bdev: NBD: there is no bdev to export; let the stack file (-c) create one, e.g. with bdev_malloc_create\n',
    )
  })

  it('for exports that cannot be: unknown, or written by the vbdev above', async () => {
    const stack = JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: [malloc('Base'), passthru('Top', 'Base')] }] })
    expect(await startError(stack, '--run', 'true', '--export', 'Nope')).toBe(
      'bdev: --export Nope: there is no such bdev; there are Base, Top\n',
    )
    const claimed = await startError(stack, '--run', 'true', '--export', 'Base')
    expect(claimed).toContain('it is under claim exclusive_write of module "passthru"; open it read-only, or use the bdev on top')
  })

  it('for sockets that somebody else serves, and leaves those alone', async () => {
    const path = join(tempFolder(), 'taken.sock')
    const other = createServer(socket => socket.end())
    await new Promise<void>(resolve => other.listen(path, resolve))
    cleanup(() => other.close())
    const stack = JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: [malloc('M')] }] })
    const texts = [await startError(stack, '--nbd', `unix:${path}`), await startError(stack, '-r', path)]
    expect(texts[0]).toBe(`bdev: nbd: cannot listen on "${path}": another server answers there; stop it or choose another path\n`)
    expect(texts[1]).toBe(
      `bdev: RPC socket "${path}": wanted to serve it, found another server that answers; stop that one or choose another path\n`,
    )
    expect(other.listening).toBe(true)
  })
})

describe('a command line that cannot be understood ends with status 2 and says what to write', () => {
  const stack = stackFile([], {}, tempFolder())
  it.each([
    [['serve'], 'bdev: nothing to serve; add --nbd unix:nbd.sock for NBD clients, -r bdev.sock for JSON-RPC, or both'],
    [['serve', '--nbd', 'nbd.sock'], 'wanted unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT.'],
    [['serve', '--nbd', `unix:${'x'.repeat(108)}`], 'a socket path has at most 107 bytes'],
    [['serve', '--nbd', 'tcp:[::]:10809'], 'this address can be reached from other machines'],
    [['serve', '--nbd', 'tcp:disk.example:1'], 'Use 127.0.0.1, or say --insecure-listen'],
    [['serve', '--stdio', '--run', 'true'], 'bdev: --stdio and --run do not go together'],
    [['serve', '-r', 'x', '--export', 'A'], 'bdev: --export: say where to serve it, with --nbd, --run or --stdio'],
    [['serve', '--run', 'true', '--export', 'A=x', '--export', 'B=x'], 'bdev: --export: two exports have one name'],
    [['perf', '-c', stack, '--bdev', 'M', '-q', '1', '-o', '4k', '-t', '1', '-w', 'trim'], 'Allowed choices are read, write,'],
    [['perf', '-c', stack, '--bdev', 'M', '-q', '0', '-o', '4k', '-t', '1', '-w', 'read'], 'wanted an integer from 1 to 65535.'],
    [['rpc', 'm', '--params', '{'], 'bdev: --params: wanted JSON'],
    [['rpc', 'm', 'size=9007199254740993'], 'bdev: size: wanted integers up to 2^53-1'],
    [['nope'], "bdev: unknown command 'nope'"],
    [[], 'Usage: bdev'],
  ])('%j', async (args, text) => {
    const { status, stdout, stderr } = await bdevHere(args)
    expect(stderr).toContain(text)
    expect(status).toBe(2)
    expect(stdout).toBe('')
  })

  it('and --help of every command ends with status 0 and shows an example', async () => {
    for (const command of ['serve', 'rpc', 'perf', 'modules']) {
      const { status, stdout } = await bdevHere([command, '--help'])
      expect(status).toBe(0)
      expect(stdout).toMatch(/Examples:\n {2}bdev /)
      expect(stdout).toContain('--json')
    }
    expect(await bdevHere(['--version'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^bdev \d+\.\d+\.\d+\n$/) })
  })
})

describe('bdev rpc', () => {
  it('says that nobody serves the socket', async () => {
    const path = join(tempFolder(), 'no.sock')
    expect(await bdevHere(['rpc', '-s', path, 'bdev_get_bdevs'])).toMatchObject({
      status: 1,
      stderr:
        `bdev: cannot connect to RPC socket "${path}": there is no such socket; ` +
        'start a server on it (bdev serve -r) or name another path\n',
    })
  })

  it('sends values as JSON where they are some, and prints the result', async () => {
    const path = join(tempFolder(), 'rpc.sock')
    const requests: unknown[] = []
    const server = createServer(socket => {
      socket.on('error', () => undefined)
      socket.on('data', chunk => {
        const { id, method, params } = JSON.parse(chunk.toString()) as { id: number; method: string; params?: unknown }
        requests.push(params)
        const end = method === 'fails' ? { error: { code: -19, message: 'No such device' } } : { result: { got: [method] } }
        socket.write(JSON.stringify({ jsonrpc: '2.0', id, ...end }))
      })
    })
    await new Promise<void>(resolve => server.listen(path, resolve))
    cleanup(() => server.close())
    const rpc = (...args: string[]) => bdevHere(['rpc', '-s', path, ...args])
    expect(await rpc('m', 'a=1', 'b=true', 'c=text', 'd="1"', 'e=x=y', 'f=[1,{"g":null}]')).toMatchObject({
      status: 0,
      stdout: '{\n  "got": [\n    "m"\n  ]\n}\n',
    })
    expect(await rpc('m', '--json')).toMatchObject({ status: 0, stdout: '{"got":["m"]}\n' })
    expect(await bdev(['rpc', '-s', path, 'fails', '--params', '-'], { stdin: '{"name": "A"}' })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'bdev: fails: No such device (code -19)\n',
    })
    expect(requests).toEqual([{ a: 1, b: true, c: 'text', d: '1', e: 'x=y', f: [1, { g: null }] }, undefined, { name: 'A' }])
  })
})

it('a stack file skips what SPDK configures and is not here, and says so', async () => {
  const nvmf = { subsystem: 'nvmf', config: [call('nvmf_create_transport', { trtype: 'TCP' })] }
  const folder = tempFolder()
  writeFileSync(join(folder, 's.json'), JSON.stringify({ subsystems: [nvmf, { subsystem: 'bdev', config: [malloc('M')] }] }))
  const { status, stderr } = await bdevHere(['serve', '-c', join(folder, 's.json'), '--run', 'exit 3'])
  expect(stderr).toContain("skipping method 'nvmf_create_transport' because its subsystem 'nvmf' is not part of this application")
  expect(status).toBe(3)
})

// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { OpenRpcDocument } from '@bdevkit/rpc'
import { describe, expect, it } from 'vitest'
import { flagsOf, methodHelp, parseMethodArgs } from '../src/rpc-args.js'
import { bdev, malloc, moduleCode, modulePackage, nullBdev, stackFile, startServer, tempFolder } from './support.js'

const { methods } = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve('@bdevkit/rpc/openrpc.json'), 'utf8'),
) as OpenRpcDocument
const lines = JSON.parse(
  readFileSync(new URL('../../../compat/formats/jsonrpc/command-lines.json', import.meta.url), 'utf8'),
) as [string, object][]
const method = (name: string) => {
  const found = methods.find(candidate => candidate.name === name)
  if (found === undefined) throw new Error(`no method ${name}`)
  return found
}
const words = (line: string) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(match => match[1] ?? (match[2] as string))
const parse = (line: string) => {
  const [name, ...args] = words(line)
  return parseMethodArgs(method(name as string), args)
}

describe('the command line of a method', () => {
  it.each(lines)('%s', (line, params) => {
    expect(parse(line).params).toEqual(params)
  })

  it('takes name=value, negative numbers, attached values, and options of the command behind the method', () => {
    expect(parse('bdev_malloc_create name=M num_blocks=8 block_size=512').params).toEqual({
      name: 'M',
      num_blocks: 8,
      block_size: 512,
    })
    expect(parse('bdev_malloc_create -bM 1 512 --numa-id -1 -n -1').params).toEqual({
      name: 'M',
      num_blocks: 2048,
      block_size: 512,
      numa_id: -1,
    })
    expect(parseMethodArgs(method('bdev_error_set_rules'), ['EE_M', 'rules=[{"io_type":"read"}]']).params).toEqual({
      name: 'EE_M',
      rules: [{ io_type: 'read' }],
    })
    expect(parse('bdev_get_iostat -s a.sock --json --timeout 5').trailing).toEqual({ socket: 'a.sock', json: true, timeout: '5' })
    // Where the method has the flag, it is the method's.
    expect(parse('bdev_split_create M 2 -s 16')).toEqual({
      params: { base_bdev: 'M', split_count: 2, split_size_mb: 16 },
      trailing: {},
    })
  })

  it.each([
    ['bdev_malloc_create 64 512 7', '"7": wanted no further argument'],
    ['bdev_malloc_create 64 --what', 'there is no flag --what'],
    ['bdev_malloc_create 64 x', 'block_size: wanted integer, found "x"'],
    ['bdev_malloc_create 64', 'num_blocks: a size in MiB needs block_size'],
    ['bdev_malloc_create -b', '-b: wanted a value behind it'],
  ])('%s is refused, with how it is called', (line, reason) => {
    expect(() => parse(line)).toThrow(`bdev_malloc_create: ${reason}`)
    expect(() => parse(line)).toThrow('usage: bdev rpc bdev_malloc_create <size_in_mib> <block_size> [-b <name>]')
  })

  it('gives every flag of a method to one parameter', () => {
    for (const described of methods) {
      const flags = described.params.flatMap(param => flagsOf(described, param))
      expect([described.name, new Set(flags).size]).toEqual([described.name, flags.length])
      for (const name of described['x-cli']?.positional ?? []) expect(described.params.map(param => param.name)).toContain(name)
      expect(methodHelp(described)).toContain(`usage: bdev rpc ${described.name}`)
    }
  })
})

describe('bdev rpc', () => {
  it('calls as rpc.py does, selects bdevs by module, and saves and loads configurations', async () => {
    const server = await startServer(stackFile([malloc('Malloc0'), nullBdev('Null0')]))
    const rpc = (...args: string[]) => bdev(['rpc', '-s', server.rpcSocket, ...args])
    expect((await rpc('bdev_malloc_create', '-b', 'Malloc1', '1', '512', '--json')).stdout).toBe('"Malloc1"\n')
    const names = JSON.parse((await rpc('bdev_get_bdevs', '-p', 'malloc')).stdout) as { name: string; num_blocks: number }[]
    expect(names.map(({ name, num_blocks }) => [name, num_blocks])).toEqual([
      ['Malloc0', 2048],
      ['Malloc1', 2048],
    ])
    expect((await rpc('bdev_get_bdevs', '--help')).stdout).toContain('usage: bdev rpc bdev_get_bdevs [-b <name>] [-t <timeout>]')
    expect((await rpc('bdev_get_bdevs', '-b', 'nope')).stderr).toBe('bdev: bdev_get_bdevs: No such device (code -19)\n')

    const saved = (await rpc('save_config')).stdout
    const file = join(server.folder, 'saved.json')
    writeFileSync(file, saved)
    const config = JSON.parse(saved) as { subsystems: { subsystem: string }[] }
    expect(config.subsystems.map(({ subsystem }) => subsystem)).toEqual([
      'scheduler',
      'sock',
      'keyring',
      'iobuf',
      'accel',
      'bdev',
      'nbd',
    ])
    expect(JSON.parse((await rpc('save_config', '-s', 'accel')).stdout).subsystems).toHaveLength(2)
    server.child.kill('SIGTERM')
    await server.child.ended

    const again = await startServer(stackFile([nullBdev('N')]), ['--wait-for-rpc'])
    const second = (...args: string[]) => bdev(['rpc', '-s', again.rpcSocket, ...args])
    const empty = join(tempFolder(), 'x.json')
    writeFileSync(empty, saved.replace('bdev_null_create', 'bdev_nope_create'))
    expect((await second('load_config', '-j', empty)).stderr).toContain(
      'the server has no method "bdev_nope_create"; nothing was called',
    )
    expect((await second('load_config', '-j', file)).stdout).toBe('true\n')
    const loaded = JSON.parse((await second('bdev_get_bdevs')).stdout) as { name: string }[]
    expect(loaded.map(({ name }) => name).sort()).toEqual(['Malloc0', 'Malloc1', 'N', 'Null0'])
  }, 30_000)

  it('asks the server how a method of its own modules is called', async () => {
    const folder = tempFolder()
    modulePackage(folder, 'letter', {
      code: moduleCode('letter').replace(
        'params: object',
        "params: { type: 'object', properties: { name: { type: 'string' } } }, cli: { positional: ['name'] }",
      ),
    })
    const server = await startServer(stackFile([malloc('Malloc0')]), ['--module', folder])
    const rpc = (...args: string[]) => bdev(['rpc', '-s', server.rpcSocket, '--json', ...args])
    expect((await rpc('bdev_letter_create', 'A')).stdout).toBe('"A"\n')
    expect(await rpc('bdev_nope_create', 'A')).toMatchObject({
      status: 1,
      stderr: 'bdev: bdev_nope_create: Method not found (code -32601)\n',
    })
  })
})

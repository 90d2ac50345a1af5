// SPDX-License-Identifier: Apache-2.0
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, vi } from 'vitest'
import { run } from '../src/program.js'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const SDK = fileURLToPath(new URL('../node_modules/@bdevkit/module-sdk', import.meta.url))

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Runs after the test, last added first. */
export function cleanup(action: () => unknown): void {
  cleanups.push(action)
}

/** A fresh folder, removed after the test. */
export function tempFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'bdevkit-cli-')))
  cleanup(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Writes files, with their folders; what is no string becomes JSON. */
export function writeFiles(folder: string, files: Record<string, unknown>): void {
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
}

/** A call of a stack file. */
export const call = (method: string, params: object): object => ({ method, params })
export const malloc = (name: string, numBlocks = 2048): object =>
  call('bdev_malloc_create', { name, num_blocks: numBlocks, block_size: 512 })
export const nullBdev = (name: string): object => call('bdev_null_create', { name, num_blocks: 2048, block_size: 512 })
export const passthru = (name: string, base: string): object => call('bdev_passthru_create', { name, base_bdev_name: base })

/** A stack file of these calls, in a fresh folder or the given one. */
export function stackFile(calls: readonly object[], more: object = {}, folder = tempFolder()): string {
  const file = join(folder, 'stack.json')
  writeFileSync(file, JSON.stringify({ ...more, subsystems: [{ subsystem: 'bdev', config: calls }] }))
  return file
}

/** A module package in `folder`: `name` in its manifest, code that answers `bdev_<name>_create` with a bdev of zeros. */
export function modulePackage(folder: string, name: string, options: { range?: string; code?: string } = {}): void {
  writeFiles(folder, {
    'package.json': {
      name: `bdev-module-${name}`,
      version: '2.1.0',
      type: 'module',
      exports: { '.': './index.js', './package.json': './package.json' },
      dependencies: { '@bdevkit/module-sdk': options.range ?? '^0.1.0' },
      bdevModule: { manifestVersion: 1, name, entry: '.' },
    },
    ...(options.code === undefined ? {} : { 'index.js': options.code }),
  })
  const scope = join(folder, 'node_modules/@bdevkit')
  mkdirSync(scope, { recursive: true })
  symlinkSync(SDK, join(scope, 'module-sdk'))
}

/** Code for {@link modulePackage}: `submit` is the body of `submitRequest(channel, io)`. */
export function moduleCode(name: string, submit = 'io.complete(IoStatus.Success)'): string {
  return `
    import { defineBdevModule, method, IoStatus, IoType } from '@bdevkit/module-sdk'
    const object = { type: 'object', additionalProperties: true }
    const fn = {
      ioTypeSupported: (disk, type) => type === IoType.Read || type === IoType.Write,
      getIoChannel: disk => disk.device.getIoChannel(),
      submitRequest(channel, io) { ${submit} },
      destruct(disk) { return disk.device.unregister() },
    }
    export default defineBdevModule({
      name: '${name}',
      sdk: '0.1',
      rpc: { bdev_${name}_create: method({ params: object }) },
      setup: host => ({
        handlers: {
          bdev_${name}_create({ name }) {
            const device = host.registerIoDevice({ name, createChannel: () => ({}) })
            host.registerBdev({
              name, productName: '${name} disk', blockSizeBytes: 512, numBlocks: 2048, ctx: { device }, fn,
            })
            return name
          },
        },
      }),
    })
  `
}

/** How a command ended. */
export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

interface BdevOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  stdin?: string
}

/** Starts `bdev`; it is killed after the test where it has not ended. */
export function startBdev(args: readonly string[], options: BdevOptions = {}): ChildProcess & { ended: Promise<Ended> } {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is not built; run npm run build`)
  // As from a shell, not as from the npm script that may run these tests: signals of npm's come twice.
  const { npm_lifecycle_event: _script, ...env } = { ...process.env, ...options.env }
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: options.cwd ?? tempFolder(), env, stdio: 'pipe' })
  child.stdin.on('error', () => undefined)
  if (options.stdin !== undefined) child.stdin.end(options.stdin)
  const status = new Promise<number | null>(resolve => {
    child.once('exit', resolve)
  })
  const all = Promise.all([status, text(child.stdout), text(child.stderr)])
  const ended = all.then(([code, stdout, stderr]) => ({ status: code, stdout, stderr }))
  cleanup(() => {
    child.kill('SIGKILL')
    return status
  })
  return Object.assign(child, { ended })
}

/** Runs `bdev` to its end. */
export function bdev(args: readonly string[], options: BdevOptions = {}): Promise<Ended> {
  return startBdev(args, { stdin: '', ...options }).ended
}

/** As {@link bdev} but in this process, which takes a tenth of the time: for what ends by itself. One at a time. */
export async function bdevHere(args: readonly string[]): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  const outSpy = vi.spyOn(process.stdout, 'write').mockImplementation(chunk => ((stdout += String(chunk)), true))
  const errSpy = vi.spyOn(process.stderr, 'write').mockImplementation(chunk => ((stderr += String(chunk)), true))
  try {
    const status = await run(args)
    return { status, stdout, stderr }
  } finally {
    outSpy.mockRestore()
    errSpy.mockRestore()
  }
}

/** What `bdev serve --json` prints. */
export interface Ready {
  readonly pid: number
  readonly rpcSocket: string | null
  readonly exports: readonly { name: string; bdev: string; sizeBytes: number; readOnly: boolean; uris: string[] }[]
}

/** A server that is ready. */
export interface Server {
  readonly child: ReturnType<typeof startBdev>
  readonly folder: string
  readonly nbdSocket: string
  readonly rpcSocket: string
  readonly ready: Ready
}

/** Starts `bdev serve` on two sockets in a fresh folder, and waits until it is ready. */
export async function startServer(stack: string, args: readonly string[] = []): Promise<Server> {
  const folder = tempFolder()
  const nbdSocket = join(folder, 'nbd.sock')
  const rpcSocket = join(folder, 'bdev.sock')
  const child = startBdev(['serve', '-c', stack, '--nbd', `unix:${nbdSocket}`, '-r', rpcSocket, '--json', ...args])
  const line = await Promise.race([
    until(child.stdout!, /^.*\n/),
    child.ended.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ])
  return { child, folder, nbdSocket, rpcSocket, ready: JSON.parse(line) as Ready }
}

/** Resolves with the match once the stream has printed it. */
export function until(stream: NodeJS.ReadableStream, pattern: RegExp): Promise<string> {
  return new Promise(resolve => {
    let seen = ''
    stream.on('data', function look(chunk: Buffer) {
      seen += chunk.toString()
      const match = pattern.exec(seen)
      if (match === null) return
      stream.off('data', look)
      resolve(match[0])
    })
  })
}

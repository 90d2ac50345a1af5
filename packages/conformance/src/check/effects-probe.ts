// SPDX-License-Identifier: Apache-2.0
// Runs in a process of its own: imports one file and tells what else happened. It prints one line of JSON, `Effect[]`.
import child_process from 'node:child_process'
import dgram from 'node:dgram'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import worker_threads from 'node:worker_threads'
import { pathToFileURL } from 'node:url'

/** Something that an import did. */
export interface Effect {
  /** `timer`, `file`, `network`, `process`, `output`, `global`, `listener`, `handle`. */
  readonly kind: string
  readonly what: string
  /** The line of foreign code that did it, where that is known. */
  readonly at?: string
}

const effects: Effect[] = []
const print = process.stdout.write.bind(process.stdout)
const quit = process.exit.bind(process)
const turn = new Promise(resolve => setImmediate(resolve))

/** The caller of a patched function, unless it is Node itself: the loaders read files, too. */
function foreignCaller(): string | undefined {
  const lines = (new Error('here').stack ?? '').split('\n').slice(3)
  const caller = lines[0] ?? ''
  if (caller === '' || caller.includes('node:')) return undefined
  return /\(?((?:file:\/\/)?[^()\s]+:\d+:\d+)\)?$/.exec(caller)?.[1] ?? caller.trim()
}

function spy(owner: object, name: string, kind: string, what: string): void {
  const methods = owner as Record<string, unknown>
  const original = methods[name]
  if (typeof original !== 'function') return
  const spied = function (this: unknown, ...args: unknown[]): unknown {
    const at = foreignCaller()
    if (at !== undefined) effects.push({ kind, what, at })
    return new.target === undefined
      ? Reflect.apply(original, this, args)
      : Reflect.construct(original, args, new.target === spied ? original as new () => unknown : new.target)
  }
  Object.defineProperties(spied, Object.getOwnPropertyDescriptors(original))
  Object.defineProperty(owner, name, { value: spied, writable: true, configurable: true, enumerable: true })
}

function spyOnAll(owner: object, kind: string, prefix: string, but: RegExp = /^$/): void {
  for (const name of Object.keys(owner)) {
    if (/^[a-z]/.test(name) && !name.startsWith('_') && !but.test(name)) spy(owner, name, kind, `${prefix}.${name}()`)
  }
}

/** What a process has once, with the number of each. */
function census(): Map<string, number> {
  const found = new Map<string, number>()
  const count = (key: string): void => void found.set(key, (found.get(key) ?? 0) + 1)
  for (const name of Reflect.ownKeys(globalThis)) count(`global\tglobalThis.${String(name)}`)
  for (const builtin of [Object, Array, Function, String, Number, Promise, Map, Set, Uint8Array, Error]) {
    for (const key of Reflect.ownKeys(builtin.prototype as object)) count(`global\t${builtin.name}.prototype.${String(key)}`)
  }
  for (const event of process.eventNames()) {
    for (let n = process.listenerCount(event); n > 0; n--) count(`listener\tprocess.on('${String(event)}')`)
  }
  for (const [name, value] of Object.entries(process.env)) count(`global\tprocess.env.${name}=${String(value)}`)
  for (const resource of process.getActiveResourcesInfo()) {
    if (!/Req(Promise|Callback)?$/.test(resource)) count(`handle\t${resource}`) // the loader's own reads, about to end
  }
  return found
}

const file = process.argv[3] as string
for (const name of ['setTimeout', 'setInterval', 'setImmediate']) spy(globalThis, name, 'timer', `${name}()`)
spyOnAll(fs, 'file', 'fs')
spyOnAll(fs.promises, 'file', 'fs.promises')
spyOnAll(child_process, 'process', 'child_process')
for (const name of ['connect', 'createConnection', 'createServer']) spy(net, name, 'network', `net.${name}()`)
spy(dgram, 'createSocket', 'network', 'dgram.createSocket()')
for (const [module, owner] of [['http', http], ['https', https]] as const) {
  for (const name of ['request', 'get', 'createServer']) spy(owner, name, 'network', `${module}.${name}()`)
}
spy(globalThis, 'fetch', 'network', 'fetch()')
spy(worker_threads, 'Worker', 'process', 'new Worker()')
spy(process.stdout, 'write', 'output', 'writing to standard output')
spy(process.stderr, 'write', 'output', 'writing to standard error')
for (const name of ['exit', 'chdir', 'kill', 'abort', 'umask']) spy(process, name, 'process', `process.${name}()`)
syncBuiltinESMExports()

const done = (problem?: string): never => {
  print(`\n${JSON.stringify({ effects, ...(problem !== undefined && { problem }) })}\n`)
  return quit(0)
}
process.on('exit', () => print(`\n${JSON.stringify({ effects })}\n`)) // it calls process.exit: the list says so
await turn
const before = census()
try {
  await import(pathToFileURL(file).href)
} catch (thrown) {
  done(thrown instanceof Error ? thrown.message : String(thrown))
}
const isOutput = (kind: string): boolean => kind === 'output'
for (const [key, count] of census()) {
  const [kind, what] = key.split('\t') as [string, string]
  // The first line of output opens a handle: that one has been told.
  const told = kind === 'handle' && (effects.some(effect => isOutput(effect.kind) || effect.kind === 'timer') || /^(TTY|Pipe)Wrap$/.test(what))
  if (count > (before.get(key) ?? 0) && !told) effects.push({ kind, what })
}
done()

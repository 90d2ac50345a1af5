// SPDX-License-Identifier: Apache-2.0
import type { OpenRpcMethod } from '@bdevkit/rpc'
import { formatTable, UsageError } from './output.js'

// The command line of one method, as SPDK's rpc.py has it: from the method's description, so that one of a module has it, too.

type Schema = OpenRpcMethod['result']['schema']
type Param = OpenRpcMethod['params'][number]

/** Options of the command itself that may stand behind the method, where the method has no such flag. */
export interface TrailingOptions {
  params?: string
  json?: boolean
  socket?: string
  timeout?: string
  help?: boolean
}

const TRAILING: Readonly<Record<string, { key: keyof TrailingOptions; takesValue: boolean }>> = {
  '--params': { key: 'params', takesValue: true },
  '--json': { key: 'json', takesValue: false },
  '--socket': { key: 'socket', takesValue: true },
  '-s': { key: 'socket', takesValue: true },
  '--timeout': { key: 'timeout', takesValue: true },
  '--help': { key: 'help', takesValue: false },
  '-h': { key: 'help', takesValue: false },
}

/** Flags of a parameter: its own, and always `--` with its name. */
export function flagsOf(method: OpenRpcMethod, { name }: Param): string[] {
  const flags = method['x-cli']?.flags?.[name]?.split(' ') ?? []
  const standard = `--${name.replaceAll('_', '-')}`
  return flags.includes(standard) ? flags : [...flags, standard]
}

/**
 * Understands what stands behind a method: its arguments and flags, `name=value`, and options of the command.
 * @throws UsageError naming what cannot be understood, and how the method is called.
 */
export function parseMethodArgs(
  method: OpenRpcMethod,
  args: readonly string[],
): { params: Record<string, unknown>; trailing: TrailingOptions } {
  return new Parser(method).parse(args)
}

/** Arguments that need no description of the method: `name=value`, and options of the command. `undefined`: there are others. */
export function parseNamed(args: readonly string[]): { pairs: string[]; trailing: TrailingOptions } | undefined {
  const pairs: string[] = []
  const trailing: TrailingOptions = {}
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string
    const [flag, inline] = splitFlag(arg)
    const known = TRAILING[flag]
    if (known?.key === 'help') return undefined
    if (known !== undefined) Object.assign(trailing, { [known.key]: known.takesValue ? (inline ?? args[++at]) : true })
    else if (arg.startsWith('-') || !arg.includes('=')) return undefined
    else pairs.push(arg)
  }
  return { pairs, trailing }
}

class Parser {
  readonly #method: OpenRpcMethod
  readonly #flags = new Map<string, Param>()
  /** `--no-…` of boolean parameters. */
  readonly #negations = new Map<string, Param>()
  readonly #given = new Map<string, string | boolean>()
  /** Given as `name=value`: a size is in blocks then. */
  readonly #asItIs = new Set<string>()
  readonly #trailing: TrailingOptions = {}
  #rest: string[] = []

  constructor(method: OpenRpcMethod) {
    this.#method = method
    for (const param of method.params) {
      for (const flag of flagsOf(method, param)) {
        this.#flags.set(flag, param)
        if (param.schema['type'] === 'boolean' && flag.startsWith('--')) this.#negations.set(`--no-${flag.slice(2)}`, param)
      }
    }
  }

  parse(args: readonly string[]): { params: Record<string, unknown>; trailing: TrailingOptions } {
    this.#rest = [...args]
    const positional = [...(this.#method['x-cli']?.positional ?? [])]
    for (let arg = this.#rest.shift(); arg !== undefined; arg = this.#rest.shift()) {
      if (/^-[^\d]/.test(arg) && arg !== '-') this.#flag(arg)
      else if (!this.#pair(arg)) {
        const name = positional.shift()
        if (name === undefined) this.#refuse(`"${arg}": wanted no further argument`)
        this.#set(this.#param(name), arg)
      }
    }
    return { params: this.#convertAll(), trailing: this.#trailing }
  }

  #flag(arg: string): void {
    const [flag, inline] = splitFlag(arg)
    const param = this.#flags.get(flag)
    const negated = this.#negations.get(flag)
    if (param?.schema['type'] === 'boolean' && inline === undefined) return this.#set(param, true)
    if (param !== undefined) return this.#set(param, inline ?? this.#value(flag))
    if (negated !== undefined) return this.#set(negated, false)
    const attached = this.#flags.get(arg.slice(0, 2))
    if (!arg.startsWith('--') && attached !== undefined && attached.schema['type'] !== 'boolean')
      return this.#set(attached, arg.slice(2))
    const trailing = TRAILING[flag]
    if (trailing === undefined) this.#refuse(`there is no flag ${flag}`)
    Object.assign(this.#trailing, { [trailing.key]: trailing.takesValue ? (inline ?? this.#value(flag)) : true })
  }

  /** `name=value` of a parameter that the method has. */
  #pair(arg: string): boolean {
    const at = arg.indexOf('=')
    const param = at <= 0 ? undefined : this.#method.params.find(({ name }) => name === arg.slice(0, at))
    if (param === undefined) return false
    this.#set(param, arg.slice(at + 1))
    this.#asItIs.add(param.name)
    return true
  }

  #value(flag: string): string {
    const value = this.#rest.shift()
    if (value === undefined) this.#refuse(`${flag}: wanted a value behind it`)
    return value
  }

  #set(param: Param, value: string | boolean): void {
    this.#given.set(param.name, value)
  }

  #param(name: string): Param {
    const param = this.#method.params.find(candidate => candidate.name === name)
    if (param === undefined)
      throw new Error(`method ${this.#method.name}: its command line names a parameter "${name}" that it does not have`)
    return param
  }

  #convertAll(): Record<string, unknown> {
    const params: Record<string, unknown> = {}
    for (const [name, value] of this.#given)
      params[name] = typeof value === 'boolean' ? value : this.#convert(this.#param(name), value)
    for (const [name, blockSizeName] of Object.entries(this.#method['x-cli']?.mebibytes ?? {})) {
      const size = this.#given.get(name)
      const blockSize = params[blockSizeName]
      // `name=value` is the parameter as it is; only an argument is in MiB.
      if (typeof size !== 'string' || this.#asItIs.has(name)) continue
      if (typeof blockSize !== 'number' || blockSize <= 0) this.#refuse(`${name}: a size in MiB needs ${blockSizeName}, above 0`)
      params[name] = Math.floor((Number(size) * 1024 * 1024) / blockSize)
    }
    return params
  }

  #convert({ name, schema }: Param, text: string): unknown {
    const inMebibytes = this.#method['x-cli']?.mebibytes?.[name] !== undefined && !this.#asItIs.has(name)
    const value = convert(inMebibytes ? { type: 'number' } : schema, text)
    if (value !== undefined) return value
    this.#refuse(`${name}: wanted ${String(schema['type'] ?? 'JSON')}, found "${text}"`)
  }

  #refuse(what: string): never {
    throw new UsageError(`${this.#method.name}: ${what}\n${methodUsage(this.#method)}`)
  }
}

function splitFlag(arg: string): [string, string | undefined] {
  const at = arg.startsWith('--') ? arg.indexOf('=') : -1
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)]
}

/** The value that `text` stands for; `undefined` where it is none of the schema's. */
function convert(schema: Schema, text: string): unknown {
  const { type, enum: values, items } = schema
  if (Array.isArray(values)) return values.find(value => String(value) === text) ?? text
  switch (type) {
    case 'string':
      return text
    case 'integer':
    case 'number': {
      const value = text.trim() === '' ? NaN : Number(text)
      return Number.isFinite(value) && (type === 'number' || Number.isSafeInteger(value)) ? value : undefined
    }
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined
    case 'array': {
      const json = parsed(text)
      if (Array.isArray(json)) return json
      const elements = text
        .split(/[\s,]+/)
        .filter(part => part !== '')
        .map(part => convert((items ?? {}) as Schema, part))
      return elements.includes(undefined) ? undefined : elements
    }
    default:
      return parsed(text) ?? (type === 'object' ? undefined : text)
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** How a method is called, in a line. */
export function methodUsage(method: OpenRpcMethod): string {
  const positional = method['x-cli']?.positional ?? []
  const words = positional.map(name => {
    const required = method.params.find(param => param.name === name)?.required === true
    const shown = method['x-cli']?.mebibytes?.[name] === undefined ? name : `${name.replace(/^num_blocks$/, 'size')}_in_mib`
    return required ? `<${shown}>` : `[${shown}]`
  })
  for (const param of method.params) {
    if (positional.includes(param.name)) continue
    const [flag] = flagsOf(method, param)
    const text = param.schema['type'] === 'boolean' ? flag : `${flag} <${param.name}>`
    words.push(param.required === true ? (text as string) : `[${text}]`)
  }
  return `usage: bdev rpc ${[method.name, ...words].join(' ')}`
}

/** Help of a method. */
export function methodHelp(method: OpenRpcMethod): string {
  const rows = method.params.map(param => {
    const at = method['x-cli']?.positional?.includes(param.name) === true ? 'argument' : flagsOf(method, param).join(', ')
    const type = Array.isArray(param.schema['enum']) ? param.schema['enum'].join('|') : String(param.schema['type'] ?? 'JSON')
    return [param.name, at, type, `${param.required === true ? '' : '(optional) '}${param.description ?? ''}`]
  })
  const table = rows.length === 0 ? [] : ['', ...formatTable(rows, '  ')]
  return [methodUsage(method), ...(method.summary === undefined ? [] : ['', method.summary]), ...table].join('\n')
}

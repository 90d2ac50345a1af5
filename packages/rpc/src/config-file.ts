// SPDX-License-Identifier: Apache-2.0
import { readFile, stat } from 'node:fs/promises'
import {
  JsonSyntaxError,
  lineAndColumn,
  parseJson,
  pathText,
  type Json,
  type JsonDocument,
  type JsonFlaw,
  type JsonObject,
} from './json-parse.js'
import { CONFIG_FILE_BYTES_MAX } from './limits.js'
import { explainFlaw } from './param-check.js'

/** One call of a configuration file. */
export interface ConfigCall {
  readonly method: string
  readonly params?: JsonObject
  /** `file:line:column` of the entry. */
  readonly where: string
  /** What stands in `params` and cannot be used, with its place; refused when the call is made. */
  readonly flaw?: { readonly where: string; readonly problem: string }
}

/** An entry: one call, or an array of calls that run at the same time. */
export interface ConfigEntry {
  readonly calls: readonly ConfigCall[]
  readonly isBatch: boolean
  /** `file:line:column`. */
  readonly where: string
}

/** One element of `subsystems`. */
export interface ConfigSubsystem {
  readonly subsystem: string
  readonly entries: readonly ConfigEntry[]
}

/** SPDK's JSON configuration, with bdevkit's optional `modules`. */
export interface ConfigFile {
  readonly path: string
  /** Packages and files of modules, as written; resolved from the file's folder. `undefined`: the file does not say. */
  readonly modules?: readonly string[]
  readonly subsystems: readonly ConfigSubsystem[]
}

/** A configuration that cannot be read, understood or carried out. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** `BDEV_E_CONFIG`, or the errno name of the file that cannot be read. */
  readonly code: string
  /** `file`, or `file:line:column`. */
  readonly where: string

  constructor(where: string, message: string, options: ErrorOptions & { readonly code?: string } = {}) {
    super(`${where}: ${message}`, options)
    this.where = where
    this.code = options.code ?? 'BDEV_E_CONFIG'
  }
}

/**
 * Reads a configuration file.
 * @throws ConfigError the file cannot be read, is larger than 64 MiB, or is no configuration; with line and column.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  let bytes: Buffer
  try {
    const { size } = await stat(path)
    if (size > CONFIG_FILE_BYTES_MAX) throw new ConfigError(path, `wanted at most ${CONFIG_FILE_BYTES_MAX} bytes, found ${size}`)
    bytes = await readFile(path)
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const { code = 'EIO', message } = cause as NodeJS.ErrnoException
    throw new ConfigError(path, `cannot read the configuration: ${message}`, { cause, code })
  }
  return parseConfig(bytes, path)
}

/**
 * Understands the text of a configuration: an object whose `subsystems` hold `{ subsystem, config }`, with comments.
 * Further members of that object are ignored, as SPDK does.
 * @throws ConfigError with line and column.
 */
export function parseConfig(source: string | Uint8Array, path: string): ConfigFile {
  let document: JsonDocument
  try {
    document = parseJson(source, { comments: true })
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    const text = typeof source === 'string' ? source : Buffer.from(source).toString('utf8')
    const { line, column } = lineAndColumn(text, error.offset)
    throw new ConfigError(`${path}:${line}:${column}`, error.message, { cause: error })
  }
  return new Reader(document, path).file()
}

class Reader {
  readonly #document: JsonDocument
  readonly #path: string
  readonly #flawsByCall = new Map<string, JsonFlaw>()

  constructor(document: JsonDocument, path: string) {
    this.#document = document
    this.#path = path
  }

  file(): ConfigFile {
    const root = this.#document.value
    if (!isObject(root)) this.#fail(0, 'JSON configuration file is not enclosed in {}')
    this.#sortFlaws()
    const modules = this.#modules(root)
    const { subsystems = [] } = root
    if (!Array.isArray(subsystems)) this.#fail(this.#at(root, 'subsystems'), "'subsystems' should be an array")
    return {
      path: this.#path,
      ...(modules === undefined ? {} : { modules }),
      subsystems: subsystems.map((subsystem, index) =>
        this.#subsystem(subsystem, this.#at(subsystems, index), ['subsystems', index]),
      ),
    }
  }

  #modules(root: JsonObject): string[] | undefined {
    const { modules } = root
    if (modules === undefined) return undefined
    if (!Array.isArray(modules)) this.#fail(this.#at(root, 'modules'), "'modules' should be an array of package names and paths")
    return modules.map((name, index) => {
      if (typeof name === 'string' && name !== '') return name
      return this.#fail(this.#at(modules, index), `'modules': wanted the name of a package or a path, found ${describe(name)}`)
    })
  }

  #subsystem(value: Json, offset: number, path: (string | number)[]): ConfigSubsystem {
    if (!isObject(value)) this.#fail(offset, `wanted an object with 'subsystem' and 'config', found ${describe(value)}`)
    this.#only(value, ['subsystem', 'config'])
    const { subsystem, config } = value
    if (typeof subsystem !== 'string') this.#fail(offset, `'subsystem': wanted a name, found ${describe(subsystem)}`)
    if (config !== null && !Array.isArray(config))
      this.#fail(offset, `'config': wanted an array or null, found ${describe(config)}`)
    return {
      subsystem,
      entries: (config ?? []).map((entry, index) =>
        this.#entry(entry, this.#at(config as Json[], index), [...path, 'config', index]),
      ),
    }
  }

  #entry(value: Json, offset: number, path: (string | number)[]): ConfigEntry {
    const where = this.#where(offset)
    if (!Array.isArray(value)) return { calls: [this.#call(value, offset, path)], isBatch: false, where }
    return { calls: value.map((call, index) => this.#call(call, this.#at(value, index), [...path, index])), isBatch: true, where }
  }

  #call(value: Json, offset: number, path: (string | number)[]): ConfigCall {
    if (!isObject(value)) this.#fail(offset, `wanted an object with 'method' and 'params', found ${describe(value)}`)
    this.#only(value, ['method', 'params'])
    const { method, params } = value
    if (typeof method !== 'string') this.#fail(offset, `'method': wanted the name of a method, found ${describe(method)}`)
    if (params !== undefined && !isObject(params))
      this.#fail(this.#at(value, 'params'), `${method}: 'params': wanted an object, found ${describe(params)}`)
    const flaw = this.#flawsByCall.get(pathText(path))
    const problem = flaw && explainFlaw({ ...flaw, path: flaw.path.slice(path.length) })
    return {
      method,
      ...(params === undefined ? {} : { params }),
      where: this.#where(offset),
      ...(flaw === undefined ? {} : { flaw: { where: this.#where(flaw.offset), problem: problem as string } }),
    }
  }

  // A flaw inside the parameters of a call matters when the call is made, and calls of subsystems we lack never are;
  // a doubled name of the frame makes the file ambiguous; anywhere else nobody reads it.
  #sortFlaws(): void {
    for (const flaw of this.#document.flaws) {
      const { path } = flaw
      const paramsAt = typeof path[4] === 'number' ? 5 : 4
      if (path[0] === 'subsystems' && path[2] === 'config' && path[paramsAt] === 'params' && path.length > paramsAt + 1) {
        const call = pathText(path.slice(0, paramsAt))
        if (!this.#flawsByCall.has(call)) this.#flawsByCall.set(call, flaw)
      } else if (flaw.kind === 'duplicate-name' && (path[0] === 'subsystems' || path[0] === 'modules')) {
        this.#fail(flaw.offset, explainFlaw(flaw))
      }
    }
  }

  #only(object: JsonObject, names: string[]): void {
    for (const name of Object.keys(object)) {
      if (!names.includes(name))
        this.#fail(this.#at(object, name), `"${name}": wanted only ${names.map(known => `'${known}'`).join(' and ')} here`)
    }
  }

  #at(container: object, member: string | number): number {
    return this.#document.memberOffsets.get(container)?.get(member) ?? 0
  }

  #where(offset: number): string {
    const { line, column } = lineAndColumn(this.#document.text, offset)
    return `${this.#path}:${line}:${column}`
  }

  #fail(offset: number, message: string): never {
    throw new ConfigError(this.#where(offset), message)
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describe(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema } from '@bdevkit/module-sdk'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { pathText, type JsonFlaw } from './json-parse.js'
import { printable } from './log.js'

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/
const SECRET_NAME = /key|psk|passw|secret/i

// The compiler compiles draft-07 itself when it is made, which takes longer than the schema of a method.
let compiler: Ajv | undefined

/** Tells whether parameters fit a schema: `undefined` when they do, otherwise what was expected and found. */
export type ParamCheck = (params: unknown) => string | undefined

/**
 * The check of a method's parameters by their draft-07 schema, compiled when it is first used: a server has some hundred
 * methods and is asked for few of them. Nothing is coerced ("2048" is no integer) and no default is filled in. Like SPDK's
 * decoder the top level refuses names it does not know, unless the schema says `additionalProperties` itself.
 * @throws Error naming the method where the schema is not one of an object; what else is wrong with it is thrown by the check.
 */
export function paramCheck(method: string, schema: JsonSchema): ParamCheck {
  const type: unknown = (schema as { readonly type?: unknown } | null)?.type
  if (type !== 'object') {
    const found = type === undefined ? 'none' : JSON.stringify(type)
    throw new Error(`method "${method}": wanted a JSON Schema of type "object" in "params", found type ${found}`)
  }
  let check: ParamCheck | undefined
  return params => (check ??= compileParamCheck(method, schema))(params)
}

/** @throws Error naming the method when the schema is no schema, or uses a keyword or format that strict ajv does not know. */
function compileParamCheck(method: string, schema: JsonSchema): ParamCheck {
  const closed = 'additionalProperties' in schema ? schema : { ...schema, additionalProperties: false }
  let validate: ValidateFunction
  try {
    compiler ??= new Ajv({ strict: true, allowUnionTypes: true, verbose: true, formats: { uuid: UUID } })
    validate = compiler.compile(closed)
    compiler.removeSchema(closed) // it would keep every schema of every host, and refuse an $id it knows
  } catch (cause) {
    throw new Error(`method "${method}": wanted a JSON Schema of draft 07 in "params", found: ${(cause as Error).message}`, {
      cause,
    })
  }
  return params => (validate(params) ? undefined : explain(validate.errors?.[0]))
}

/** The log's words for a number or name the parser could read but nothing can use. */
export function explainFlaw(flaw: JsonFlaw): string {
  const where = pathText(flaw.path)
  if (flaw.kind === 'duplicate-name') return `"${printable(where)}": wanted once, found twice`
  const limit = Number.MAX_SAFE_INTEGER
  // A key whose quotes were forgotten is a long number.
  const text = SECRET_NAME.test(where) ? `a number of ${flaw.text.length} characters` : printable(flaw.text)
  return `"${printable(where)}": wanted an integer within ±${limit} (2^53-1), found ${text}`
}

function explain(error: ErrorObject | undefined): string {
  if (error === undefined) return 'parameters do not fit the schema'
  const inside = error.instancePath
    .split('/')
    .slice(1)
    .map(step => (/^\d+$/.test(step) ? Number(step) : step.replace(/~1/g, '/').replace(/~0/g, '~')))
  const at = (name?: string) => `"${printable(pathText(['params', ...inside, ...(name === undefined ? [] : [name])]))}"`
  switch (error.keyword) {
    case 'required':
      return `${at(error.params['missingProperty'])}: wanted, not found`
    case 'additionalProperties':
      return `${at(error.params['additionalProperty'])}: no such parameter; known: ${known(error)}`
    default:
      return `${at()}: wanted ${wanted(error)}, found ${found(inside.join('.'), error)}`
  }
}

function known(error: ErrorObject): string {
  const names = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {})
  return names.length === 0 ? 'none' : names.join(', ')
}

function wanted(error: ErrorObject): string {
  switch (error.keyword) {
    case 'enum':
      return `one of ${(error.schema as unknown[]).map(value => JSON.stringify(value)).join(', ')}`
    case 'type':
      return `type ${String(error.schema)}`
    default:
      return `a value that ${error.message ?? 'fits the schema'}`
  }
}

/** A value as the log may show it: short, and never what may be a key. */
function found(name: string, error: ErrorObject): string {
  const value: unknown = error.data
  if (value === null) return 'null'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object') return 'an object'
  const secret = SECRET_NAME.test(name) || error.parentSchema?.['writeOnly'] === true
  if (typeof value !== 'string') return secret ? `a ${typeof value}` : String(value)
  if (secret) return `a string of ${value.length}`
  return `"${printable(value, 40)}"`
}

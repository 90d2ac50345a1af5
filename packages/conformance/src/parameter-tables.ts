// SPDX-License-Identifier: Apache-2.0
import type { BdevModule, JsonSchema, RpcMethodSpec } from '@bdevkit/module-sdk'

interface Property {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly default?: unknown
  readonly description?: string
}

const LIMIT_NAMES = new Map([
  [0xffff_ffff, '2^32-1'], [0x7fff_ffff, '2^31-1'], [-0x8000_0000, '-2^31'], [Number.MAX_SAFE_INTEGER, '2^53-1'],
])
const limit = (n: number): string => LIMIT_NAMES.get(n) ?? String(n)

function typeOf(property: Property): string {
  if (property.enum !== undefined) return property.enum.map(value => `\`${JSON.stringify(value)}\``).join(', ')
  const type = property.type ?? 'any'
  const { minimum, maximum } = property
  if (minimum === undefined && maximum === undefined) return type
  return `${type}, ${minimum === undefined ? 'any' : limit(minimum)} to ${maximum === undefined ? 'any' : limit(maximum)}`
}

function table(name: string, spec: RpcMethodSpec): string {
  const schema: JsonSchema = spec.params ?? {}
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Property>)
  const required = new Set((schema['required'] ?? []) as readonly string[])
  const head = `### \`${name}\`\n\n${spec.description ?? ''}.\n`
  if (properties.length === 0) return `${head}\nNo parameters.\n`
  const rows = properties.map(([key, property]) => {
    const byDefault = property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``
    const needed = required.has(key) ? 'required' : byDefault
    return `| \`${key}\` | ${typeOf(property)} | ${needed} | ${property.description ?? ''} |`
  })
  return `${head}\n| Parameter | Type | Default | Meaning |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`
}

/** The part of a module's README that its RPC schemas say, in Markdown: a test holds the README equal to it. */
export function parameterTables(module: BdevModule): string {
  const methods = Object.entries((module.rpc ?? {}) as Record<string, RpcMethodSpec>)
  return methods.map(([name, spec]) => table(name, spec)).join('\n')
}

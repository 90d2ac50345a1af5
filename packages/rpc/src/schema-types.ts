// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema } from '@bdevkit/module-sdk'
import type { OpenRpcDocument, OpenRpcMethod } from './openrpc.js'

/**
 * The TypeScript source of an interface with every method of a document: its parameters and its result, from their schemas. For
 * `RpcClient<Methods>`.
 */
export function methodsInterface(document: OpenRpcDocument, name: string): string {
  const members = document.methods.map(method => {
    const about = method.summary === undefined ? '' : `  /** ${method.summary.replaceAll('*/', '* /')} */\n`
    return `${about}  ${JSON.stringify(method.name)
      .replace(/^"(\w+)"$/, '$1')
      .replaceAll('"', "'")}: { params: ${paramsType(method)}; result: ${typeOf(method.result.schema, 2)} }`
  })
  return `export interface ${name} {\n${members.join('\n')}\n}\n`
}

function paramsType({ params }: OpenRpcMethod): string {
  if (params.length === 0) return 'undefined'
  const lines = params.map(param => {
    const about = param.description === undefined ? '' : `    /** ${param.description.replaceAll('*/', '* /')} */\n`
    return `${about}    ${param.name}${param.required === true ? '' : '?'}: ${typeOf(param.schema, 4)}`
  })
  const optional = params.some(({ required }) => required === true) ? '' : ' | undefined'
  return `{\n${lines.join('\n')}\n  }${optional}`
}

/** The type of what fits a schema; `unknown` for what the schema does not say. */
function typeOf(schema: JsonSchema, indent: number): string {
  const { type, enum: values, const: value, items, properties, additionalProperties, required, anyOf, oneOf } = schema
  if (Array.isArray(values)) return values.map(literal).join(' | ')
  if (value !== undefined) return literal(value)
  for (const alternatives of [anyOf, oneOf]) {
    if (Array.isArray(alternatives))
      return [...new Set(alternatives.map(one => typeOf({ type, ...(one as JsonSchema) }, indent)))].join(' | ')
  }
  if (Array.isArray(type)) return type.map(one => typeOf({ ...schema, type: one as string }, indent)).join(' | ')
  switch (type) {
    case 'integer':
    case 'number':
      return 'number'
    case 'string':
    case 'boolean':
    case 'null':
      return type
    case 'array': {
      const item = items === undefined ? 'unknown' : typeOf(items as JsonSchema, indent)
      return / [|&] /.test(item) && !item.endsWith('}') ? `(${item})[]` : `${item}[]`
    }
    case 'object':
      return objectType(
        properties as Record<string, JsonSchema> | undefined,
        additionalProperties,
        (required ?? []) as string[],
        indent,
      )
    default:
      return 'unknown'
  }
}

function objectType(
  properties: Record<string, JsonSchema> | undefined,
  additional: unknown,
  required: string[],
  indent: number,
): string {
  if (properties === undefined) {
    return `Record<string, ${typeof additional === 'object' && additional !== null ? typeOf(additional as JsonSchema, indent) : 'unknown'}>`
  }
  const pad = ' '.repeat(indent + 2)
  const lines = Object.entries(properties).map(
    ([name, schema]) => `${pad}${name}${required.includes(name) ? '' : '?'}: ${typeOf(schema, indent + 2)}`,
  )
  return `{\n${lines.join('\n')}\n${' '.repeat(indent)}}`
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'` : JSON.stringify(value)
}

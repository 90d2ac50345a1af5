// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema, RpcCli } from '@bdevkit/module-sdk'
import type { OpenRpcContent, OpenRpcDocument, OpenRpcMethod } from './openrpc.js'

/** The reference of a document's methods, in Markdown. */
export function openRpcPage({ methods }: OpenRpcDocument): string {
  const rows = methods.map(({ name, summary = '' }) => `| [\`${name}\`](#${anchor(name)}) | ${cell(summary)} |`)
  return ['| Method | |', '| --- | --- |', ...rows, '', ...methods.flatMap(section)].join('\n')
}

const STATES = { startup: 'before initialisation only', runtime: '', any: 'before initialisation, too' }

function section(method: OpenRpcMethod): string[] {
  const { name, summary, params, result, errors, 'x-states': states, 'x-cli': cli } = method
  const lines = [`## ${name}`, '']
  const notes = [summary, STATES[states] === '' ? undefined : `Callable ${STATES[states]}.`].filter(note => note !== undefined)
  if (notes.length > 0) lines.push(notes.join(' '), '')
  if (params.length > 0) {
    lines.push('| Parameter | Type | On the command line | |', '| --- | --- | --- | --- |')
    for (const param of params) {
      const must = param.required === true ? '' : ' (optional)'
      lines.push(
        `| \`${param.name}\`${must} | ${cell(typeText(param.schema))} | ${cell(spelling(param, cli))} | ${cell(param.description ?? '')} |`,
      )
    }
    lines.push('')
    const [error] = errors
    if (error !== undefined) lines.push(`Parameters that do not fit: ${error.code}, \`${error.message}\`.`, '')
  }
  const answer = typeText(result.schema)
  if (answer !== '') lines.push(`Answers: ${answer}.`, '')
  return lines
}

function spelling({ name }: OpenRpcContent, cli: RpcCli | undefined): string {
  const at = cli?.positional?.indexOf(name) ?? -1
  const unit = cli?.mebibytes?.[name] === undefined ? '' : ', in MiB'
  if (at >= 0) return `argument ${at + 1}${unit}`
  const flags = cli?.flags?.[name]?.split(' ') ?? []
  if (!flags.some(flag => flag.startsWith('--'))) flags.push(`--${name.replaceAll('_', '-')}`)
  return flags.map(flag => `\`${flag}\``).join(', ') + unit
}

function typeText(schema: JsonSchema): string {
  const { type, enum: values, items, minimum, maximum, format, maxItems } = schema
  if (Array.isArray(values)) return values.map(value => `\`${JSON.stringify(value)}\``).join(', ')
  if (type === 'array') {
    const item = items === undefined ? '' : typeText(items as JsonSchema)
    return `array${item === '' ? '' : ` of ${item}`}${maxItems === undefined ? '' : `, at most ${String(maxItems)}`}`
  }
  if (type === undefined) return ''
  const range = minimum === undefined && maximum === undefined ? '' : ` from ${String(minimum ?? '')} to ${bound(maximum)}`
  return `${Array.isArray(type) ? type.join(' or ') : String(type)}${format === undefined ? '' : ` (${String(format)})`}${range}`
}

function bound(maximum: unknown): string {
  if (maximum === Number.MAX_SAFE_INTEGER) return '2^53-1'
  if (maximum === 0xffff_ffff) return '2^32-1'
  return maximum === undefined ? '2^53-1' : String(maximum as number)
}

function anchor(name: string): string {
  return name.replaceAll('.', '')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

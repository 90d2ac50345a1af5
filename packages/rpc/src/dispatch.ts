// SPDX-License-Identifier: Apache-2.0
import { JSONRPC_INTERNAL_ERROR, JSONRPC_INVALID_REQUEST, reasonText, type RpcErrorObject } from './errors.js'
import { parseJson, type Json, type JsonDocument, type JsonFlaw, type JsonObject } from './json-parse.js'
import { REQUEST_VALUES_MAX, RESPONSE_BYTES_MAX } from './limits.js'
import type { RpcOutcome, RpcRegistry } from './registry.js'

/**
 * Takes the answer to one top-level value: its text with the newline at its end, or `undefined` when nothing is to be sent.
 * Called exactly once per value, perhaps before {@link dispatch} returns.
 */
export type Respond = (text: string | undefined) => void

const INVALID_REQUEST: RpcErrorObject = { code: JSONRPC_INVALID_REQUEST, message: 'Invalid request' }
const NO_ID = 'null'
const MEMBERS = new Set(['jsonrpc', 'id', 'method', 'params'])

/**
 * Parses one top-level value and runs the request or batch in it.
 * @throws JsonSyntaxError when it is no JSON, or has too many values: SPDK closes the connection without an answer.
 */
export function dispatch(registry: RpcRegistry, bytes: Uint8Array, respond: Respond): void {
  const document = parseJson(bytes, { valuesMax: REQUEST_VALUES_MAX })
  const { value } = document
  if (!Array.isArray(value)) {
    return runOne(registry, document, value, 0, 0, text => respond(text === undefined ? undefined : `${text}\n`))
  }
  if (value.length === 0) return respond(`${errorText(NO_ID, INVALID_REQUEST)}\n`)
  runBatch(registry, document, value, respond)
}

/** Dispatches the elements in order; answers stand in the order of completion. */
function runBatch(registry: RpcRegistry, document: JsonDocument, requests: Json[], respond: Respond): void {
  const texts: string[] = []
  let lengthSum = 0
  let open = requests.length
  requests.forEach((request, index) => {
    runOne(registry, document, request, index, 1, text => {
      if (text !== undefined && lengthSum + text.length <= RESPONSE_BYTES_MAX) {
        texts.push(text)
        lengthSum += text.length + 1
      } else if (text !== undefined) {
        registry.log.error(`batch: an answer is left out, the response would be longer than ${RESPONSE_BYTES_MAX} bytes`)
      }
      if (--open === 0) respond(texts.length === 0 ? undefined : `[${texts.join(',')}]\n`)
    })
  })
}

/** Runs one request object. `depth` is how many steps of a flaw's path lead to it: 0 at top level, 1 in a batch. */
function runOne(
  registry: RpcRegistry,
  document: JsonDocument,
  request: Json,
  index: number,
  depth: number,
  respond: Respond,
): void {
  const flaws = flawsOf(document, index, depth)
  const envelope = readEnvelope(request, flaws, depth, document.idTexts.get(index))
  if (envelope.method === undefined) return respond(errorText(envelope.idText, INVALID_REQUEST))
  const inParams = flaws.filter(flaw => flaw.path[depth] === 'params').map(flaw => ({ ...flaw, path: flaw.path.slice(depth) }))
  registry.invoke(envelope.method, envelope.params, inParams, outcome => {
    respond(responseText(registry, envelope.method as string, envelope.idText, outcome))
  })
}

function flawsOf(document: JsonDocument, index: number, depth: number): readonly JsonFlaw[] {
  if (depth === 0 || document.flaws.length === 0) return document.flaws
  return document.flaws.filter(flaw => flaw.path[0] === index)
}

interface Envelope {
  /** JSON text of the id, `null` for none. */
  readonly idText: string
  /** `undefined`: the request is invalid. */
  readonly method?: string
  readonly params?: JsonObject | Json[]
}

// SPDK looks at version, method and id before params, and knows the id only from there on: of all invalid requests only
// one with bad params is answered under its own id.
function readEnvelope(request: Json, flaws: readonly JsonFlaw[], depth: number, idNumber: string | undefined): Envelope {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) return { idText: NO_ID }
  const { jsonrpc, id, method, params } = request
  const twice = flaws.some(flaw => flaw.kind === 'duplicate-name' && flaw.path.length === depth + 1)
  if (twice || Object.keys(request).some(name => !MEMBERS.has(name))) return { idText: NO_ID }
  if ((jsonrpc !== undefined && jsonrpc !== '2.0') || typeof method !== 'string') return { idText: NO_ID }
  if (id !== undefined && id !== null && typeof id !== 'string' && typeof id !== 'number') return { idText: NO_ID }
  const idText = typeof id === 'number' ? (idNumber as string) : typeof id === 'string' ? asciiJson(id) : NO_ID
  if (params === undefined || params === null) return { idText, method }
  if (typeof params !== 'object') return { idText }
  return { idText, method, params }
}

/** A request without id, or with id null, is a notification: success is silent, errors are sent all the same. */
function responseText(registry: RpcRegistry, method: string, idText: string, outcome: RpcOutcome): string | undefined {
  if ('error' in outcome) return errorText(idText, outcome.error)
  if (idText === NO_ID) return undefined
  let problem: string
  try {
    const result = asciiJson(outcome.result)
    if (result.length <= RESPONSE_BYTES_MAX) return `{"jsonrpc":"2.0","id":${idText},"result":${result}}`
    problem = `${result.length} bytes of result, wanted at most ${RESPONSE_BYTES_MAX}`
  } catch (thrown) {
    problem = reasonText(thrown)
  }
  registry.log.error(`${method}: its result cannot be sent: ${problem}`)
  return errorText(idText, { code: JSONRPC_INTERNAL_ERROR, message: 'Internal error' })
}

function errorText(idText: string, error: RpcErrorObject): string {
  return `{"jsonrpc":"2.0","id":${idText},"error":{"code":${error.code},"message":${asciiJson(error.message)}}}`
}

/** JSON as SPDK writes it: everything beyond printable ASCII escaped, in capitals. */
function asciiJson(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new TypeError(`a ${typeof value} is no JSON value`)
  return text.replace(/[\u007f-\uffff]/g, char => `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
}

// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from 'node:net'
import { reasonText, RpcCallError, type RpcErrorObject } from './errors.js'
import { JsonSplitter } from './json-splitter.js'
import { RESPONSE_BYTES_MAX } from './limits.js'

/** Methods a client knows, by name: type its parameters and results with an interface of this shape. */
export type RpcMethods = { [method: string]: { params: any; result: any } }

type Params<Methods, Name extends keyof Methods> = Methods[Name] extends { params: infer P } ? P : never
type Result<Methods, Name extends keyof Methods> = Methods[Name] extends { result: infer R } ? R : never

/** Options of {@link RpcClient.connect}. */
export interface RpcClientOptions {
  /** Default time for connecting and for each answer, milliseconds; 0 waits for ever. Default 60000, as SPDK's client. */
  readonly timeoutMs?: number
}

/** Options of one call. */
export interface RpcCallOptions {
  /** Time for the answer, milliseconds; 0 waits for ever. */
  readonly timeoutMs?: number
}

/** One request of a batch. */
export interface RpcBatchCall {
  readonly method: string
  readonly params?: object
}

/** One end of a batch's request. */
export type RpcBatchResult = { readonly result: unknown } | { readonly error: RpcCallError }

/** The connection failed: `code` is an errno name, ETIMEDOUT for an answer that did not come, or BDEV_E_JSON. */
export class RpcConnectionError extends Error {
  override readonly name = 'RpcConnectionError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

interface Answer {
  readonly id?: unknown
  readonly result?: unknown
  readonly error?: RpcErrorObject
}

interface Waiter {
  readonly method: string
  settle(answer: Answer | RpcConnectionError): void
}

const TIMEOUT_MS = 60_000
// A batch of answers may hold several that are each as long as a server sends.
const ANSWER_BYTES_MAX = 2 * RESPONSE_BYTES_MAX

/**
 * A client of SPDK's JSON-RPC socket, ours or SPDK's own. Calls may run at the same time; answers are matched by id.
 * `Methods` types names, parameters and results; without it every name is allowed.
 */
export class RpcClient<Methods extends object = RpcMethods> {
  readonly #socket: Socket
  readonly #path: string
  readonly #timeoutMs: number
  readonly #waiters = new Map<number, Waiter>()
  readonly #splitter = new JsonSplitter({ valueBytesMax: ANSWER_BYTES_MAX })
  #lastId = 0
  #failure: RpcConnectionError | undefined

  private constructor(socket: Socket, path: string, timeoutMs: number) {
    this.#socket = socket
    this.#path = path
    this.#timeoutMs = timeoutMs
    socket.on('data', chunk => this.#received(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? 'EIO', error.message))
    socket.on('close', () => this.#fail('ECONNRESET', 'the server closed the connection; its log may say why'))
  }

  /**
   * Connects to the socket at `path`.
   * @throws RpcConnectionError ENOENT, ECONNREFUSED nobody serves the path; EACCES it is another user's; ETIMEDOUT.
   */
  static connect<Methods extends object = RpcMethods>(path: string, options: RpcClientOptions = {}): Promise<RpcClient<Methods>> {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      const fail = (code: string, cause?: Error) => {
        clearTimeout(timer)
        socket.destroy()
        reject(new RpcConnectionError(code, `cannot connect to RPC socket "${path}": ${advice(code, cause)}`, { cause }))
      }
      const timer = timeoutMs > 0 ? setTimeout(() => fail('ETIMEDOUT'), timeoutMs) : undefined
      socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'EIO', error))
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.removeAllListeners('error')
        resolve(new RpcClient<Methods>(socket, path, timeoutMs))
      })
    })
  }

  /**
   * Calls a method.
   * @throws RpcCallError the server's error answer; RpcConnectionError the connection failed, or ETIMEDOUT (the server may
   * still carry the request out).
   */
  call<Name extends keyof Methods & string>(
    method: Name,
    params?: Params<Methods, Name>,
    options: RpcCallOptions = {},
  ): Promise<Result<Methods, Name>> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#wait(method, [id], options, answers => {
        const answer = answers instanceof RpcConnectionError ? answers : (answers.get(id) as Answer)
        if (answer instanceof RpcConnectionError) reject(answer)
        else if (answer.error !== undefined) reject(new RpcCallError(method, answer.error))
        else resolve(answer.result as Result<Methods, Name>)
      })
      this.#send({ jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) })
    })
  }

  /** Sends a request that gets no answer unless it fails, and then nobody learns of it. */
  notify<Name extends keyof Methods & string>(method: Name, params?: Params<Methods, Name>): void {
    this.#send({ jsonrpc: '2.0', method, ...(params === undefined ? {} : { params }) })
  }

  /**
   * Sends several requests in one array; they start in order and run at the same time. Results stand in the order of the calls.
   * @throws RpcConnectionError as {@link call}; an error answer is a member of the result.
   */
  batch(calls: readonly RpcBatchCall[], options: RpcCallOptions = {}): Promise<RpcBatchResult[]> {
    if (calls.length === 0) return Promise.resolve([])
    const ids = calls.map(() => ++this.#lastId)
    return new Promise((resolve, reject) => {
      this.#wait(`batch of ${calls.length}`, ids, options, answers => {
        if (answers instanceof RpcConnectionError) return reject(answers)
        resolve(
          calls.map(({ method }, index) => {
            const { error, result } = answers.get(ids[index] as number) as Answer
            return error === undefined ? { result } : { error: new RpcCallError(method, error) }
          }),
        )
      })
      this.#send(calls.map((call, index) => ({ jsonrpc: '2.0', id: ids[index], ...call })))
    })
  }

  /** Closes the connection; calls without an answer fail with ECONNRESET. */
  close(): Promise<void> {
    return new Promise(resolve => {
      if (this.#socket.closed) return resolve()
      this.#socket.once('close', () => resolve())
      this.#fail('ECONNRESET', 'closed by this client')
    })
  }

  /** Waits until each of `ids` has its answer, or the connection or the time ends. */
  #wait(
    what: string,
    ids: number[],
    options: RpcCallOptions,
    done: (end: Map<number, Answer> | RpcConnectionError) => void,
  ): void {
    if (this.#failure !== undefined) return done(this.#failure)
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs
    const answers = new Map<number, Answer>()
    const end = (result: Map<number, Answer> | RpcConnectionError) => {
      clearTimeout(timer)
      for (const id of ids) this.#waiters.delete(id)
      done(result)
    }
    const timer =
      timeoutMs > 0
        ? setTimeout(() => {
            const found = `wanted an answer within ${timeoutMs} ms, found none; the server may still be at work`
            end(new RpcConnectionError('ETIMEDOUT', `RPC socket "${this.#path}": ${what}: ${found}`))
          }, timeoutMs)
        : undefined
    for (const id of ids) {
      const settle = (answer: Answer | RpcConnectionError) => {
        if (answer instanceof RpcConnectionError) return end(answer)
        answers.set(id, answer)
        if (answers.size === ids.length) end(answers)
      }
      this.#waiters.set(id, { method: what, settle })
    }
  }

  #send(message: object): void {
    if (this.#failure === undefined) this.#socket.write(`${JSON.stringify(message)}\n`)
  }

  #received(chunk: Buffer): void {
    try {
      this.#splitter.push(chunk, bytes => {
        const value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as
          Answer | Answer[]
        for (const answer of Array.isArray(value) ? value : [value]) {
          // Errors without id belong to notifications, or to requests this client never sends.
          if (typeof answer.id === 'number') this.#waiters.get(answer.id)?.settle(answer)
        }
      })
    } catch (error) {
      this.#fail('BDEV_E_JSON', `wanted JSON-RPC answers: ${reasonText(error)}`)
    }
  }

  #fail(code: string, reason: string): void {
    this.#failure ??= new RpcConnectionError(code, `RPC socket "${this.#path}": ${reason}`)
    for (const waiter of [...this.#waiters.values()]) waiter.settle(this.#failure)
    this.#socket.destroy()
  }
}

function advice(code: string, cause: Error | undefined): string {
  switch (code) {
    case 'ENOENT':
      return 'there is no such socket; start a server on it (bdev serve -r) or name another path'
    case 'ECONNREFUSED':
      return 'nobody listens there any more; start the server again'
    case 'EACCES':
      return 'it belongs to another user; run as the user that started the server'
    case 'ETIMEDOUT':
      return 'the server did not accept in time; it may be busy or serve as many clients as it can'
    default:
      return cause?.message ?? code
  }
}

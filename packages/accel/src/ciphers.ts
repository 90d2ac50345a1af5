// SPDX-License-Identifier: Apache-2.0

/** AES in ECB mode without padding, made once per key and direction and used for ever: the part of AES-XTS that needs AES. */
export interface EcbCipher {
  /** Transforms whole cipher blocks of 16 bytes, `data`, into `dst` from `dstOff` on. Both may lie in shared memory, apart. */
  update(data: Uint8Array, dst: Uint8Array, dstOff: number): void
}

/** Where AES comes from. */
export interface CipherProvider {
  /** `key`: 16 or 32 bytes; the provider copies what it keeps of it. */
  createEcb(key: Uint8Array, direction: 'encrypt' | 'decrypt'): EcbCipher
}

interface NodeCipher {
  setAutoPadding(on: boolean): unknown
  update(data: Uint8Array): Uint8Array
}

/** What is used of node:crypto. */
interface NodeCrypto {
  createSecretKey(key: Uint8Array): object
  createCipheriv(algorithm: string, key: object, iv: null): NodeCipher
  createDecipheriv(algorithm: string, key: object, iv: null): NodeCipher
}

interface Detachable {
  readonly byteLength: number
  /** Node 22 and later. */
  transfer?(newLength: number): unknown
}

/** Somewhere to send memory to: nobody listens. */
interface Port {
  postMessage(message: null, transfer: Detachable[]): void
  close(): void
}

/**
 * How to let go of memory that Node has allocated for a result. Left to the garbage collector, megabytes of it pile up, the
 * collector comes often, and each result lies in memory that no cache holds: a third of the time of AES. What is sent to
 * a closed port leaves its sender as the standard says, and is freed.
 */
function releaser(): (result: Uint8Array) => void {
  const { MessageChannel } = globalThis as unknown as { MessageChannel?: new () => { readonly port1: Port } }
  let port: Port | undefined
  if (!('transfer' in ArrayBuffer.prototype) && MessageChannel !== undefined) {
    port = new MessageChannel().port1
    port.close()
  }
  const list: Detachable[] = []
  return result => {
    const buffer: Detachable = result.buffer
    if (buffer.byteLength !== result.byteLength) return
    if (port === undefined) {
      buffer.transfer?.(0)
      return
    }
    list[0] = buffer
    port.postMessage(null, list)
  }
}

/**
 * The AES of the process: OpenSSL's, by way of Node's built-in module; `undefined` where there is no such process, as in
 * a browser. It is asked of the process and not imported, so that this package loads, and is bundled, anywhere.
 */
export function builtinCiphers(): CipherProvider | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(id: string): unknown } }
  const crypto = process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined
  if (crypto === undefined) return undefined
  const release = releaser()
  return {
    createEcb(key, direction) {
      const algorithm = `aes-${key.length * 8}-ecb`
      // A KeyObject: with raw bytes each use costs ten times as much on Node 24.
      const secret = crypto.createSecretKey(key)
      const cipher =
        direction === 'encrypt'
          ? crypto.createCipheriv(algorithm, secret, null)
          : crypto.createDecipheriv(algorithm, secret, null)
      cipher.setAutoPadding(false)
      return {
        update(data, dst, dstOff) {
          const result = cipher.update(data)
          dst.set(result, dstOff)
          release(result)
        },
      }
    },
  }
}

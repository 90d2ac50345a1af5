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

/**
 * Lets go of memory that Node has allocated for one result. Without this megabytes of it wait for the garbage collector,
 * which then comes often, and each result lies in memory that no cache holds: a third of the time of AES.
 */
function release(result: Uint8Array): void {
  const buffer: Detachable = result.buffer
  if (buffer.byteLength === result.byteLength) buffer.transfer?.(0)
}

/**
 * The AES of the process: OpenSSL's, by way of Node's built-in module; `undefined` where there is no such process, as in
 * a browser. It is asked of the process and not imported, so that this package loads, and is bundled, anywhere.
 */
export function builtinCiphers(): CipherProvider | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(id: string): unknown } }
  const crypto = process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined
  if (crypto === undefined) return undefined
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

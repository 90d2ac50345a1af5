// SPDX-License-Identifier: Apache-2.0

/** AES in ECB mode without padding, made once per key and direction and used for ever: the part of AES-XTS that needs AES. */
export interface EcbCipher {
  /** Transforms whole cipher blocks of 16 bytes; the result is new memory. `data` may lie in shared memory. */
  update(data: Uint8Array): Uint8Array
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
      return cipher
    },
  }
}

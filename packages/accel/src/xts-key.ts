// SPDX-License-Identifier: Apache-2.0
import type { CipherProvider, EcbCipher } from './ciphers.js'

/**
 * How the number of a data unit becomes its tweak: index of SPDK's enum spdk_accel_crypto_tweak_mode. From
 * {@link INCR_512_FIRST} on a data unit has 512 bytes whatever the block size is.
 */
export const INCR_512_FIRST = 2
const UNIT_512_BYTES = 512
/** A cipher block. */
const CIPHER_BLOCK_BYTES = 16

/** A key of AES-XTS, ready for use. Its bytes live in the ciphers alone. */
export class XtsKey {
  /** Index into SPDK's tweak modes. */
  readonly tweakMode: number
  /** Encrypts tweaks (Key2 of IEEE 1619). */
  readonly tweakCipher: EcbCipher
  readonly encryptCipher: EcbCipher
  readonly decryptCipher: EcbCipher

  /** `key` and `key2`: 16 or 32 bytes each. */
  constructor(provider: CipherProvider, key: Uint8Array, key2: Uint8Array, tweakMode: number) {
    this.tweakMode = tweakMode
    this.tweakCipher = provider.createEcb(key2, 'encrypt')
    this.encryptCipher = provider.createEcb(key, 'encrypt')
    this.decryptCipher = provider.createEcb(key, 'decrypt')
  }

  /** Bytes that share one tweak, for blocks of that size; `undefined` where XTS without ciphertext stealing cannot cut them. */
  unitBytes(blockSizeBytes: number): number | undefined {
    const unit = this.tweakMode >= INCR_512_FIRST ? UNIT_512_BYTES : blockSizeBytes
    return blockSizeBytes > 0 && blockSizeBytes % unit === 0 && unit % CIPHER_BLOCK_BYTES === 0 ? unit : undefined
  }
}

// SPDX-License-Identifier: Apache-2.0
import { XtsChannel, XtsEngine, XtsKey, type Accel, type CipherProvider, type CryptoOpStat } from '@bdevkit/accel'
import type { CryptoKey, CryptoKeyParams, CryptoKeys as SdkCryptoKeys, RpcCall, Thread } from '@bdevkit/module-sdk'
import { BdevError, TWEAK_MODES } from '@bdevkit/module-sdk'
import { describeThrown } from '../log.js'

/** Length of a key's hexadecimal text at most (`SPDK_ACCEL_CRYPTO_KEY_MAX_HEX_LENGTH` counts the end of the string too). */
const HEX_LENGTH_MAX = 256
/** Bytes of one half of a key of AES-128-XTS and AES-256-XTS. */
const KEY_SIZES_BYTES: readonly number[] = [16, 32]

/** What the keys need of their host. */
export interface CryptoKeysOptions {
  readonly accel: Accel
  /** AES; `null` where there is none. */
  readonly ciphers: CipherProvider | null
  /** The thread that a channel is made for. */
  currentThread(): Thread
  /** Told what a cipher or a callback throws. */
  reportThrow(where: string, thrown: unknown): void
}

/** A key. Its texts are private, so that nothing that prints the host prints them. */
class KeyRecord {
  readonly name: string
  readonly xts: XtsKey
  /** Who holds it, as they named themselves; one entry for each hold. */
  readonly holders: string[] = []
  readonly #params: CryptoKeyParams

  constructor(params: CryptoKeyParams, xts: XtsKey) {
    this.name = params.name
    this.xts = xts
    this.#params = params
  }

  /** The parameters that make it again, its bytes among them, in SPDK's order. */
  toParams(): Record<string, string> {
    const { name, cipher, key, key2, tweak_mode } = this.#params
    return {
      name,
      cipher,
      key,
      ...(key2 === undefined ? {} : { key2 }),
      ...(tweak_mode === undefined ? {} : { tweak_mode }),
    }
  }
}

/** A hold on a key. */
class HeldKey implements CryptoKey {
  readonly name: string
  readonly #key: KeyRecord
  readonly #holder: string
  readonly #makeChannel: (key: KeyRecord, blockSizeBytes: number) => XtsChannel
  #released = false

  constructor(key: KeyRecord, holder: string, makeChannel: (key: KeyRecord, blockSizeBytes: number) => XtsChannel) {
    this.name = key.name
    this.#key = key
    this.#holder = holder
    this.#makeChannel = makeChannel
    key.holders.push(holder)
  }

  channel(blockSizeBytes: number): XtsChannel {
    if (this.#released) {
      throw new BdevError('EBADF', `${this.#holder}: wanted a channel of crypto key "${this.name}", which it gave back`)
    }
    return this.#makeChannel(this.#key, blockSizeBytes)
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#key.holders.splice(this.#key.holders.indexOf(this.#holder), 1)
  }
}

/**
 * The keys of a host (`lib/accel`'s keyring): made by the operator, used by modules by name, saved with the configuration.
 * Their bytes are in `keysJson` and `configJson`, as SPDK has it, and nowhere else: in no error and no message.
 */
export class CryptoKeys implements SdkCryptoKeys {
  readonly #options: CryptoKeysOptions
  readonly #keys = new Map<string, KeyRecord>()
  #engine: XtsEngine | null = null

  /** The keys of one host; none yet. @internal */
  constructor(options: CryptoKeysOptions) {
    this.#options = options
  }

  /** Whether keys can be made: whether anything here does AES. */
  get available(): boolean {
    return this.#options.ciphers !== null
  }

  /** Bytes of the heap that encryption keeps, from the first key on. */
  get scratchBytes(): number {
    return this.#engine?.scratchBytes ?? 0
  }

  /** Counters of encryptions and decryptions; all zero before the first key. */
  get stats(): { readonly encrypt: CryptoOpStat; readonly decrypt: CryptoOpStat } {
    const none = { executed: 0, failed: 0, numBytes: 0 }
    return { encrypt: this.#engine?.encrypted ?? none, decrypt: this.#engine?.decrypted ?? none }
  }

  create(params: CryptoKeyParams): void {
    const { ciphers } = this.#options
    const who = `crypto key "${params.name}"`
    if (ciphers === null) {
      throw new BdevError('ENOENT', `${who}: wanted AES, found no node:crypto in this process; give createHost ciphers`)
    }
    const tweakMode = TWEAK_MODES.indexOf(params.tweak_mode ?? 'SIMPLE_LBA')
    if (tweakMode < 0) throw new BdevError('EINVAL', `${who}: wanted tweak_mode to be one of ${TWEAK_MODES.join(', ')}`)
    if (params.cipher !== 'AES_XTS') {
      throw new BdevError('EINVAL', `${who}: wanted cipher AES_XTS, found ${JSON.stringify(params.cipher)}`)
    }
    const key = bytesOf(`${who}: key`, params.key)
    const key2 = bytesOf(`${who}: key2`, params.key2)
    try {
      if (key.length !== key2.length) {
        throw new BdevError('EINVAL', `${who}: wanted key and key2 of one length, found ${key.length} and ${key2.length} bytes`)
      }
      if (equal(key, key2)) {
        throw new BdevError('EINVAL', `${who}: key and key2 are equal, which is not secure; draw both at random`)
      }
      if (this.#keys.has(params.name)) {
        throw new BdevError('EEXIST', `${who}: there is a key of that name; choose another or destroy it`)
      }
      this.#makeEngine(who)
      this.#keys.set(params.name, new KeyRecord({ ...params }, new XtsKey(ciphers, key, key2, tweakMode)))
    } finally {
      key.fill(0)
      key2.fill(0)
    }
  }

  has(name: string): boolean {
    return this.#keys.has(name)
  }

  hold(name: string, holder: string): CryptoKey {
    return new HeldKey(this.#find(name, holder), holder, (key, blockSizeBytes) => this.#channel(key, blockSizeBytes))
  }

  destroy(name: string): void {
    const { holders } = this.#find(name, 'destroy')
    if (holders.length > 0) {
      const use = holders.length === 1 ? 'uses' : 'use'
      throw new BdevError('EBUSY', `destroy of crypto key "${name}": ${holders.join(', ')} ${use} it; delete that first`)
    }
    this.#keys.delete(name)
  }

  /**
   * The keys with their bytes, or the one of that name, as `accel_crypto_keys_get` answers.
   * @throws BdevError ENOENT no such key.
   */
  keysJson(name?: string): Record<string, string>[] {
    const keys = name === undefined ? [...this.#keys.values()] : [this.#find(name, 'crypto keys')]
    return keys.map(key => key.toParams())
  }

  /** Calls that bring the keys back, with their bytes as SPDK has it: keep what is made of them from strangers. */
  configJson(): RpcCall[] {
    return this.keysJson().map(params => ({ method: 'accel_crypto_key_create', params }))
  }

  #find(name: string, who: string): KeyRecord {
    const key = this.#keys.get(name)
    if (key === undefined) {
      throw new BdevError('ENOENT', `${who}: there is no crypto key "${name}"; make it with accel_crypto_key_create`)
    }
    return key
  }

  #makeEngine(who: string): XtsEngine {
    try {
      return (this.#engine ??= new XtsEngine(this.#options.accel, (where, thrown) => this.#options.reportThrow(where, thrown)))
    } catch (thrown) {
      throw new BdevError('ENOMEM', `${who}: ${describeThrown(thrown)}`, { cause: thrown })
    }
  }

  #channel(key: KeyRecord, blockSizeBytes: number): XtsChannel {
    if (key.xts.unitBytes(blockSizeBytes) === undefined) {
      const mode = TWEAK_MODES[key.xts.tweakMode]
      const multiple = mode?.startsWith('INCR_512') === true ? 512 : 16
      const wanted = `a block size in multiples of ${multiple} bytes for tweak mode ${mode}`
      throw new BdevError('EINVAL', `crypto key "${key.name}": wanted ${wanted}, found ${blockSizeBytes}`)
    }
    return new XtsChannel(this.#makeEngine(`crypto key "${key.name}"`), key.xts, blockSizeBytes, this.#options.currentThread())
  }
}

/** The bytes of a key's text. Errors tell its length, never its digits. */
function bytesOf(what: string, hex: string | undefined): Uint8Array {
  if (hex === undefined) throw new BdevError('EINVAL', `${what} is missing: AES_XTS wants two keys`)
  const sizes = KEY_SIZES_BYTES.map(bytes => bytes * 2).join(' or ')
  if (hex.length > HEX_LENGTH_MAX || !KEY_SIZES_BYTES.includes(hex.length / 2)) {
    throw new BdevError('EINVAL', `${what}: wanted ${sizes} hexadecimal digits, found ${hex.length} characters`)
  }
  if (!/^[0-9a-fA-F]*$/.test(hex)) {
    throw new BdevError('EINVAL', `${what}: wanted hexadecimal digits only, found others among its ${hex.length} characters`)
  }
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}

/** Compares in a time that does not depend on where they differ, as SPDK does. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}

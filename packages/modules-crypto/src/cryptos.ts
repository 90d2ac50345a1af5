// SPDX-License-Identifier: Apache-2.0
import { BdevError, RpcError } from '@bdevkit/module-sdk'
import type { BdevHost, CryptoKey, RpcCall, VbdevParams, Vbdevs } from '@bdevkit/module-sdk'
import type { CryptoCreateParams } from './rpc.js'
import { cryptoAttach, type Crypto } from './vbdev-crypto.js'

const INVALID_PARAMS = -32602
const INTERNAL_ERROR = -32603
/** SPDK's default, which no software engine serves. */
const DEFAULT_CIPHER = 'AES_CBC'

/** What a crypto bdev is made of, while its base is there and while it is away. */
interface CryptoSettings {
  readonly params: VbdevParams
  /** Held as long as the bdev is remembered: a base that comes back finds the key. */
  readonly key: CryptoKey
  /** The key was made of the obsolete parameters, and goes with the bdev. */
  readonly ownsKey: boolean
}

/** The crypto bdevs of a host and their keys. */
export class Cryptos {
  readonly #host: BdevHost
  readonly #vbdevs: Vbdevs<VbdevParams>
  readonly #settings = new Map<string, CryptoSettings>()

  constructor(host: BdevHost) {
    this.#host = host
    this.#vbdevs = host.vbdevs<VbdevParams, Crypto>({
      attach: (base, { name }) => cryptoAttach(host, base, name, this.#settings.get(name)!.key),
      uuidNamespace: '078e3cf7-f4b4-4545-b2c3-d40045a64ae2',
      onResize: 'follow',
    })
  }

  /** Handler of `bdev_crypto_create`. */
  create(p: CryptoCreateParams): string {
    const { name, base_bdev_name } = p
    const who = `crypto bdev "${name}"`
    const { keyName, made } = this.#findKey(p, who)
    try {
      if (this.#settings.has(name)) throw new BdevError('EEXIST', `${who}: there is one of that name; choose another or delete it`)
      const key = this.#host.accel.keys.hold(keyName, who)
      const settings: CryptoSettings = { params: { base_bdev_name, name }, key, ownsKey: made }
      this.#settings.set(name, settings)
      try {
        return this.#vbdevs.create({ ...settings.params })
      } catch (thrown) {
        this.#settings.delete(name)
        key.release()
        throw thrown
      }
    } catch (thrown) {
      if (made) this.#host.accel.keys.destroy(keyName)
      throw thrown
    }
  }

  /** Handler of `bdev_crypto_delete`. */
  async delete(name: string): Promise<boolean> {
    const settings = this.#settings.get(name)
    await this.#vbdevs.delete(name)
    if (settings === undefined || !this.#settings.delete(name)) return true
    settings.key.release()
    if (settings.ownsKey) this.#destroyOwn(settings.key.name)
    return true
  }

  /** The end of the module: nothing encrypts any more. */
  releaseKeys(): void {
    for (const { key } of this.#settings.values()) key.release()
    this.#settings.clear()
  }

  /** For the saved configuration: SPDK's members. The keys are saved by the accel subsystem. */
  createCalls(): readonly RpcCall[] {
    return [...this.#settings.values()].map(({ params: { base_bdev_name, name }, key }) => ({
      method: 'bdev_crypto_create',
      params: { base_bdev_name, name, key_name: key.name },
    }))
  }

  /** The key by name, or as SPDK's obsolete parameters have it: found under a derived name, or made. */
  #findKey(p: CryptoCreateParams, who: string): { keyName: string; made: boolean } {
    const { keys } = this.#host.accel
    if (p.key_name !== undefined) {
      if (!keys.has(p.key_name)) throw new RpcError(INVALID_PARAMS, 'Key was not found')
      if (p.key !== undefined || p.cipher !== undefined || p.crypto_pmd !== undefined) {
        this.#host.log.notice(`${who}: key_name "${p.key_name}" is given, so key, key2, cipher and crypto_pmd are ignored`)
      }
      return { keyName: p.key_name, made: false }
    }
    if (p.crypto_pmd !== undefined) this.#host.log.warn(`${who}: crypto_pmd is obsolete and ignored`)
    const cipher = p.cipher ?? DEFAULT_CIPHER
    const keyName = `${p.name}_${cipher}`
    if (keys.has(keyName)) return { keyName, made: false }
    try {
      keys.create({ name: keyName, cipher, key: p.key ?? '', ...(p.key2 !== undefined && { key2: p.key2 }) })
    } catch (cause) {
      this.#host.log.error(`${who}: ${(cause as Error).message}; name one of accel_crypto_key_create as key_name`)
      throw new RpcError(INTERNAL_ERROR, 'No key was found', { cause })
    }
    return { keyName, made: true }
  }

  #destroyOwn(keyName: string): void {
    try {
      this.#host.accel.keys.destroy(keyName)
    } catch (thrown) {
      this.#host.log.notice(`crypto key "${keyName}" stays: ${(thrown as Error).message}`)
    }
  }
}

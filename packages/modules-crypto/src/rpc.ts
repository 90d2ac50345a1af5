// SPDX-License-Identifier: Apache-2.0
import { method } from '@bdevkit/module-sdk'

/** Parameters of `bdev_crypto_create`. Those that carry a key never leave the handler. */
export type CryptoCreateParams = {
  base_bdev_name: string
  name: string
  key_name?: string
  crypto_pmd?: string
  key?: string
  cipher?: string
  key2?: string
}

const PARSE_ERROR = -32700
const INVALID_PARAMS = -32602
const string = (description: string) => ({ type: 'string', description })
const secret = (description: string) => ({ type: 'string', writeOnly: true, description })
const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })

export const rpc = {
  bdev_crypto_create: method<CryptoCreateParams, string>({
    description: 'Create a bdev that encrypts what its base keeps, now or when the base appears; answers its name',
    cli: {
      positional: ['base_bdev_name', 'name'],
      flags: { crypto_pmd: '-p', key: '-k', cipher: '-c', key2: '-k2', key_name: '-n' },
    },
    result: { type: 'string' },
    decodeError: { code: PARSE_ERROR, message: 'Failed to decode crypto disk create parameters.' },
    params: object(['base_bdev_name', 'name'], {
      base_bdev_name: string('Name, alias or UUID of the base bdev; it may appear later'),
      name: string('Name of the bdev'),
      key_name: string('Key made by `accel_crypto_key_create`; the parameters below are then ignored'),
      crypto_pmd: string('Obsolete, ignored'),
      key: secret('Obsolete: data key in hexadecimal, of a key of its own named `<name>_<cipher>`'),
      cipher: string('Obsolete: cipher of that key, default `AES_CBC`, which nothing serves; `AES_XTS` works'),
      key2: secret('Obsolete: tweak key of that key in hexadecimal'),
    }),
  }),
  bdev_crypto_delete: method<{ name: string }, boolean>({
    description: 'Delete a crypto bdev, or forget one that still waits for its base; the data on the base stays',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    decodeError: { code: INVALID_PARAMS, message: 'Invalid parameters' },
    params: object(['name'], { name: string('Name of the bdev') }),
  }),
}

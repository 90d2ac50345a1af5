// SPDX-License-Identifier: Apache-2.0
import type { RpcCall } from '@bdevkit/module-sdk'
import type { RpcRegistry } from '../registry.js'

/** Adds `keyring_get_keys`. Nothing here keeps keys in a keyring: those of crypto bdevs belong to accel. */
export function registerKeyringMethods(registry: RpcRegistry): () => RpcCall[] {
  registry.register(
    'keyring_get_keys',
    {
      result: { type: 'array', items: { type: 'object' } },
      description: 'Keys in the keyring: none; accel_crypto_keys_get shows those of crypto bdevs.',
    },
    () => [],
    {
      sentParams: 'ignore',
    },
  )
  return () => []
}

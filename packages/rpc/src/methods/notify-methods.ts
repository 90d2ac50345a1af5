// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import { JSONRPC_INVALID_PARAMS } from '../errors.js'
import type { RpcRegistry } from '../registry.js'
import { NOTIFICATIONS } from '../result-schemas.js'
import { errnoOf, strerror } from '../strerror.js'

/** Parameters of `notify_get_notifications`. */
export interface GetNotificationsParams {
  /** First id wanted, default 0. */
  id?: number
  /** How many at most, default all. */
  max?: number
}

const uint64 = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }

/** Adds the methods of `lib/notify/notify_rpc.c`. */
export function registerNotifyMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'notify_get_types',
    { result: { type: 'array', items: { type: 'string' } }, description: 'Types of notifications.' },
    () => [...host.notifications.types],
    {
      sentParams: { refuse: 'No parameters required' },
    },
  )
  registry.register(
    'notify_get_notifications',
    {
      description: 'Notifications from an id on; the last 1024 are kept.',
      cli: { flags: { id: '-i', max: '-n' } },
      result: NOTIFICATIONS,
      params: { type: 'object', properties: { id: uint64, max: uint64 } },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: strerror(errnoOf('EINVAL') as number) },
    },
    ({ id, max }: GetNotificationsParams) =>
      host.notifications.list(id, max).map(({ type, ctx, id: at }) => ({ type, ctx, id: at })),
  )
}

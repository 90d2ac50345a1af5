// SPDX-License-Identifier: Apache-2.0
import { RpcError } from '@bdevkit/module-sdk'
import { DECODE_FAILED, JSONRPC_INVALID_PARAMS } from '../errors.js'
import { LOG_LEVEL_NAMES, logLevelName, logLevelOf, type LogControl, type LogLevelName } from '../log-control.js'
import type { RpcRegistry } from '../registry.js'

const levelParams = { type: 'object', required: ['level'], properties: { level: { enum: LOG_LEVEL_NAMES } } }
const flagParams = {
  type: 'object',
  required: ['flag'],
  properties: { flag: { type: 'string', description: 'A source of messages as log_get_flags names it, or all' } },
}

/** Adds the methods of `lib/event/log_rpc.c`, on the application's choice of messages. */
export function registerLogMethods(registry: RpcRegistry, control: LogControl): void {
  for (const which of ['print_level', 'level'] as const) {
    const member = which === 'level' ? 'level' : 'printLevel'
    const meaning =
      which === 'level' ? 'Level for the log of the system, which is kept and not used' : 'Level up to which messages are printed'
    registry.register(
      `log_set_${which}`,
      { states: 'any', description: `${meaning}: sets it.`, params: levelParams, cli: { positional: ['level'] } },
      ({ level }: { level: LogLevelName }) => {
        control[member] = logLevelOf(level)
        return true
      },
    )
    registry.register(`log_get_${which}`, { states: 'any', description: `${meaning}.`, result: { enum: LOG_LEVEL_NAMES } }, () =>
      logLevelName(control[member]),
    )
  }
  for (const on of [true, false]) {
    registry.register(
      on ? 'log_set_flag' : 'log_clear_flag',
      {
        states: 'any',
        description: on
          ? 'Prints all messages of a source, whatever their level.'
          : 'Prints messages of a source by their level again.',
        params: flagParams,
        cli: { positional: ['flag'] },
      },
      ({ flag }: { flag: string }) => {
        if (!control.setFlag(flag, on)) throw new RpcError(JSONRPC_INVALID_PARAMS, 'invalid log flag')
        return true
      },
    )
  }
  registry.register(
    'log_get_flags',
    {
      states: 'any',
      description: 'Sources of messages, and whether all of their messages are printed.',
      result: { type: 'object', additionalProperties: { type: 'boolean' } },
    },
    () => control.flags,
  )
  registry.register(
    'log_enable_timestamps',
    {
      description: 'Starts each line of the log with its time.',
      params: { type: 'object', required: ['enabled'], properties: { enabled: { type: 'boolean' } } },
      decodeError: { code: JSONRPC_INVALID_PARAMS, message: DECODE_FAILED },
      cli: { flags: { enabled: '--timestamps' } },
    },
    ({ enabled }: { enabled: boolean }) => {
      control.timestamps = enabled
      return true
    },
  )
}

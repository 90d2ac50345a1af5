// SPDX-License-Identifier: Apache-2.0
import type { Host } from '@bdevkit/core'
import { RpcError, TWEAK_MODES, type BdevError, type CryptoKeyParams, type JsonObject, type RpcCall } from '@bdevkit/module-sdk'
import { JSONRPC_INVALID_PARAMS, JSONRPC_PARSE_ERROR, reasonText } from '../errors.js'
import type { RpcRegistry } from '../registry.js'

/** SPDK's name of the engine that computes in software: the only one here. */
const SOFTWARE = 'software'
/** What the kernels do, by SPDK's names and in its order; the last two need AES. */
const OPCODES = ['copy', 'fill', 'compare', 'crc32c', 'xor', 'encrypt', 'decrypt'] as const
/** Every operation that SPDK names, in its order. */
const SPDK_OPCODES = [
  'copy', 'fill', 'dualcast', 'compare', 'crc32c', 'copy_crc32c', 'compress', 'decompress', 'encrypt', 'decrypt', 'xor',
  'dif_verify', 'dif_verify_copy', 'dif_generate', 'dif_generate_copy', 'dix_generate', 'dix_verify',
] as const
const CRYPTO_OPCODES: readonly string[] = ['encrypt', 'decrypt']

/** Parameters of `accel_set_options`: sizes of pools that SPDK has and this stack does not. */
export interface AccelOptions {
  small_cache_size: number
  large_cache_size: number
  task_count: number
  sequence_count: number
  buf_count: number
}

const DEFAULT_OPTIONS: AccelOptions = {
  small_cache_size: 128,
  large_cache_size: 16,
  task_count: 2048,
  sequence_count: 2048,
  buf_count: 2048,
}

const decodeError = { code: JSONRPC_PARSE_ERROR }
const uint32 = { type: 'integer', minimum: 0, maximum: 0xffff_ffff }
const secret = { type: 'string', writeOnly: true }

/**
 * Adds the methods of `lib/accel/accel_rpc.c` that this stack has. Answers the calls that bring the present state back; the
 * keys are among them, with their bytes, as SPDK saves them.
 */
export function registerAccelMethods(registry: RpcRegistry, host: Host): () => RpcCall[] {
  const options = { ...DEFAULT_OPTIONS }
  registry.register(
    'accel_set_options',
    {
      states: 'startup',
      description: "Keeps SPDK's sizes of its pools for the saved configuration; nothing here has such pools.",
      result: { type: 'boolean' },
      params: { type: 'object', properties: Object.fromEntries(Object.keys(DEFAULT_OPTIONS).map(name => [name, uint32])) },
      decodeError,
    },
    (params: Partial<AccelOptions>) => {
      Object.assign(options, params)
      return true
    },
  )
  const assigned = registerAssignOpc(registry)
  registerKeyMethods(registry, host)
  registry.register(
    'accel_get_opc_assignments',
    {
      result: { type: 'object', additionalProperties: { type: 'string' } },
      description: 'Operations and the engine that carries out each.',
    },
    () => Object.fromEntries(opcodes(host).map(opcode => [opcode, SOFTWARE])),
  )
  registry.register(
    'accel_get_module_info',
    { result: { type: 'array', items: { type: 'object' } }, description: 'Engines and their operations.' },
    () => [{ module: SOFTWARE, 'supported ops': opcodes(host) }],
  )
  registry.register(
    'accel_get_stats',
    { result: { type: 'object' }, description: 'Counters of encryption and decryption; others are not counted.' },
    () => stats(host),
    {
      sentParams: 'ignore',
    },
  )
  return () => [{ method: 'accel_set_options', params: { ...options } }, ...assigned(), ...host.keys.configJson()]
}

/** Every operation is software's already: the method is there for configurations of SPDK that say so. Answers what was assigned. */
function registerAssignOpc(registry: RpcRegistry): () => RpcCall[] {
  const assigned = new Set<string>()
  registry.register(
    'accel_assign_opc',
    {
      states: 'startup',
      description: 'Assigns an operation to an engine; "software" is the only one.',
      cli: { flags: { opname: '-o', module: '-m' } },
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['opname', 'module'],
        properties: {
          opname: { type: 'string', description: 'Operation, by its name in `accel_get_opc_assignments`' },
          module: { type: 'string', description: 'Engine' },
        },
      },
      decodeError,
    },
    ({ opname, module }: { opname: string; module: string }) => {
      if (!SPDK_OPCODES.some(known => known === opname)) refuse('spdk_json_decode_object failed', `wanted an operation (${SPDK_OPCODES.join(', ')}), found "${opname}"`)
      if (module !== SOFTWARE) refuse('error assigning opcode', `wanted "${SOFTWARE}", the only engine here, for ${opname}, found "${module}"`)
      assigned.add(opname)
      return true
    },
  )
  return () => SPDK_OPCODES.filter(opname => assigned.has(opname)).map(opname => ({ method: 'accel_assign_opc', params: { opname, module: SOFTWARE } }))
}

/** @throws RpcError with SPDK's text for the wire, and `reason` for the log. */
function refuse(text: string, reason: string): never {
  const error = new RpcError(JSONRPC_INVALID_PARAMS, text)
  error.message = reason
  throw error
}

function registerKeyMethods(registry: RpcRegistry, host: Host): void {
  registry.register(
    'accel_crypto_key_create',
    {
      description: 'Creates a key of AES-XTS.',
      cli: { flags: { cipher: '-c', key: '-k', key2: '-e', tweak_mode: '-t', name: '-n' } },
      result: { type: 'boolean' },
      params: {
        type: 'object',
        required: ['name', 'cipher', 'key'],
        properties: {
          name: { type: 'string' },
          cipher: { enum: ['AES_CBC', 'AES_XTS'] },
          key: { ...secret, description: 'Data key, 32 or 64 hexadecimal digits' },
          key2: { ...secret, description: 'Tweak key, as long as `key` and different' },
          tweak_mode: { enum: TWEAK_MODES, description: 'How the block number becomes the tweak; default SIMPLE_LBA' },
        },
      },
      decodeError,
    },
    // SPDK's decoder sets the default, so that it is saved.
    (params: CryptoKeyParams) =>
      answering(
        rc => `failed to create DEK, rc ${rc}`,
        () => host.keys.create({ ...params, tweak_mode: params.tweak_mode ?? 'SIMPLE_LBA' }),
      ),
  )
  registry.register(
    'accel_crypto_keys_get',
    {
      description: 'All keys or one, with their bytes.',
      cli: { flags: { key_name: '-k' } },
      result: { type: 'array', items: { type: 'object' } },
      params: { type: 'object', properties: { key_name: { type: 'string' } } },
      decodeError,
    },
    ({ key_name }: { key_name?: string }) =>
      answering(
        () => 'key was not found',
        () => host.keys.keysJson(key_name),
      ),
  )
  registry.register(
    'accel_crypto_key_destroy',
    {
      description: 'Destroys a key that no bdev uses.',
      cli: { flags: { key_name: '-n --name' } },
      result: { type: 'boolean' },
      params: { type: 'object', required: ['key_name'], properties: { key_name: { type: 'string' } } },
      decodeError,
    },
    ({ key_name }: { key_name: string }) =>
      answering(
        rc => (host.keys.has(key_name) ? `Failed to destroy key, rc ${rc}` : 'No key object found'),
        () => host.keys.destroy(key_name),
      ),
  )
}

/** Runs `body`; an error is answered as invalid parameters with SPDK's text, its reason told to the log and in process. */
function answering<Result>(text: (rc: number) => string, body: () => Result): Result {
  try {
    return body()
  } catch (cause) {
    const error = new RpcError(JSONRPC_INVALID_PARAMS, text((cause as BdevError).errno), { cause })
    error.message = reasonText(cause)
    throw error
  }
}

function opcodes(host: Host): string[] {
  return OPCODES.filter(opcode => host.keys.available || !CRYPTO_OPCODES.includes(opcode))
}

function stats(host: Host): JsonObject {
  const operations = Object.entries(host.keys.stats)
    .filter(([, { executed, failed }]) => executed + failed > 0)
    .map(([opcode, { executed, failed, numBytes }]) => ({
      opcode,
      module_name: SOFTWARE,
      executed,
      failed,
      num_bytes: numBytes,
    }))
  return {
    sequence_executed: 0,
    sequence_failed: 0,
    sequence_outstanding: 0,
    task_outstanding: 0,
    operations,
    retry_task: 0,
    retry_sequence: 0,
    retry_iobuf: 0,
    retry_bufdesc: 0,
  }
}

// SPDX-License-Identifier: Apache-2.0
import { BdevError, method, RpcError } from '@bdevkit/module-sdk'
import type { JsonObject, RpcHandlers } from '@bdevkit/module-sdk'
import { levels } from './levels/index.js'
import { deleteRaid } from './raid-leave.js'
import type { RaidModule } from './raid-module.js'
import type { RaidState } from './raid-bdev.js'
import { startScrub } from './scrub.js'

/** Parameters of `bdev_raid_create`. */
export interface RaidCreateParams {
  name: string
  strip_size_kb?: number
  raid_level: string
  base_bdevs: string[]
  uuid?: string
  superblock?: boolean
  journal?: boolean
}

/** Parameters of `bdev_raid_set_options`. */
export interface RaidOptions {
  process_window_size_kb: number
  process_max_bandwidth_mb_sec: number
  dirty_region_size_kb: number
  start_dirty_degraded: boolean
}

const object = (required: string[], properties: object) => ({ type: 'object', additionalProperties: false, required, properties })
const text = (description: string) => ({ type: 'string', description })
const uint32 = (description: string) => ({ type: 'integer', minimum: 0, maximum: 0xffff_ffff, description })
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const NO_UUID = /^[0-]*$/
/** SPDK takes the names of levels in any case. */
const anyCase = (word: string): string => word.replaceAll(/[a-z]/g, letter => `[${letter}${letter.toUpperCase()}]`)
const levelNames = levels.flatMap(({ name, aliases }) => [name, ...aliases])
const LEVELS = `^(${levelNames.map(anyCase).join('|')})$`
const PARSE_ERROR = { code: -32_700 }

export const rpc = {
  bdev_raid_get_bdevs: method<{ category: RaidState | 'all' }, JsonObject[]>({
    description: 'List arrays, whether their bdev is there or not',
    cli: { positional: ['category'] },
    result: { type: 'array', items: { type: 'object' } },
    decodeError: PARSE_ERROR,
    params: object(['category'], {
      category: { type: 'string', enum: ['online', 'configuring', 'offline', 'all'], description: 'Which arrays' },
    }),
  }),
  bdev_raid_create: method<RaidCreateParams, boolean>({
    description: 'Create an array, now or when its last base bdev appears; answers true',
    cli: { flags: { name: '-n', strip_size_kb: '-z', raid_level: '-r', base_bdevs: '-b', superblock: '-s' } },
    result: { type: 'boolean' },
    decodeError: PARSE_ERROR,
    params: object(['name', 'raid_level', 'base_bdevs'], {
      name: text('Name of the array, at most 63 bytes'),
      strip_size_kb: { ...uint32('Strip size in KiB, a power of two; required for striped levels, 0 for raid1'), default: 0 },
      raid_level: { type: 'string', pattern: LEVELS, description: `One of ${levelNames.map(name => `\`${name}\``).join(', ')}` },
      base_bdevs: { type: 'array', maxItems: 255, items: { type: 'string' }, description: 'Names of the base bdevs, in the order of slots' },
      uuid: { type: 'string', pattern: UUID, description: 'UUID; default: random' },
      superblock: { type: 'boolean', default: false, description: 'Keep the configuration on the base bdevs, which costs their first MiB' },
      journal: { type: 'boolean', description: 'Of raid5 and raid6 with a superblock, default true: writes go to a journal first; false: only those of a degraded array (not in SPDK)' },
    }),
  }),
  bdev_raid_delete: method<{ name: string; clear_sb?: boolean }, boolean>({
    description: 'Delete an array',
    cli: { positional: ['name'], flags: { clear_sb: '-c' } },
    result: { type: 'boolean' },
    decodeError: PARSE_ERROR,
    params: object(['name'], {
      name: text('Name of the array'),
      clear_sb: { type: 'boolean', default: false, description: 'Zero the superblocks: it is not found again' },
    }),
  }),
  bdev_raid_add_base_bdev: method<{ raid_bdev: string; base_bdev: string; spare?: boolean }, boolean>({
    description: 'Put a bdev into an empty slot of an array; where that is online, it is rebuilt',
    cli: { positional: ['raid_bdev', 'base_bdev'] },
    result: { type: 'boolean' },
    params: object(['raid_bdev', 'base_bdev'], {
      raid_bdev: text('Name of the array'),
      base_bdev: text('Name of the bdev'),
      spare: { type: 'boolean', default: false, description: 'Keep it until a member is missing; neither has to be there yet (not in SPDK)' },
    }),
  }),
  bdev_raid_remove_base_bdev: method<{ name: string }, boolean>({
    description: 'Take a bdev out of its array, or from its spares; an array that cannot do without goes offline',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    decodeError: PARSE_ERROR,
    params: object(['name'], { name: text('Name of the base bdev') }),
  }),
  bdev_raid_set_options: method<Partial<RaidOptions> | undefined, boolean>({
    description: 'Set how rebuilds and scrubs go on; what is left out stays',
    cli: { flags: { process_window_size_kb: '-w', process_max_bandwidth_mb_sec: '-b' } },
    result: { type: 'boolean' },
    states: 'any',
    decodeError: PARSE_ERROR,
    params: object([], {
      process_window_size_kb: uint32('Size of the window that a rebuild or scrub locks, in KiB, above 0; at first 1024'),
      process_max_bandwidth_mb_sec: uint32('Bandwidth of a rebuild or scrub in MiB/s, 0 = any; at first 0'),
      dirty_region_size_kb: uint32('Region of the dirty map of arrays that are created from now on, in KiB, above 0 and larger where they need it; at first 16384 (not in SPDK)'),
      start_dirty_degraded: { type: 'boolean', description: 'Start arrays with parity of which a member is missing and a crash interrupted writes, though some blocks may read wrong; at first false (not in SPDK)' },
    }),
  }),
  bdev_raid_start_process: method<{ name: string; type: 'check' | 'repair' }, boolean>({
    description: 'Start a scrub: compare copies, or data with parity, and make them agree where `type` says so (not in SPDK)',
    cli: { positional: ['name', 'type'] },
    result: { type: 'boolean' },
    params: object(['name', 'type'], {
      name: text('Name of the array'),
      type: { type: 'string', enum: ['check', 'repair'], description: '`check` counts what does not agree, `repair` mends it, too' },
    }),
  }),
  bdev_raid_stop_process: method<{ name: string }, boolean>({
    description: 'Stop the scrub of an array; a rebuild or resync can only be paused (not in SPDK)',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name: text('Name of the array') }),
  }),
  bdev_raid_pause_process: method<{ name: string }, boolean>({
    description: 'Let the rebuild, resync or scrub of an array wait (not in SPDK)',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name: text('Name of the array') }),
  }),
  bdev_raid_resume_process: method<{ name: string }, boolean>({
    description: 'Let a paused process go on (not in SPDK)',
    cli: { positional: ['name'] },
    result: { type: 'boolean' },
    params: object(['name'], { name: text('Name of the array') }),
  }),
}

/** Text of strerror(3), where the answer of SPDK holds it. */
const ERROR_TEXTS: Readonly<Record<number, string>> = {
  [-1]: 'Operation not permitted', [-5]: 'Input/output error', [-12]: 'Cannot allocate memory', [-16]: 'Device or resource busy',
  [-17]: 'File exists', [-19]: 'No such device', [-22]: 'Invalid argument', [-95]: 'Operation not supported', [-114]: 'Operation already in progress',
}
const INTERNAL_ERROR = -32_603
const EINVAL = -22

/** Runs `step`; its failure is answered as SPDK words it: as a code and a text. The full reason is its cause. */
async function worded<Result>(step: () => Result | Promise<Result>, answer: (errno: number, text: string) => [code: number, text: string]): Promise<Result> {
  try {
    return await step()
  } catch (cause) {
    const { errno } = cause as BdevError
    if (typeof errno !== 'number') throw cause
    throw new RpcError(...answer(errno, ERROR_TEXTS[errno] ?? `Unknown error ${-errno}`), { cause })
  }
}

export function raidHandlers(module: RaidModule): RpcHandlers<typeof rpc> {
  return {
    bdev_raid_get_bdevs: ({ category }) =>
      module.raids.filter(({ state }) => category === 'all' || state === category).map(raid => ({ name: raid.name, ...raid.infoJson() })),
    bdev_raid_create(params) {
      if (params.base_bdevs.includes('')) throw new RpcError(EINVAL, 'The base bdev name cannot be empty: Invalid argument')
      const { uuid, ...rest } = params
      const given = uuid === undefined || NO_UUID.test(uuid) ? rest : params
      return worded(() => module.create(given), (errno, why) => [errno, `Failed to create RAID bdev ${params.name}: ${why}`])
    },
    bdev_raid_delete: ({ name, clear_sb: clear = false }) => {
      const raid = module.find(name) ?? refuse(`raid bdev ${name} not found`)
      return worded(() => deleteRaid(raid, clear).then(() => true), (_errno, why) => [INTERNAL_ERROR, why])
    },
    bdev_raid_add_base_bdev({ raid_bdev: raidName, base_bdev: name, spare = false }) {
      // A spare may wait for its array.
      const raid = spare ? undefined : (module.find(raidName) ?? refuse(`raid bdev ${raidName} is not found in config`))
      return worded(() => (raid === undefined ? module.spares.add(raidName, name) : module.addMember(raid, name)), (errno, why) =>
        // What SPDK finds on the bdev itself it words without names.
        [errno, [-5, -16, -17].includes(errno) ? `Failed to add base bdev to RAID bdev: ${why}` : `Failed to add base bdev ${name} to RAID bdev ${raidName}: ${why}`])
    },
    bdev_raid_remove_base_bdev: ({ name }) =>
      worded(() => module.removeMember(name), errno => [errno, 'Failed to remove base bdev from raid bdev']),
    bdev_raid_set_options(params = {}) {
      const options = { ...module.options, ...params }
      if (options.process_window_size_kb === 0) throw new BdevError('EINVAL', 'process_window_size_kb must be above 0')
      if (options.dirty_region_size_kb === 0) throw new BdevError('EINVAL', 'dirty_region_size_kb must be above 0')
      module.options = options
      return module.optionsChanged().then(() => true)
    },
    bdev_raid_start_process({ name, type }) {
      const raid = module.find(name) ?? refuse(`raid bdev ${name} not found`)
      return raid.inTurn(() => Promise.resolve(startScrub(raid, type))).then(() => true)
    },
    bdev_raid_stop_process: ({ name }) => stopScrub(module, name),
    bdev_raid_pause_process: ({ name }) => (processOf(module, name).pause(), true),
    bdev_raid_resume_process: ({ name }) => (processOf(module, name).resume(), true),
  }
}

function processOf(module: RaidModule, name: string) {
  const raid = module.find(name) ?? refuse(`raid bdev ${name} not found`)
  return raid.process ?? fail('ENODEV', `${raid.who}: no process is under way`)
}

/** Answers when its last window is done. */
async function stopScrub(module: RaidModule, name: string): Promise<true> {
  const process = processOf(module, name)
  if (process.type === 'rebuild' || process.type === 'resync') fail('EBUSY', `${process.raid.who}: a ${process.type} cannot be stopped; pause it`)
  await process.stopped()
  // What it found is written down in turn.
  await process.raid.inTurn(() => Promise.resolve())
  return true
}

function fail(code: 'ENODEV' | 'EBUSY', message: string): never {
  throw new BdevError(code, message)
}

function refuse(message: string): never {
  throw new RpcError(-19, message)
}

// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto'
import { BdevError, defineBdevModule, IO_TYPE_NAMES, IoType, RpcError } from '@bdevkit/module-sdk'
import type { RpcCall, VbdevParams } from '@bdevkit/module-sdk'
import { Rule } from './rule.js'
import { rpc, type InjectErrorParams, type SetRulesParams } from './rpc.js'
import { errorAttach, ErrorIo, refreshPlain, resumeParked, type ErrorDisk, type ErrorSettings, type Injection } from './vbdev-error.js'

const EINVAL = -22
/** The types that have an injection of their own (SPDK's `error_vector`). */
const INJECTABLE = [IoType.Read, IoType.Write, IoType.Unmap, IoType.Flush]

/** Bdevs that let the I/O of a base bdev go wrong on purpose. SPDK's `module/bdev/error`, and rules. */
export default defineBdevModule({
  name: 'error',
  sdk: '0.1',
  rpc,
  setup(host) {
    const settings = new Map<string, ErrorSettings>()
    const disks = host.vbdevs<VbdevParams, ErrorDisk>({
      attach: (base, { name }) => errorAttach(host, base, name, settings.get(name)!),
      onResize: 'follow',
    })

    function settingsOf(name: string): ErrorSettings {
      const found = settings.get(name)
      if (found === undefined) throw new BdevError('ENODEV', `"${name}": there is no such error injection bdev`)
      return found
    }

    /** The bdev itself; `undefined` while it waits for its base. */
    function attached(name: string): ErrorDisk | undefined {
      return host.ownBdevs().find(bdev => bdev.name === name)?.ctx as ErrorDisk | undefined
    }

    function diskOf(name: string): ErrorDisk {
      const disk = attached(name)
      if (disk === undefined) throw new BdevError('ENODEV', `"${name}": there is no such error injection bdev`)
      return disk
    }

    function inject(p: InjectErrorParams): boolean {
      const { nvme_sct: nvmeSct = 0, nvme_sc: nvmeSc = 0, corrupt_value: corruptValue = 0, error_type: errorType } = p
      if ((errorType === 'nvme_failure') !== (nvmeSct !== 0 || nvmeSc !== 0)) {
        throw new RpcError(EINVAL, 'nvme_sct or nvme_sc should be specified for NVMe error injection')
      }
      if (errorType === 'corrupt_data' && corruptValue === 0) {
        throw new BdevError('EINVAL', `injection into "${p.name}": corrupt_data needs a corrupt_value above 0`)
      }
      const disk = diskOf(p.name)
      const { num = 1, queue_depth: queueDepth = 0, corrupt_offset: corruptOffset = 0 } = p
      const injection: Injection = { errorType, nvmeSct, nvmeSc, errno: 0, corruptOffset, corruptValue, num, queueDepth }
      for (const type of INJECTABLE) {
        const own = disk.injections[type]
        if (p.io_type === 'clear') {
          if (own) own.num = 0
        } else if (p.io_type === 'all' || p.io_type === IO_TYPE_NAMES[type]) disk.injections[type] = { ...injection }
      }
      refreshPlain(disk)
      return true
    }

    function setRules({ name, rules }: SetRulesParams): boolean {
      const own = settingsOf(name)
      own.rules = rules.map((params, i) => new Rule(params, `rule ${i} of "${name}"`, randomInt(2 ** 32)))
      const disk = attached(name)
      if (disk !== undefined) refreshPlain(disk)
      return true
    }

    async function resumePending(name: string): Promise<boolean> {
      const disk = diskOf(name)
      for (const injection of disk.injections) if (injection?.errorType === 'pending') injection.num = 0
      await disk.device.forEachChannel(resumeParked)
      refreshPlain(disk)
      return true
    }

    return {
      handlers: {
        bdev_error_create({ base_name: baseName, uuid }) {
          const name = `EE_${baseName}`
          if (settings.has(name)) throw new BdevError('EEXIST', `error injection bdev on "${baseName}": there is one already`)
          settings.set(name, { baseName, uuid, rules: [] })
          try {
            disks.create({ name, base_bdev_name: baseName })
          } catch (thrown) {
            settings.delete(name)
            throw thrown
          }
          return true
        },
        async bdev_error_delete({ name }) {
          const own = settings.get(name)
          await disks.delete(name)
          if (settings.get(name) === own) settings.delete(name)
          return true
        },
        bdev_error_inject_error: inject,
        bdev_error_resume_pending: ({ name }) => resumePending(name),
        bdev_error_set_rules: setRules,
        bdev_error_get_rules: ({ name }) => settingsOf(name).rules.map(rule => rule.toJson()),
      },
      configJson: () => [...settings].flatMap(([name, own]) => calls(name, own)),
      createIoContext: () => new ErrorIo(),
    }
  },
})

/** The calls that make an error bdev again: SPDK's, and its rules if it has any. */
function calls(name: string, { baseName, uuid, rules }: ErrorSettings): RpcCall[] {
  const create: RpcCall = { method: 'bdev_error_create', params: { base_name: baseName, ...(uuid !== undefined && { uuid }) } }
  if (rules.length === 0) return [create]
  return [create, { method: 'bdev_error_set_rules', params: { name, rules: rules.map(rule => rule.params) } }]
}

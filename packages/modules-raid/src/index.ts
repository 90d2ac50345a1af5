// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { examineRaid } from './raid-examine.js'
import { RaidIo } from './raid-io.js'
import { RaidModule } from './raid-module.js'
import { raidHandlers, rpc } from './rpc.js'

/** Several bdevs as one. SPDK's `module/bdev/raid`, on its disk format. */
export default defineBdevModule({
  name: 'raid',
  sdk: '0.1',
  rpc,
  setup(host) {
    const module = new RaidModule(host)
    return {
      handlers: raidHandlers(module),
      createIoContext: () => new RaidIo(),
      examineDisk: bdev => examineRaid(module, bdev),
      finiStart: () => module.finiStart(),
      moduleFini: () => module.moduleFini(),
      configJson: () => module.configJson(),
    }
  },
})

// SPDX-License-Identifier: Apache-2.0
import { defineBdevModule } from '@bdevkit/module-sdk'
import { Cryptos } from './cryptos.js'
import { rpc } from './rpc.js'
import { CryptoIo } from './vbdev-crypto.js'

/** Bdevs that encrypt what their base keeps, with AES-XTS. SPDK's `module/bdev/crypto`. */
export default defineBdevModule({
  name: 'crypto',
  sdk: '0.1',
  rpc,
  setup(host) {
    const cryptos = new Cryptos(host)
    return {
      handlers: {
        bdev_crypto_create: params => cryptos.create(params),
        bdev_crypto_delete: ({ name }) => cryptos.delete(name),
      },
      createIoContext: () => new CryptoIo(),
      moduleFini: () => cryptos.releaseKeys(),
      configJson: () => cryptos.createCalls(),
    }
  },
})

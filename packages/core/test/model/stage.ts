// SPDX-License-Identifier: Apache-2.0
import type { SpdkThread } from '../../src/index.js'
import { FakeModule, RelayModule } from '../support/fake-bdev.js'
import { startHost, type TestHost } from '../support/harness.js'
import { SUBMITS, type Plan } from './plan.js'

/** The pool of I/Os of a tight host; it has as few buffers. */
const TIGHT = { bdevIoPoolSize: 24, bdevIoCacheSize: 4 }

/** Everything that stays from run to run: hosts are costly. */
export class Stage {
  readonly #hosts = new Map<string, Promise<StageHost>>()
  runs = 0

  /** The host for a plan, the same each time. */
  host({ strict, tight }: Plan): Promise<StageHost> {
    const key = `${strict} ${tight}`
    let found = this.#hosts.get(key)
    if (found === undefined) this.#hosts.set(key, (found = StageHost.start(strict, tight)))
    return found
  }

  /** A run has failed: what is left there would fail the next one, too. */
  forget({ strict, tight }: Plan): void {
    this.#hosts.delete(`${strict} ${tight}`)
  }
}

/** A host with a module for each role. */
export class StageHost {
  readonly test: TestHost
  readonly fake: FakeModule
  readonly cutter: FakeModule
  readonly rival: FakeModule
  readonly relays: Map<string, RelayModule>
  readonly threads: readonly SpdkThread[]

  private constructor(test: TestHost, fake: FakeModule, cutter: FakeModule, rival: FakeModule, relays: Map<string, RelayModule>) {
    this.test = test
    this.fake = fake
    this.cutter = cutter
    this.rival = rival
    this.relays = relays
    this.threads = [test.host.appThread, test.host.createThread('second')]
  }

  static async start(strict: boolean, tight: boolean): Promise<StageHost> {
    const [fake, cutter, rival] = ['fake', 'cutter', 'rival'].map(name => new FakeModule(name)) as [FakeModule, FakeModule, FakeModule]
    const relays = Object.entries(SUBMITS).map(([name, submit]): [string, RelayModule] => [
      name,
      new RelayModule(name.replaceAll(' ', '_'), { submit, onResize: 'follow' }),
    ])
    const test = await startHost([fake, cutter, rival, ...relays.map(([, relay]) => relay)], { strict, ...(tight ? TIGHT : {}) })
    if (tight) {
      test.host.iobuf.small.resize(4096, 6, 0)
      test.host.iobuf.large.resize(8192, 4, 0)
    }
    return new StageHost(test, fake, cutter, rival, new Map(relays))
  }
}

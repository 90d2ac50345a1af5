// SPDX-License-Identifier: Apache-2.0
import { fstatSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Bdev, Host } from '@bdevkit/core'
import { isLocalAddress, NbdServer, nbdUri, parseNbdAddress, registerNbdMethods, type NbdAddress, type NbdMethods } from '@bdevkit/nbd'
import { RpcServer, type RpcRegistry } from '@bdevkit/rpc'
import type { ExportSpec } from './options.js'
import { cliVersion, commandName, err, formatBytes, out, shellWord, UsageError } from './output.js'
import { addExports, describeExports, runVariables, type ServedExport } from './serve-exports.js'
import { runCommand } from './serve-run.js'
import { ExitCleanup, StopSignals } from './signals.js'
import { notifySystemd } from './systemd.js'
import { finishHost, openStack, type StackOptions } from './stack.js'

/** Options of `bdev serve`. */
export interface ServeOptions extends StackOptions {
  rpcSocket?: string
  /** Addresses, as written. */
  nbd?: string[]
  export?: ExportSpec[]
  readOnly?: boolean
  run?: string
  stdio?: boolean
  insecureListen?: boolean
  /** Address, as written. */
  metrics?: string
  json?: boolean
  watch?: boolean
}

const SECTOR_BYTES = 512
/** How long clients have to end by themselves. */
const DRAIN_TIMEOUT_MS = 5000
/** Whoever waits longer than this for clients is told for whom. */
const DRAIN_REPORT_MS = 1000

/** `bdev serve`: a stack and its sockets, until a signal, the command of `--run` or the client of `--stdio` ends it. */
export async function serve(options: ServeOptions): Promise<number> {
  const addresses = (options.nbd ?? []).map(text => parseAddress('--nbd', text))
  checkOptions(options, addresses)
  const signals = new StopSignals()
  const cleanup = new ExitCleanup()
  try {
    return await new Target(options, addresses, signals, cleanup).run()
  } finally {
    cleanup.run()
    signals.dispose()
  }
}

function parseAddress(option: string, text: string): NbdAddress {
  try {
    return parseNbdAddress(text)
  } catch (cause) {
    throw new UsageError(`${option} ${text}: ${(cause as Error).message}`, { cause })
  }
}

function checkOptions(options: ServeOptions, nbd: readonly NbdAddress[]): void {
  const { run, stdio, rpcSocket, json, export: exports = [] } = options
  if (stdio === true) {
    for (const [name, given] of Object.entries({ nbd: nbd.length > 0, run: run !== undefined, json: json === true })) {
      if (given) throw new UsageError(`--stdio and --${name} do not go together: standard output is the client's`)
    }
  }
  if (stdio === true) refuseFiles()
  if (options.waitForRpc === true && rpcSocket === undefined)
    throw new UsageError('--wait-for-rpc: wanted -r with the socket on which framework_start_init comes')
  if (run !== undefined && json === true)
    throw new UsageError("--run and --json do not go together: standard output is the command's")
  const serves = nbd.length > 0 || stdio === true || run !== undefined
  if (!serves && exports.length > 0) throw new UsageError('--export: say where to serve it, with --nbd, --run or --stdio')
  if (!serves && rpcSocket === undefined) {
    throw new UsageError('nothing to serve; add --nbd unix:nbd.sock for NBD clients, -r bdev.sock for JSON-RPC, or both')
  }
  if (new Set(exports.map(({ name }) => name)).size < exports.length)
    throw new UsageError('--export: two exports have one name; write BDEV=NAME')
  const metrics = options.metrics === undefined ? undefined : parseAddress('--metrics', options.metrics)
  if (metrics !== undefined && !isLocalAddress(metrics) && options.insecureListen !== true)
    throw new UsageError(`--metrics ${options.metrics}: this address can be reached from other machines. Use 127.0.0.1, or say --insecure-listen`)
  for (const address of nbd) {
    if (isLocalAddress(address) || options.insecureListen === true) continue
    throw new UsageError(
      `--nbd ${nbdUri(address, '')}: NBD has neither encryption nor passwords here, and this address can be reached from ` +
        'other machines: whoever reaches it reads and writes all exports. Use 127.0.0.1, or say --insecure-listen',
    )
  }
}

/** Only pipes and sockets tell when the other side reads; a terminal or a file is no client. */
function refuseFiles(): void {
  for (const [fd, name] of [
    [0, 'input'],
    [1, 'output'],
  ] as const) {
    const stat = fstatSync(fd)
    if (stat.isFIFO() || stat.isSocket()) continue
    throw new UsageError(`--stdio: wanted an NBD client at the other end of standard ${name}, found neither a pipe nor a socket`)
  }
}

/** A stack and everything through which it is reached. */
class Target {
  readonly #options: ServeOptions
  readonly #addresses: readonly NbdAddress[]
  readonly #signals: StopSignals
  readonly #cleanup: ExitCleanup
  readonly #sockets: string[] = []
  #host: Host | undefined
  #rpc: RpcServer | undefined
  #nbd: NbdServer | undefined
  #metrics: { close(): Promise<void>; readonly address: string } | undefined
  /** Servers and disks that calls make. */
  #nbdMethods: NbdMethods | undefined
  #bdevs: Bdev[] = []
  /** Nothing is there but the RPC socket, until `framework_start_init`. */
  #waiting = false

  constructor(options: ServeOptions, addresses: readonly NbdAddress[], signals: StopSignals, cleanup: ExitCleanup) {
    this.#options = options
    this.#addresses = addresses
    this.#signals = signals
    this.#cleanup = cleanup
  }

  /** From nothing to nothing. Returns the exit status. */
  async run(): Promise<number> {
    const interrupted = await Promise.race([this.#start(), this.#signals.first])
    if (interrupted !== undefined) {
      err(`bdev: ${interrupted} before the stack was ready: ended`)
      return this.#waiting ? 0 : 1
    }
    let status = 1
    let clean = true
    try {
      this.#announce()
      await notifySystemd('READY=1', 'serves')
      status = await this.#serve()
    } finally {
      clean = await this.#stop()
    }
    return clean ? status : status || 1
  }

  /** Brings everything up; what has come up when something fails is taken down again. */
  async #start(): Promise<undefined> {
    try {
      const stack = await openStack(this.#options, {
        kill: signal => this.#signals.request(signal),
        register: (registry, host, subsystems) => {
          this.#nbdMethods = registerNbdMethods(registry, host, { allowRemote: this.#options.insecureListen ?? false })
          subsystems.push(this.#nbdMethods.subsystem)
        },
        beforeInit: registry => this.#listenRpc(registry),
        initStarted: () => this.#initStarted(),
      })
      this.#host = stack.host
      await this.#listenNbd(stack.host)
      await this.#listenMetrics(stack.host)
      this.#rpc?.resume()
    } catch (thrown) {
      await this.#stop()
      throw thrown
    }
  }

  // SPDK's order: the socket is there before the bdevs are, and answers when all of them are.
  async #listenRpc(registry: RpcRegistry): Promise<void> {
    if (this.#options.rpcSocket === undefined) return
    const path = resolve(this.#options.rpcSocket)
    this.#waiting = this.#options.waitForRpc === true
    this.#rpc = await RpcServer.listen(path, { registry, paused: !this.#waiting })
    this.#listensAt(path, `${path}.lock`)
    if (!this.#waiting) return
    if (this.#options.json === true) out(JSON.stringify({ ready: false, waitsFor: 'framework_start_init', pid: process.pid, rpcSocket: path }))
    else err(`bdev: waits for framework_start_init on ${path}`)
  }

  #initStarted(): void {
    this.#waiting = false
    this.#rpc?.pause()
  }

  async #listenNbd(host: Host): Promise<void> {
    const nbd = this.#addresses
    const { run, stdio, readOnly = false } = this.#options
    if (nbd.length === 0 && run === undefined && stdio !== true) return
    // The kernel's nbd-client never asks for block sizes, and the kernel keeps to sectors.
    this.#nbd = new NbdServer(host, { blockSizeRequiredAboveBytes: SECTOR_BYTES })
    this.#bdevs = addExports(this.#nbd, host, this.#options.export, readOnly)
    this.#nbdMethods?.adopt('cli', this.#nbd)
    const addresses = nbd.length > 0 || stdio === true ? nbd : [{ path: this.#privateSocket() }]
    for (const address of addresses) {
      await this.#nbd.listen(address)
      if ('path' in address) this.#listensAt(address.path)
    }
  }

  async #listenMetrics(host: Host): Promise<void> {
    const { metrics } = this.#options
    if (metrics === undefined) return
    const { metricsText, serveMetrics } = await import('./metrics.js')
    this.#metrics = await serveMetrics(parseAddress('--metrics', metrics), () => metricsText(host, this.#nbd))
  }

  #listensAt(...paths: string[]): void {
    this.#sockets.push(...paths)
    for (const path of paths) this.#cleanup.add(path)
  }

  /** As nbdkit's `--unix -`: a socket that nobody else finds. */
  #privateSocket(): string {
    const folder = mkdtempSync(join(tmpdir(), 'bdev-'))
    this.#cleanup.add(folder)
    return join(folder, 'nbd.sock')
  }

  /** Says what is served, and that all of it is ready. */
  #announce(): void {
    const { run, stdio, json, readOnly = false } = this.#options
    if (run !== undefined || stdio === true) return
    const exports = this.#nbd === undefined ? [] : describeExports(this.#nbd, this.#bdevs, readOnly)
    const rpcSocket = this.#rpc?.path ?? null
    if (json === true) {
      const metrics = this.#metrics === undefined ? {} : { metrics: this.#metrics.address }
      return out(JSON.stringify({ ready: true, pid: process.pid, rpcSocket, exports, ...metrics }))
    }
    out(`bdev ${cliVersion()}, process ${process.pid}`)
    exports.forEach(({ name, bdev, product, sizeBytes, blockSizeBytes, uris }, i) => {
      const notes = [...(i === 0 ? ['default export'] : []), ...(readOnly ? ['read-only'] : [])].join(', ')
      const shape = `${formatBytes(sizeBytes)}, ${blockSizeBytes}-byte blocks`
      out(`\nexport "${name}": bdev ${bdev} (${product}), ${shape}${notes && `, ${notes}`}`)
      for (const uri of uris) out(`  ${uri}`)
    })
    if (rpcSocket !== null) out(`\nRPC socket: ${rpcSocket}`)
    if (this.#metrics !== undefined) out(`\nmetrics: ${this.#metrics.address}`)
    this.#hints(exports[0], rpcSocket)
    out('\nready; Ctrl-C stops it')
  }

  #hints(first: ServedExport | undefined, rpcSocket: string | null): void {
    const uri = first?.uris[0]
    const hints: [string, string][] = []
    if (uri !== undefined) {
      hints.push([`nbdinfo ${shellWord(uri)}`, 'what a client sees'])
      const action = this.#options.readOnly === true ? "-r -c 'read -v 0 512'" : "-c 'write -P 0xab 0 1M' -c 'read -P 0xab 0 1M'"
      hints.push([`qemu-io -f raw ${action} ${shellWord(uri)}`, 'real I/O'])
    }
    if (rpcSocket !== null) {
      hints.push([`${commandName()} rpc -s ${shellWord(rpcSocket)} bdev_get_iostat`, 'counters, and all of JSON-RPC'])
    } else if (uri !== undefined) {
      hints.push([`nbdcopy --progress ${shellWord(uri)} disk.img`, 'a copy of the disk'])
    }
    if (hints.length === 0) return
    out('\ntry, in another terminal:')
    for (const [command, why] of hints) out(`  ${command}  # ${why}`)
  }

  /** Serves until it is to stop. Returns the exit status of a clean stop. */
  async #serve(): Promise<number> {
    const { run, stdio } = this.#options
    const asked = this.#signals.first.then(signal => ({ signal }))
    if (run !== undefined) {
      const nbd = this.#nbd!
      const command = runCommand(run, runVariables(nbd.addresses[0]!, nbd.exportNames))
      // The server goes on while the command takes its leave.
      void asked.then(({ signal }) => command.stop(signal))
      return command.ended
    }
    const client = stdio === true ? this.#nbd!.serveStdio().then(() => undefined) : new Promise<never>(() => undefined)
    const ended = await Promise.race([asked, client])
    if (ended !== undefined && stdio !== true) err(`bdev: ${ended.signal}: stops (once more to end at once)`)
    return 0
  }

  /** Takes everything down; false where somebody had to be cut off or does not end. */
  async #stop(): Promise<boolean> {
    void notifySystemd('STOPPING=1', 'clients finish what they have in flight')
    const report = setTimeout(() => this.#reportBusy(), DRAIN_REPORT_MS)
    const [drained, others = []] = await Promise.all([
      this.#nbd?.stop({ deadlineMs: DRAIN_TIMEOUT_MS }),
      this.#nbdMethods?.stop(DRAIN_TIMEOUT_MS),
      this.#metrics?.close(),
      this.#rpc?.close(),
    ])
    clearTimeout(report)
    // Their sockets are gone, and another process may have the paths by the time this one ends.
    for (const path of this.#sockets.splice(0)) this.#cleanup.forget(path)
    let clean = true
    for (const { id, exportName, inFlight } of [drained, ...others].flatMap(result => result?.cut ?? [])) {
      const late = `did not end within ${DRAIN_TIMEOUT_MS / 1000} s`
      err(`bdev: NBD connection ${id} (export "${exportName}") ${late}: cut with ${inFlight} requests in flight`)
      clean = false
    }
    if (this.#host !== undefined) {
      for (const wait of await finishHost(this.#host)) {
        err(`bdev: ended in spite of ${wait}`)
        clean = false
      }
    }
    this.#host = undefined
    return clean
  }

  #reportBusy(): void {
    for (const { id, exportName, inFlight, unsentBytes } of this.#nbd?.connections ?? []) {
      const why = inFlight > 0 ? `${inFlight} requests in flight` : `${formatBytes(unsentBytes)} of replies that it does not read`
      err(`bdev: waits for NBD connection ${id} (export "${exportName}"): ${why}`)
    }
    for (const { what, who } of this.#host?.pending() ?? []) err(`bdev: ${what}: waits for ${who}`)
  }
}

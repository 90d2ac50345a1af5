// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http'
import { rmSync } from 'node:fs'
import { ioStatJson, TICK_RATE, type Host } from '@bdevkit/core'
import { nbdAddressText, type NbdAddress, type NbdServer } from '@bdevkit/nbd'
import { CliError, cliVersion } from './output.js'

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
/** Requests are short; who sends anything else is let go. */
const REQUEST_TIMEOUT_MS = 5000
const CONNECTIONS_MAX = 16

type Labels = Record<string, string>

/** Metrics in the text format of Prometheus. */
class Exposition {
  readonly #families = new Map<string, { help: string; type: string; lines: string[] }>()

  add(name: string, type: 'counter' | 'gauge', help: string, value: number, labels: Labels = {}): void {
    let family = this.#families.get(name)
    if (family === undefined) this.#families.set(name, (family = { help, type, lines: [] }))
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
    family.lines.push(`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`)
  }

  toString(): string {
    return [...this.#families]
      .map(([name, { help, type, lines }]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`)
      .join('')
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

const OPS = [
  ['read', 'num_read_ops', 'bytes_read', 'read_latency_ticks'],
  ['write', 'num_write_ops', 'bytes_written', 'write_latency_ticks'],
  ['unmap', 'num_unmap_ops', 'bytes_unmapped', 'unmap_latency_ticks'],
  ['copy', 'num_copy_ops', 'bytes_copied', 'copy_latency_ticks'],
] as const

/** Everything that is counted, as Prometheus reads it. */
export async function metricsText(host: Host, nbd: NbdServer | undefined): Promise<string> {
  const exposition = new Exposition()
  exposition.add('bdevkit_info', 'gauge', 'Version of the server.', 1, { version: cliVersion(), node: process.versions.node })
  await host.forEachBdev(async bdev => {
    const labels = { bdev: bdev.name, module: bdev.module.name }
    const stat = ioStatJson(await host.control.getIoStat(bdev.name)) as Record<string, number> & {
      io_error?: Record<string, number>
    }
    exposition.add('bdevkit_bdev_size_bytes', 'gauge', 'Size of the bdev.', bdev.numBlocks * bdev.blockSizeBytes, labels)
    for (const [op, ops, bytes, ticks] of OPS) {
      exposition.add('bdevkit_bdev_ios_total', 'counter', 'I/Os that have completed.', stat[ops] ?? 0, { ...labels, op })
      exposition.add('bdevkit_bdev_bytes_total', 'counter', 'Bytes of the I/Os that have completed.', stat[bytes] ?? 0, {
        ...labels,
        op,
      })
      const seconds = (stat[ticks] ?? 0) / TICK_RATE
      exposition.add('bdevkit_bdev_latency_seconds_total', 'counter', 'Time that completed I/Os took, all together.', seconds, {
        ...labels,
        op,
      })
    }
    for (const [status, count] of Object.entries(stat.io_error ?? {})) {
      exposition.add('bdevkit_bdev_io_errors_total', 'counter', 'I/Os that have failed.', count, { ...labels, status })
    }
    exposition.add('bdevkit_bdev_in_flight', 'gauge', 'I/Os with the module.', await host.control.getCurrentQd(bdev.name), labels)
  })
  for (const { id, exportName, inFlight, requests, unsentBytes } of nbd?.connections ?? []) {
    const labels = { connection: String(id), export: exportName }
    exposition.add('bdevkit_nbd_requests_total', 'counter', 'Requests of an NBD connection.', requests, labels)
    exposition.add('bdevkit_nbd_in_flight', 'gauge', 'Requests of an NBD connection that have no reply yet.', inFlight, labels)
    exposition.add('bdevkit_nbd_unsent_bytes', 'gauge', 'Replies that an NBD client has not read.', unsentBytes, labels)
  }
  const usage = host.usage()
  exposition.add('bdevkit_bdev_ios_in_use', 'gauge', 'I/O objects in use.', usage.bdevIos)
  exposition.add('bdevkit_io_waiters', 'gauge', 'Submitters that wait for an I/O object.', usage.ioWaiters)
  exposition.add('bdevkit_dma_bytes', 'gauge', 'Bytes of the DMA heap in use.', usage.dmaBytes)
  exposition.add('bdevkit_waits', 'gauge', 'What the bdev layer waits for.', host.waits.list().length)
  const { rss } = process.memoryUsage()
  exposition.add('process_resident_memory_bytes', 'gauge', 'Resident memory of the process.', rss)
  const { user, system } = process.cpuUsage()
  exposition.add('process_cpu_seconds_total', 'counter', 'Processor time of the process.', (user + system) / 1e6)
  return exposition.toString()
}

/**
 * Answers GET /metrics.
 * @throws CliError the address cannot be had.
 */
export async function serveMetrics(
  address: NbdAddress,
  text: () => Promise<string>,
): Promise<{ close(): Promise<void>; address: string }> {
  const server = createServer((request, response) => {
    if (request.url?.split('?')[0] !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': CONTENT_TYPE }).end('wanted GET /metrics\n')
      return
    }
    text().then(
      body => response.writeHead(200, { 'content-type': CONTENT_TYPE }).end(request.method === 'HEAD' ? '' : body),
      (thrown: unknown) => response.writeHead(500, { 'content-type': CONTENT_TYPE }).end(`${(thrown as Error).message}\n`),
    )
  })
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.headersTimeout = REQUEST_TIMEOUT_MS
  server.maxConnections = CONNECTIONS_MAX
  await listen(server, address)
  const bound = server.address()
  const real =
    'path' in address || bound === null || typeof bound === 'string' ? address : { host: bound.address, port: bound.port }
  return {
    address: nbdAddressText(real),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
        if ('path' in address) rmSync(address.path, { force: true })
      }),
  }
}

function listen(server: Server, address: NbdAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', cause =>
      reject(new CliError(`--metrics ${nbdAddressText(address)}: cannot listen: ${cause.message}`, { cause })),
    )
    server.once('listening', resolve)
    if ('path' in address) server.listen(address.path)
    else server.listen(address.port ?? 0, address.host ?? '127.0.0.1')
  })
}

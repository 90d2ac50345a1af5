// SPDX-License-Identifier: Apache-2.0
import type { Bdev, Host } from '@bdevkit/core'
import { ClaimType } from '@bdevkit/module-sdk'
import { nbdUri, type NbdAddress, type NbdServer } from '@bdevkit/nbd'
import type { ExportSpec } from './options.js'
import { CliError } from './output.js'

/** An export as it is announced. */
export interface ServedExport {
  readonly name: string
  readonly bdev: string
  readonly product: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly readOnly: boolean
  /** One for each address. */
  readonly uris: readonly string[]
}

/**
 * Exports the bdevs that are asked for; by default each one that nothing stands on, newest first. The first export is the
 * default one: it is what a client gets that asks for no name.
 * @throws CliError nothing to export; BdevError one that is asked for cannot be exported.
 */
export function addExports(server: NbdServer, host: Host, wanted: readonly ExportSpec[] | undefined, readOnly: boolean): Bdev[] {
  if (wanted !== undefined) {
    return wanted.map(({ bdevName, name }) => {
      const bdev = host.bdevByName(bdevName)
      if (bdev === undefined) {
        const names = host.bdevs.map(known => known.name).join(', ')
        throw new CliError(
          `--export ${bdevName}: there is no such bdev; there ${names === '' ? 'is none at all' : `are ${names}`}`,
        )
      }
      server.addExport({ name, bdevName, readOnly })
      return bdev
    })
  }
  const leaves = host.bdevs.filter(bdev => bdev.claims.type === ClaimType.None).reverse()
  const refusals: string[] = []
  const served = leaves.filter(bdev => {
    try {
      server.addExport({ name: bdev.name, bdevName: bdev.name, readOnly, description: bdev.productName })
      return true
    } catch (thrown) {
      refusals.push((thrown as Error).message)
      return false
    }
  })
  for (const refusal of refusals) host.log.warn(`not exported: ${refusal}`)
  if (served.length > 0) return served
  throw new CliError(
    refusals.length > 0
      ? 'NBD: no bdev can be exported; the warnings above say why'
      : 'NBD: there is no bdev to export; let the stack file (-c) create one, e.g. with bdev_malloc_create',
  )
}

/** What is served where, in the order of the exports. */
export function describeExports(server: NbdServer, bdevs: readonly Bdev[], readOnly: boolean): ServedExport[] {
  return server.exportNames.map((name, i) => {
    const { name: bdev, productName, numBlocks, dataBlockSizeBytes: blockSizeBytes } = bdevs[i]!
    const uris = server.addresses.map(address => nbdUri(address, name))
    return { name, bdev, product: productName, sizeBytes: numBlocks * blockSizeBytes, blockSizeBytes, readOnly, uris }
  })
}

/** The variables that nbdkit's `--run` sets, for the default export at an address, and `uri_<export>` for each export. */
export function runVariables(address: NbdAddress, names: readonly string[]): Record<string, string> {
  const exportname = names[0] ?? ''
  const suffix = exportname === '' ? '' : `:exportname=${exportname}`
  const variables: Record<string, string> = {}
  for (const name of [...names].reverse()) variables[`uri_${name.replaceAll(/\W/g, '_')}`] = nbdUri(address, name)
  const uri = nbdUri(address, exportname)
  if ('path' in address)
    return { ...variables, uri, exportname, unixsocket: address.path, port: '', nbd: `nbd:unix:${address.path}${suffix}` }
  const { host = '127.0.0.1', port = 0 } = address
  const nbd = `nbd:${host.includes(':') ? `[${host}]` : host}:${port}${suffix}`
  return { ...variables, uri, exportname, unixsocket: '', port: String(port), nbd }
}

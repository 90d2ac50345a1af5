// SPDX-License-Identifier: Apache-2.0
import { InvalidArgumentError } from 'commander'

// Values of options. Each parser throws InvalidArgumentError, which commander shows with the option's name.

/** Adds one more value of an option that may be given several times. */
export function collect<T>(parse: (text: string) => T): (text: string, all: T[] | undefined) => T[] {
  return (text, all) => [...(all ?? []), parse(text)]
}

/** `--export`: a bdev, and the name that clients ask for. */
export interface ExportSpec {
  readonly bdevName: string
  readonly name: string
}

/** `BDEV` or `BDEV=NAME`; an empty NAME is the default export's. */
export function parseExport(text: string): ExportSpec {
  const at = text.indexOf('=')
  const bdevName = at < 0 ? text : text.slice(0, at)
  if (bdevName === '') throw new InvalidArgumentError('wanted BDEV or BDEV=NAME.')
  return { bdevName, name: at < 0 ? bdevName : text.slice(at + 1) }
}

/** An integer from `min` to `max`. */
export function parseInteger(min: number, max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`wanted an integer from ${min} to ${max}.`)
    }
    return value
  }
}

/** A number of seconds, from `min` on. */
export function parseSeconds(min: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > 1e6) {
      throw new InvalidArgumentError(`wanted a number of seconds, at least ${min}.`)
    }
    return value
  }
}

/** Bytes: an integer, with k, M or G for units of 1024 as bdevperf has them. */
export function parseSize(text: string): number {
  const match = /^(\d+)([kKmMgG]?)$/.exec(text)
  const unit = ['', 'k', 'm', 'g'].indexOf(match?.[2]?.toLowerCase() ?? '')
  const value = Number(match?.[1]) * 1024 ** unit
  if (match === null || !Number.isSafeInteger(value) || value === 0) {
    throw new InvalidArgumentError('wanted a number of bytes above 0, as 4096, 4k or 1M.')
  }
  return value
}

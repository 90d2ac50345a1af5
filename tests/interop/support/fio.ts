// SPDX-License-Identifier: Apache-2.0
import { runOk } from './run.js'

/** Options of one fio job, by fio's names. */
export type FioOptions = Readonly<Record<string, string | number>>

interface FioDirection {
  readonly io_bytes: number
  readonly total_ios: number
}

/** What fio reports of a job, as far as it is used here; `read` holds what it verified, too. */
export interface FioResult {
  readonly error: number
  readonly read: FioDirection
  readonly write: FioDirection
  readonly trim: FioDirection
}

/** Arguments of fio for a job on an export. Its random order is the same in every run. */
export function fioArgs(uri: string, options: FioOptions): string[] {
  const job = {
    name: 'nbd',
    ioengine: 'nbd',
    uri,
    randseed: 1,
    group_reporting: 1,
    thread: 1,
    verify_state_save: 0,
    ...options,
  }
  return ['--output-format=json', ...Object.entries(job).map(([key, value]) => `--${key}=${value}`)]
}

/** Runs a job that has to succeed. */
export async function fioJob(uri: string, options: FioOptions, timeoutMs?: number): Promise<FioResult> {
  const stdout = await runOk('fio', fioArgs(uri, options), timeoutMs === undefined ? {} : { timeoutMs })
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: FioResult[] }
  const [result] = jobs
  if (jobs.length !== 1 || result === undefined || result.error !== 0)
    throw new Error(`fio: wanted one job without an error, found ${stdout}`)
  return result
}

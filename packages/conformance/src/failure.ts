// SPDX-License-Identifier: Apache-2.0

/** What a module did wrong, why that matters, and where its author should look. */
export class ConformanceFailure extends Error {
  /** The rule that was broken, in a few words. */
  readonly reason: string
  /** Where to look. */
  readonly hint: string
  /** Why there is such a rule; of the case that failed. */
  readonly why: string | undefined

  constructor(reason: string, hint: string, why?: string) {
    super(`${reason}${why === undefined ? '' : `\n  why: ${why}`}\n  hint: ${hint}`)
    this.name = 'ConformanceFailure'
    this.reason = reason
    this.hint = hint
    this.why = why
  }
}

/** @throws ConformanceFailure where `condition` does not hold. */
export function check(condition: boolean, reason: string, hint: string): asserts condition {
  if (!condition) throw new ConformanceFailure(reason, hint)
}

/**
 * Waits for `promise`, but not for ever: a module that forgets to answer fails its case by name instead of hanging the run.
 * @throws ConformanceFailure after `limitMs` milliseconds.
 */
export async function within<T>(limitMs: number, promise: Promise<T>, reason: string, hint: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new ConformanceFailure(`${reason} (waited ${limitMs} ms)`, hint)), limitMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The message of anything thrown. */
export const textOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
/** The `code` of a thrown error, `undefined` where it has none. */
export const codeOf = (thrown: unknown): string | undefined =>
  typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : undefined

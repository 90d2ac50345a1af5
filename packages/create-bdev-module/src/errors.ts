// SPDX-License-Identifier: Apache-2.0

/** What the caller can mend; the message says how. `usage` is true where the command line itself is wrong. */
export class CreateError extends Error {
  override readonly name = 'CreateError'
  /** The command line cannot be understood: exit status 2. */
  readonly usage: boolean

  constructor(message: string, options: { usage?: boolean; cause?: unknown } = {}) {
    super(message, options)
    this.usage = options.usage ?? false
  }
}

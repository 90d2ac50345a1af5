// SPDX-License-Identifier: Apache-2.0
/**
 * The module's own buffer for a range, borrowed with `BdevHandle.zcopyStart`. Use it until `end` is called; closing the handle
 * ends it without commit.
 */
export class ZcopyBuffer {
  /** The memory, in the order of its bytes. */
  readonly pieces: readonly Uint8Array[]
  readonly #end: (commit: boolean) => Promise<void>
  #ended: Promise<void> | null = null

  /** Use `BdevHandle.zcopyStart`. @internal */
  constructor(pieces: readonly Uint8Array[], end: (commit: boolean) => Promise<void>) {
    this.pieces = pieces
    this.#end = end
  }

  /** Gives it back; with `commit` what is in it becomes the content of the range. Calling it again gives the first call's promise. */
  end(commit: boolean): Promise<void> {
    this.#ended ??= this.#end(commit)
    return this.#ended
  }

  /** Gives it back without commit, unless it has been given back. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.end(false)
  }
}

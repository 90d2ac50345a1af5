// SPDX-License-Identifier: Apache-2.0
// data plane
import type { BdevIo as SdkBdevIo } from '@bdevkit/module-sdk'
import { IoStatus, IoType } from '@bdevkit/module-sdk'
import type { DescChannel } from '../descriptor/desc-channel.js'
import type { BdevIo } from '../io/bdev-io.js'
import { bounceBuffers } from '../io/io-buffer.js'
import { remapRefTags } from '../io/io-metadata.js'

/** What goes to the base as it is, buffers and all: a part whose blocks carry reference tags does not have it, or has it emulated. */
export const NOT_REMAPPED = new Set<number>([IoType.Zcopy, IoType.CompareAndWrite])

/**
 * I/O of a part whose blocks carry reference tags: they count from the start of the part above, and from the start of the base
 * below. What is written is remapped in a copy: the submitter's buffers may be on their way elsewhere, too.
 */
export function submitRemapped(base: DescChannel, io: BdevIo, offsetBlocks: number): void {
  const { type } = io
  if (type === IoType.Read) {
    io.forwardThen(base, remapRead, offsetBlocks)
  } else if ((type === IoType.Write || type === IoType.Compare) && (io.bdev.mdInterleave || io.mdBuf !== null)) {
    bounceBuffers(io, remapAndSend)
  } else {
    io.forward(base, offsetBlocks)
  }
}

function remapAndSend(base: DescChannel, io: SdkBdevIo, success: boolean): void {
  const offsetBlocks = (io as BdevIo).bdev.ctx.offsetBlocks as number
  if (success && remapRefTags(io as BdevIo, io.offsetBlocks, io.offsetBlocks + offsetBlocks)) io.forward(base, offsetBlocks)
  // No block of the base has such a tag.
  else io.complete(success && io.type === IoType.Compare ? IoStatus.Miscompare : IoStatus.Failed)
}

function remapRead(child: SdkBdevIo, parent: SdkBdevIo): void {
  if (child.status === IoStatus.Success && !remapRefTags(parent as BdevIo, child.offsetBlocks, parent.offsetBlocks)) parent.complete(IoStatus.Failed)
  else parent.completeFrom(child)
}

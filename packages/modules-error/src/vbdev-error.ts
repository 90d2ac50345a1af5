// SPDX-License-Identifier: Apache-2.0
// data plane
import { ERRNO, IO_TYPE_NAMES, IoStatus, IoType } from '@bdevkit/module-sdk'
import type { BdevFnTable, BdevHost, BdevIo, BdevSpec, DescChannel, DmaBuffer, IoDevice, VbdevBase } from '@bdevkit/module-sdk'
import type { Fault, Rule } from './rule.js'

/** What SPDK's `bdev_error_inject_error` sets for one I/O type. */
export interface Injection extends Fault {
  /** I/Os that it still hits. */
  num: number
  /** It hits only while a channel has this many I/Os with the base. */
  readonly queueDepth: number
}

/** What is kept of an error bdev while its base is away. */
export interface ErrorSettings {
  readonly baseName: string
  readonly uuid: string | undefined
  rules: Rule[]
}

/** One error bdev. */
export interface ErrorDisk {
  readonly host: BdevHost
  readonly name: string
  readonly settings: ErrorSettings
  readonly base: VbdevBase
  readonly device: IoDevice<ErrorChannel>
  /** By I/O type; only READ, WRITE, UNMAP and FLUSH have one, as in SPDK. */
  readonly injections: (Injection | null)[]
  /** Nothing is set, nothing is parked: every I/O goes straight through. */
  plain: boolean
  /** I/Os held back on all channels. */
  parked: number
  /** It is being unregistered: nothing is held back any more. */
  removing: boolean
}

/** One thread's share of an error bdev. */
export interface ErrorChannel {
  readonly disk: ErrorDisk
  readonly base: DescChannel
  /** I/Os that are held back, oldest first. */
  readonly parked: Set<BdevIo<ErrorIo>>
  /** I/Os with the base, counted from the moment on when something was set. */
  inFlight: number
}

/** What error keeps with each I/O (`io.ctx`), made once per pooled object. */
export class ErrorIo {
  channel: ErrorChannel | null = null
  corruptOffset = 0
  /** XORed onto the byte at that offset; 0 for none. */
  corruptValue = 0
  /** The corrupted copy of what a WRITE carries. */
  copy: DmaBuffer | null = null
  /** The copy is of the DMA heap, to be given back. */
  copyIsDma = false
  /** A READ that borrows memory: what it gets is the base's own. */
  borrows = false
}

const errorFn: BdevFnTable<ErrorDisk, ErrorChannel, ErrorIo> = {
  async destruct({ device, base }) { // cold: removal
    await device.unregister() // cold: removal
    await base.close() // cold: removal
  },
  removeStarted(disk) {
    disk.removing = true
    void disk.device.forEachChannel(abortParked)
  },
  ioTypeSupported(disk, type) {
    return !RAW_NVME.has(type) && disk.base.ioTypeSupported(type)
  },
  getIoChannel(disk) {
    return disk.device.getIoChannel()
  },
  submitRequest(channel, io) {
    if (channel.disk.plain) io.forward(channel.base)
    else submitWatched(channel, io)
  },
  dumpInfoJson({ base }) {
    return { error_disk: { base_bdev: base.bdev.name } }
  },
}

/** Raw NVMe commands are not looked into; SPDK's part helper keeps them away. */
const RAW_NVME = new Set<number>([IoType.NvmeAdmin, IoType.NvmeIo, IoType.NvmeIoMd, IoType.NvmeIovMd, IoType.NvmeNssr])

/** Namespace of part UUIDs (SPDK lib/bdev/part.c): an error bdev is the part of its base that is all of it. */
const PART_UUID_NAMESPACE = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8'

/** The error bdev on `base`. */
export function errorAttach(host: BdevHost, base: VbdevBase, name: string, settings: ErrorSettings): BdevSpec<ErrorDisk> {
  const device: IoDevice<ErrorChannel> = host.registerIoDevice({
    name,
    createChannel() {
      const below = base.getIoChannel()
      if (below === null) throw new Error(`no channel of base bdev "${base.bdev.name}"`)
      return { disk, base: below, parked: new Set<BdevIo<ErrorIo>>(), inFlight: 0 }
    },
    destroyChannel(channel) {
      channel.base.put()
    },
  })
  const injections: ErrorDisk['injections'] = [null, null, null, null, null]
  const disk: ErrorDisk = { host, name, settings, base, device, injections, plain: true, parked: 0, removing: false }
  refreshPlain(disk)
  const { lendsReadBuffers, uuid, numBlocks } = base.bdev
  const bytes = new Uint8Array(32)
  bytes.set(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
  new DataView(bytes.buffer).setBigUint64(24, BigInt(numBlocks), true)
  return {
    ...base.geometry(), // cold: a bdev is made
    name,
    uuid: host.uuidV5(PART_UUID_NAMESPACE, bytes),
    ctx: disk,
    fn: errorFn,
    productName: 'Error Injection Disk',
    lendsReadBuffers,
  }
}

/** Something was set, used up, parked or let go: finds out whether I/O must be looked at. */
export function refreshPlain(disk: ErrorDisk): void {
  disk.plain = disk.parked === 0 && disk.injections.every(isUsedUp) && !disk.settings.rules.some(isActive)
}

function isUsedUp(injection: Injection | null): boolean {
  return injection === null || injection.num === 0
}

function isActive(rule: Rule): boolean {
  return rule.active
}

/** Lets go what is held back on one channel: it goes on to the base. */
export function resumeParked(channel: ErrorChannel): void {
  const { disk } = channel
  for (const io of [...channel.parked]) { // cold: a bdev's parked I/O ends
    channel.parked.delete(io)
    disk.parked--
    forwardWatched(channel, io)
  }
  refreshPlain(disk)
}

function abortParked(channel: ErrorChannel): void {
  const { disk } = channel
  for (const io of [...channel.parked]) { // cold: a bdev's parked I/O ends
    channel.parked.delete(io)
    disk.parked--
    io.complete(IoStatus.Aborted)
  }
  refreshPlain(disk)
}

function submitWatched(channel: ErrorChannel, io: BdevIo<ErrorIo>): void {
  const { disk } = channel
  const { type } = io
  io.ctx.channel = channel
  if (type === IoType.Reset) {
    resetAfterParked(channel, io)
    return
  }
  if (type === IoType.Abort) {
    if (!abortTarget(channel, io)) io.forward(channel.base)
    return
  }
  const injection = disk.injections[type]
  if (injection && injection.num > 0 && channel.inFlight >= injection.queueDepth) {
    injection.num--
    if (injection.num === 0) refreshPlain(disk)
    strike(channel, io, injection)
    return
  }
  const { rules } = disk.settings
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]
    if (!rule.hit(type, io.offsetBlocks, io.numBlocks)) continue
    disk.host.log.notice(
      `"${disk.name}": rule ${i} (${rule.describe()}) hit a ${IO_TYPE_NAMES[type]} of ${io.numBlocks} blocks at ${io.offsetBlocks}: hit ${rule.hits}, sequence ${rule.seen}, seed ${rule.seed}`,
    )
    if (!rule.active) refreshPlain(disk)
    strike(channel, io, rule)
    return
  }
  forwardWatched(channel, io)
}

/** Does to an I/O what the fault says. */
function strike(channel: ErrorChannel, io: BdevIo<ErrorIo>, fault: Fault): void {
  switch (fault.errorType) {
    case 'nomem':
      io.complete(IoStatus.Nomem)
      break
    case 'nvme_failure':
      io.completeNvme(0, fault.nvmeSct, fault.nvmeSc)
      break
    case 'errno':
      io.completeAio(fault.errno)
      break
    case 'pending':
      if (channel.disk.removing) {
        io.complete(IoStatus.Aborted)
        break
      }
      channel.parked.add(io)
      channel.disk.parked++
      channel.disk.plain = false
      break
    case 'corrupt_data':
      forwardWatched(channel, io, fault)
      break
    default:
      io.complete(IoStatus.Failed)
  }
}

/** Sends an I/O to the base, its data corrupted where `fault` says so. */
function forwardWatched(channel: ErrorChannel, io: BdevIo<ErrorIo>, fault: Fault | null = null): void {
  const one = io.ctx
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
  const corrupt = fault !== null && fault.corruptOffset < lengthBytes
  one.corruptOffset = corrupt ? fault.corruptOffset : 0
  one.corruptValue = corrupt ? fault.corruptValue : 0
  one.borrows = io.type === IoType.Read && io.iovCnt === 0
  channel.inFlight++
  if (corrupt && io.type === IoType.Write) writeCorrupted(io, lengthBytes)
  else io.forwardThen(channel.base, watchedDone)
}

function watchedDone(child: BdevIo, io: BdevIo<ErrorIo>): void {
  const { channel, corruptValue } = io.ctx
  channel!.inFlight--
  if (child.status === IoStatus.Success) {
    if (corruptValue !== 0 && io.type === IoType.Read) corruptRead(io)
    heal(channel!.disk, io)
  }
  io.completeFrom(child)
}

const HEALING = (1 << IoType.Write) | (1 << IoType.WriteZeroes) | (1 << IoType.CompareAndWrite) | (1 << IoType.Copy)

/** A write has reached the base: sectors that it covers are good again. */
function heal(disk: ErrorDisk, io: BdevIo): void {
  if ((HEALING & (1 << io.type)) === 0) return
  const { rules } = disk.settings
  let healed = false
  for (let i = 0; i < rules.length; i++) {
    if (!rules[i].heals) continue
    rules[i].heal(io.offsetBlocks, io.numBlocks)
    if (!rules[i].active) healed = true
  }
  if (healed) refreshPlain(disk)
}

/** Changes a byte of what was read: in the reader's buffer, or in a copy where the base lent its own memory. */
function corruptRead(io: BdevIo<ErrorIo>): void {
  const { channel, corruptValue, borrows } = io.ctx
  let at = io.ctx.corruptOffset
  if (borrows) {
    const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes
    const copy = new Uint8Array(lengthBytes)
    channel!.disk.host.accel.copyFromIovs(copy, 0, io.iovs, io.iovCnt, lengthBytes)
    copy[at] ^= corruptValue
    if (io.mdBuf === null) io.lend(copy, 0, lengthBytes)
    else io.lend(copy, 0, lengthBytes, io.mdBuf, io.mdOff)
    return
  }
  for (let i = 0; i < io.iovCnt; i++) {
    const { buf, off, len } = io.iovs[i]
    if (at < len) {
      buf[off + at] ^= corruptValue
      return
    }
    at -= len
  }
}

/** The buffer of a WRITE is its submitter's: a corrupted copy goes to the base. */
function writeCorrupted(io: BdevIo<ErrorIo>, lengthBytes: number): void {
  const one = io.ctx
  const { host } = one.channel!.disk
  const dma = host.dma.alloc(lengthBytes, Math.max(64, io.bdev.requiredAlignmentBytes))
  one.copyIsDma = dma !== undefined
  one.copy = dma ?? { buf: new Uint8Array(lengthBytes), off: 0, len: lengthBytes }
  host.accel.copyFromIovs(one.copy.buf, one.copy.off, io.iovs, io.iovCnt, lengthBytes)
  one.copy.buf[one.copy.off + one.corruptOffset] ^= one.corruptValue
  sendCopy(io)
}

function sendCopy(io: BdevIo<ErrorIo>): void {
  const { copy, channel } = io.ctx
  const { base } = channel!
  let rc: number
  do rc = writeCopy(base, copy!, io)
  while (rc === -ERRNO.ENOMEM && base.queueIoWait({ fn: sendCopy, arg: io }) !== 0)
  if (rc === 0 || rc === -ERRNO.ENOMEM) return
  channel!.inFlight--
  freeCopy(io)
  io.completeAio(rc)
}

/** Only the data is a copy; separate metadata goes along as it is. */
function writeCopy(base: DescChannel, { buf, off }: DmaBuffer, io: BdevIo<ErrorIo>): number {
  const { mdBuf, mdOff, offsetBlocks, numBlocks } = io
  if (mdBuf === null) return base.writeBlocks(buf, off, offsetBlocks, numBlocks, copyWritten, io)
  return base.writeBlocksWithMd(buf, off, mdBuf, mdOff, offsetBlocks, numBlocks, copyWritten, io)
}

function copyWritten(child: BdevIo, success: boolean, io: BdevIo<ErrorIo>): void {
  const { channel } = io.ctx
  channel!.inFlight--
  freeCopy(io)
  if (success) heal(channel!.disk, io)
  io.completeFrom(child)
  child.free()
}

function freeCopy(io: BdevIo<ErrorIo>): void {
  const one = io.ctx
  if (one.copyIsDma) one.channel!.disk.host.dma.free(one.copy!)
  one.copy = null
}

/** What is parked ends as aborted on every channel, then the base is reset. */
function resetAfterParked(channel: ErrorChannel, io: BdevIo<ErrorIo>): void {
  channel.disk.device.forEachChannel(abortParked).then(
    () => io.thread.execMsg(resetBase, io), // cold: RESET
    () => io.thread.execMsg(resetFailed, io), // cold: RESET
  )
}

function resetBase(io: BdevIo<ErrorIo>): void {
  io.forward(io.ctx.channel!.base)
}

function resetFailed(io: BdevIo<ErrorIo>): void {
  io.complete(IoStatus.Failed)
}

/** Aborts the target of an ABORT if it is parked here; else the base may have it. */
function abortTarget(channel: ErrorChannel, io: BdevIo<ErrorIo>): boolean {
  const target = io.abortTarget
  if (target === null || !channel.parked.delete(target)) return false
  channel.disk.parked--
  refreshPlain(channel.disk)
  target.complete(IoStatus.Aborted)
  io.complete(IoStatus.Success)
  return true
}

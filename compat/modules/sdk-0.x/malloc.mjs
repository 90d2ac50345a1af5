// SPDX-License-Identifier: Apache-2.0
// Built with module-sdk 0.1.0 by tools/freeze-modules.mjs.

// packages/module-sdk/dist/index.js
var IoType = {
  /** Never submitted. */
  Invalid: 0,
  /** Data in. A bdev without it is not examined. */
  Read: 1,
  /** Data out. Needs a writable descriptor. */
  Write: 2,
  /** Deallocate; what a later read returns is up to the device. */
  Unmap: 3,
  /** Make every write that completed before this was submitted durable. */
  Flush: 4,
  /** Complete everything outstanding, then answer. */
  Reset: 5,
  /** Raw NVMe admin command. */
  NvmeAdmin: 6,
  /** Raw NVMe I/O command, one contiguous buffer. */
  NvmeIo: 7,
  /** Raw NVMe I/O command with a metadata buffer. */
  NvmeIoMd: 8,
  /** Later reads of the range return zeros. Emulated with writes where a module lacks it. */
  WriteZeroes: 9,
  /** Borrow the module's own buffer (start) and give it back (end). */
  Zcopy: 10,
  /** Zone report. */
  GetZoneInfo: 11,
  /** Open, close, finish, reset or offline a zone. */
  ZoneManagement: 12,
  /** Write at a zone's write pointer. */
  ZoneAppend: 13,
  /** Compare the range with the given buffers. Emulated with a read where a module lacks it. */
  Compare: 14,
  /** Fused compare and write. */
  CompareAndWrite: 15,
  /** Abort one outstanding I/O, `BdevIo.abortTarget`. */
  Abort: 16,
  /** Next unallocated block. */
  SeekHole: 17,
  /** Next allocated block. */
  SeekData: 18,
  /** Copy inside the device. */
  Copy: 19,
  /** Raw NVMe I/O command with a scatter list and metadata. */
  NvmeIovMd: 20,
  /** NVM subsystem reset. */
  NvmeNssr: 21,
  /** Mark blocks as unreadable. */
  WriteUncorrectable: 22
};
var IO_TYPE_NAMES = [
  "",
  "read",
  "write",
  "unmap",
  "flush",
  "reset",
  "nvme_admin",
  "nvme_io",
  "nvme_io_md",
  "write_zeroes",
  "zcopy",
  "get_zone_info",
  "zone_management",
  "zone_append",
  "compare",
  "compare_and_write",
  "abort",
  "seek_hole",
  "seek_data",
  "copy",
  "nvme_iov_md",
  "nvme_nssr",
  "write_uncorrectable"
];
var IO_TYPE_SINCE = IO_TYPE_NAMES.map(() => [0, 1]);
var IoStatus = {
  /** errno of the platform, kept with the I/O (`completeAio`). */
  AioError: -8,
  /** Aborted by a reset, an abort or the removal of the bdev. */
  Aborted: -7,
  /** The first of two fused commands failed. */
  FirstFusedFailed: -6,
  /** A compare found a difference. */
  Miscompare: -5,
  /** The module is out of a resource: the framework queues the I/O and sends it again. Not allowed for RESET. */
  Nomem: -4,
  /** SCSI sense data, kept with the I/O (`completeScsi`). */
  ScsiError: -3,
  /** NVMe status code type and code, kept with the I/O (`completeNvme`). */
  NvmeError: -2,
  /** Failed, no detail. */
  Failed: -1,
  /** Not completed yet. */
  Pending: 0,
  /** Done. */
  Success: 1
};
var ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  EOVERFLOW: 75,
  EILSEQ: 84,
  ENOTSUP: 95,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EALREADY: 114,
  EINPROGRESS: 115,
  ECANCELED: 125
};
var BdevError = class extends Error {
  /** An errno name where SPDK returns an errno, `BDEV_E_*` otherwise. It does not change within a major version. */
  code;
  /** The negative errno, or -EIO where `code` is no errno name. */
  errno;
  constructor(code, message, options = {}) {
    super(message, options.cause === void 0 ? void 0 : { cause: options.cause });
    this.name = "BdevError";
    this.code = code;
    this.errno = -(ERRNO[code] ?? ERRNO.EIO);
  }
};
var MODULE_BRAND = "@bdevkit/bdev-module";
function defineBdevModule(spec) {
  return Object.freeze({ ...spec, [MODULE_BRAND]: 1 });
}
function method(spec = {}) {
  return spec;
}

// packages/modules-malloc/src/bdev-malloc.ts
var ZERO_PIECE_BYTES = 64 * 1024;
var ZERO_STEP_BYTES = 256 * 1024;
var mallocFn = {
  destruct(disk) {
    disk.module.dma.freeBulk(disk.extents);
  },
  ioTypeSupported(_disk, type) {
    switch (type) {
      case IoType.Read:
      case IoType.Write:
      case IoType.Unmap:
      case IoType.Flush:
      case IoType.Reset:
      case IoType.WriteZeroes:
      case IoType.Compare:
      case IoType.Abort:
        return true;
      default:
        return false;
    }
  },
  getIoChannel(disk) {
    return disk.module.device.getIoChannel();
  },
  submitRequest({ accel }, io) {
    const disk = io.bdev.ctx;
    const startByte = io.offsetBlocks * io.bdev.blockSizeBytes;
    const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes;
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) io.lend(disk.buf, disk.off + startByte, lengthBytes);
        else if (startByte + lengthBytes > disk.len) transferExtents(accel, disk, io, startByte);
        else accel.copyToIovs(io.iovs, io.iovCnt, disk.buf, disk.off + startByte, lengthBytes);
        return io.complete(IoStatus.Success);
      case IoType.Write:
        if (startByte + lengthBytes > disk.len) transferExtents(accel, disk, io, startByte);
        else accel.copyFromIovs(disk.buf, disk.off + startByte, io.iovs, io.iovCnt, lengthBytes);
        return io.complete(IoStatus.Success);
      case IoType.Compare:
        return io.complete(transferExtents(accel, disk, io, startByte) ? IoStatus.Success : IoStatus.Miscompare);
      case IoType.Unmap:
      case IoType.WriteZeroes:
        io.ctx.nextByte = startByte;
        io.ctx.leftBytes = lengthBytes;
        disk.zeroing++;
        return zeroStep(io);
      case IoType.Flush:
        return io.complete(IoStatus.Success);
      case IoType.Reset:
        return resetWhenIdle(io);
      default:
        return io.complete(IoStatus.Failed);
    }
  }
};
function transferExtents(accel, disk, io, startByte) {
  let extentIndex = 0;
  let inExtent = startByte;
  for (let i = 0; i < io.iovCnt; i++) {
    const iov = io.iovs[i];
    let inIov = 0;
    while (inIov < iov.len) {
      while (inExtent >= disk.extents[extentIndex].len) inExtent -= disk.extents[extentIndex++].len;
      const extent = disk.extents[extentIndex];
      const pieceBytes = Math.min(iov.len - inIov, extent.len - inExtent);
      const at = extent.off + inExtent;
      if (io.type === IoType.Read) accel.copy(iov.buf, iov.off + inIov, extent.buf, at, pieceBytes);
      else if (io.type === IoType.Write) accel.copy(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes);
      else if (accel.compare(extent.buf, at, iov.buf, iov.off + inIov, pieceBytes) !== -1) return false;
      inIov += pieceBytes;
      inExtent += pieceBytes;
    }
  }
  return true;
}
function zeroStep(io) {
  const disk = io.bdev.ctx;
  const stepBytes = Math.min(io.ctx.leftBytes, ZERO_STEP_BYTES);
  zeroExtents(disk.module.accel, disk, io.ctx.nextByte, stepBytes);
  io.ctx.nextByte += stepBytes;
  io.ctx.leftBytes -= stepBytes;
  if (io.ctx.leftBytes > 0) return io.thread.sendMsg(zeroStep, io);
  disk.zeroing--;
  io.complete(IoStatus.Success);
}
function resetWhenIdle(io) {
  if (io.bdev.ctx.zeroing === 0) io.complete(IoStatus.Success);
  else io.thread.sendMsg(resetWhenIdle, io);
}
function zeroExtents(accel, disk, startByte, lengthBytes) {
  let extentIndex = 0;
  let inExtent = startByte;
  let left = lengthBytes;
  while (left > 0) {
    while (inExtent >= disk.extents[extentIndex].len) inExtent -= disk.extents[extentIndex++].len;
    const extent = disk.extents[extentIndex];
    const pieceBytes = Math.min(left, extent.len - inExtent, ZERO_PIECE_BYTES);
    const at = extent.off + inExtent;
    if (pieceBytes < ZERO_PIECE_BYTES || !accel.isZero(extent.buf, at, pieceBytes)) accel.fill(extent.buf, at, 0, pieceBytes);
    inExtent += pieceBytes;
    left -= pieceBytes;
  }
}

// packages/modules-malloc/src/rpc.ts
var integer = (description, minimum, maximum) => ({ type: "integer", minimum, maximum, description });
var uint32 = (description) => integer(description, 0, 4294967295);
var int32 = (description) => integer(description, -2147483648, 2147483647);
var uint64 = (description) => integer(description, 0, Number.MAX_SAFE_INTEGER);
var object = (required, properties) => ({ type: "object", additionalProperties: false, required, properties });
var UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
var uuid = { type: "string", pattern: UUID, description: "UUID; default: random" };
var rpc = {
  bdev_malloc_create: method({
    description: "Create a RAM disk; answers its name",
    params: object(["num_blocks", "block_size"], {
      name: { type: "string", description: "Name of the bdev; default: `Malloc0`, `Malloc1`, \u2026" },
      num_blocks: uint64("Size in blocks, above 0"),
      block_size: uint32("Block size in bytes, a multiple of 512"),
      physical_block_size: uint32("Block size of the medium in bytes, a multiple of 512; default: `block_size`"),
      uuid,
      optimal_io_boundary: { ...uint32("Boundary, in blocks, that one I/O should not cross; 0 = none"), default: 0 },
      md_size: { ...uint32("Metadata bytes per block; only 0 works yet"), default: 0 },
      md_interleave: { type: "boolean", default: false, description: "Metadata follows each block instead of lying apart" },
      dif_type: { ...int32("Protection type 0 to 3; above 0 needs metadata"), default: 0 },
      dif_is_head_of_md: { type: "boolean", default: false, description: "Protection information starts the metadata" },
      dif_pi_format: { ...uint32("Format of the protection information"), default: 0 },
      numa_id: { ...int32("NUMA node of the memory; only -1, any, is there"), default: -1 }
    })
  }),
  bdev_malloc_delete: method({
    description: "Delete a RAM disk and its data",
    params: object(["name"], { name: { type: "string", description: "Name of the bdev" } })
  })
};
function refusal(p) {
  const { physical_block_size: physBlockSize = 0, md_size: mdSize = 0, dif_type: difType = 0, numa_id: numaId = -1 } = p;
  if (p.num_blocks === 0) return "num_blocks must be above 0";
  if (p.block_size === 0 || p.block_size % 512 !== 0) return `block_size must be a multiple of 512, but is ${p.block_size}`;
  if (physBlockSize % 512 !== 0) return `physical_block_size must be a multiple of 512, but is ${physBlockSize}`;
  if (![0, 8, 16, 32, 64, 128].includes(mdSize)) return `md_size must be 0, 8, 16, 32, 64 or 128, but is ${mdSize}`;
  if (difType < 0 || difType > 3) return `dif_type must be 0 to 3, but is ${difType}`;
  if (difType !== 0 && mdSize === 0) return `dif_type ${difType} needs an md_size`;
  return numaId === -1 ? void 0 : `numa_id must be -1, but is ${numaId}: memory is not bound to NUMA nodes`;
}
function mallocBdevCreate(module, host, p) {
  while (p.name === void 0 && host.bdevByName(`Malloc${module.nextName}`) !== void 0) module.nextName++;
  const name = p.name ?? `Malloc${module.nextName}`;
  const reason = refusal(p);
  if (reason !== void 0) throw new BdevError("EINVAL", `malloc bdev "${name}": ${reason}`);
  if (p.md_size) throw new BdevError("ENOTSUP", `malloc bdev "${name}": md_size ${p.md_size} is not supported yet; leave it out`);
  const lengthBytes = p.num_blocks * p.block_size;
  const extents = Number.isSafeInteger(lengthBytes) ? module.dma.allocBulk(lengthBytes) : void 0;
  if (extents === void 0) {
    throw new BdevError("ENOMEM", `malloc bdev "${name}": no memory for ${lengthBytes} bytes; make it smaller`);
  }
  const disk = { module, extents, buf: extents[0].buf, off: extents[0].off, len: extents[0].len, zeroing: 0 };
  try {
    host.registerBdev({
      name,
      ctx: disk,
      fn: mallocFn,
      productName: "Malloc disk",
      blockSizeBytes: p.block_size,
      numBlocks: p.num_blocks,
      physBlockSizeBytes: p.physical_block_size || p.block_size,
      writeCache: true,
      optimalIoBoundaryBlocks: p.optimal_io_boundary ?? 0,
      numaId: p.numa_id ?? -1,
      lendsReadBuffers: extents.length === 1,
      ...p.uuid !== void 0 && { uuid: p.uuid }
    });
  } catch (error) {
    module.dma.freeBulk(extents);
    throw error;
  }
  if (p.name === void 0) module.nextName++;
  return name;
}
var mallocCreateCall = (bdev) => ({
  method: "bdev_malloc_create",
  params: {
    name: bdev.name,
    num_blocks: bdev.numBlocks,
    block_size: bdev.blockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    uuid: bdev.uuid,
    optimal_io_boundary: bdev.optimalIoBoundaryBlocks,
    md_size: 0,
    dif_type: 0,
    dif_is_head_of_md: false,
    dif_pi_format: 0,
    numa_id: -1
  }
});

// packages/modules-malloc/src/index.ts
var src_default = defineBdevModule({
  name: "malloc",
  sdk: "0.1",
  rpc,
  setup(host) {
    const device = host.registerIoDevice({ name: "bdev_malloc", createChannel: () => module });
    const module = { accel: host.accel, dma: host.dma, device, nextName: 0 };
    return {
      handlers: {
        bdev_malloc_create: (params) => mallocBdevCreate(module, host, params),
        bdev_malloc_delete: ({ name }) => host.unregisterBdev(name).then(() => true)
      },
      createIoContext: () => ({ nextByte: 0, leftBytes: 0 }),
      moduleFini: () => device.unregister(),
      configJson: () => host.ownBdevs().map(mallocCreateCall)
    };
  }
});
export {
  src_default as default
};

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

// packages/modules-null/src/bdev-null.ts
var ZEROS_MIN_BYTES = 64 * 1024;
function lendZeros(module, io) {
  const lengthBytes = io.numBlocks * io.bdev.blockSizeBytes;
  let zeros = module.zeros.at(-1);
  if (zeros === void 0 || zeros.len < lengthBytes) {
    let zerosBytes = ZEROS_MIN_BYTES;
    while (zerosBytes < lengthBytes) zerosBytes *= 2;
    zeros = module.dma.alloc(zerosBytes);
    if (zeros === void 0) return IoStatus.Failed;
    module.zeros.push(zeros);
  }
  io.lend(zeros.buf, zeros.off, lengthBytes);
  return IoStatus.Success;
}
var nullFn = {
  destruct() {
  },
  ioTypeSupported(_module, type) {
    const { Read, Write, WriteZeroes, Reset, Abort } = IoType;
    return type === Read || type === Write || type === WriteZeroes || type === Reset || type === Abort;
  },
  getIoChannel(module) {
    return module.device.getIoChannel();
  },
  submitRequest(module, io) {
    switch (io.type) {
      case IoType.Read:
        if (io.iovCnt === 0) return io.complete(lendZeros(module, io));
        module.accel.fillIovs(io.iovs, io.iovCnt, 0);
        return io.complete(IoStatus.Success);
      case IoType.Write:
      case IoType.WriteZeroes:
      case IoType.Reset:
        return io.complete(IoStatus.Success);
      default:
        return io.complete(IoStatus.Failed);
    }
  }
};

// packages/modules-null/src/rpc.ts
var integer = (description, minimum, maximum) => ({ type: "integer", minimum, maximum, description });
var uint32 = (description) => integer(description, 0, 4294967295);
var uint64 = (description) => integer(description, 0, Number.MAX_SAFE_INTEGER);
var object = (required, properties) => ({ type: "object", additionalProperties: false, required, properties });
var name = { type: "string", description: "Name of the bdev" };
var UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
var uuid = { type: "string", pattern: UUID, description: "UUID; default: random" };
var rpc = {
  bdev_null_create: method({
    description: "Create a bdev that returns zeros and drops writes; answers its name",
    params: object(["name", "num_blocks", "block_size"], {
      name,
      num_blocks: uint64("Size in blocks, above 0"),
      block_size: uint32("Block size in bytes, a multiple of 512"),
      physical_block_size: uint32("Block size of the medium in bytes, a multiple of 512; default: `block_size`"),
      uuid,
      md_size: { ...uint32("Metadata bytes per block; only 0 works yet"), default: 0 },
      dif_type: { ...integer("Protection type 0 to 3; above 0 needs metadata", -2147483648, 2147483647), default: 0 },
      dif_is_head_of_md: { type: "boolean", default: false, description: "Protection information starts the metadata" },
      dif_pi_format: { ...uint32("Format of the protection information"), default: 0 },
      preferred_write_granularity: { ...uint32("Granularity that writes should have, in blocks"), default: 0 },
      preferred_write_alignment: { ...uint32("Alignment that writes should have, in blocks"), default: 0 },
      optimal_write_size: { ...uint32("Best write size, in blocks"), default: 0 },
      preferred_unmap_granularity: { ...uint32("Granularity that unmaps should have, in blocks"), default: 0 },
      preferred_unmap_alignment: { ...uint32("Alignment that unmaps should have, in blocks"), default: 0 }
    })
  }),
  bdev_null_resize: method({
    description: "Grow a null bdev",
    params: object(["name", "new_size"], { name, new_size: uint64("New size in MiB, not below the present one") })
  }),
  bdev_null_delete: method({ description: "Delete a null bdev", params: object(["name"], { name }) })
};
function refusal(p) {
  const { physical_block_size: physBlockSize = 0, md_size: mdSize = 0, dif_type: difType = 0 } = p;
  if (p.num_blocks === 0) return "num_blocks must be above 0";
  if (p.block_size === 0 || p.block_size % 512 !== 0) return `block_size must be a multiple of 512, but is ${p.block_size}`;
  if (physBlockSize % 512 !== 0) return `physical_block_size must be a multiple of 512, but is ${physBlockSize}`;
  if (![0, 8, 16, 32, 64, 128].includes(mdSize)) return `md_size must be 0, 8, 16, 32, 64 or 128, but is ${mdSize}`;
  if (difType < 0 || difType > 3) return `dif_type must be 0 to 3, but is ${difType}`;
  return difType !== 0 && mdSize === 0 ? `dif_type ${difType} needs an md_size` : void 0;
}
function nullBdevCreate(module, host, p) {
  const reason = refusal(p);
  if (reason !== void 0) throw new BdevError("EINVAL", `null bdev "${p.name}": ${reason}`);
  if (p.md_size) throw new BdevError("ENOTSUP", `null bdev "${p.name}": md_size ${p.md_size} is not supported yet; leave it out`);
  return host.registerBdev({
    name: p.name,
    ctx: module,
    fn: nullFn,
    productName: "Null disk",
    blockSizeBytes: p.block_size,
    numBlocks: p.num_blocks,
    physBlockSizeBytes: p.physical_block_size || p.block_size,
    preferredWriteGranularityBlocks: p.preferred_write_granularity ?? 0,
    preferredWriteAlignmentBlocks: p.preferred_write_alignment ?? 0,
    optimalWriteSizeBlocks: p.optimal_write_size ?? 0,
    preferredUnmapGranularityBlocks: p.preferred_unmap_granularity ?? 0,
    preferredUnmapAlignmentBlocks: p.preferred_unmap_alignment ?? 0,
    lendsReadBuffers: true,
    ...p.uuid !== void 0 && { uuid: p.uuid }
  }).name;
}
function nullBdevResize(host, { name: name2, new_size: newSizeMib }) {
  const bdev = host.bdevByName(name2);
  if (bdev === void 0) throw new BdevError("ENODEV", `bdev_null_resize: there is no bdev "${name2}"`);
  const numBlocks = Math.floor(newSizeMib * 1024 * 1024 / bdev.blockSizeBytes);
  if (bdev.moduleName !== "null" || numBlocks < bdev.numBlocks) {
    throw new BdevError("EINVAL", `bdev_null_resize: wanted a null bdev of at most ${numBlocks} blocks, but "${name2}" belongs to module "${bdev.moduleName}" and has ${bdev.numBlocks}`);
  }
  host.notifyBlockcntChange(bdev, numBlocks);
  return true;
}
var nullCreateCall = (bdev) => ({
  method: "bdev_null_create",
  params: {
    name: bdev.name,
    num_blocks: bdev.numBlocks,
    block_size: bdev.blockSizeBytes,
    physical_block_size: bdev.physBlockSizeBytes,
    md_size: 0,
    dif_type: 0,
    dif_is_head_of_md: false,
    dif_pi_format: 0,
    uuid: bdev.uuid,
    preferred_write_granularity: bdev.preferredWriteGranularityBlocks,
    preferred_write_alignment: bdev.preferredWriteAlignmentBlocks,
    optimal_write_size: bdev.optimalWriteSizeBlocks,
    preferred_unmap_granularity: bdev.preferredUnmapGranularityBlocks,
    preferred_unmap_alignment: bdev.preferredUnmapAlignmentBlocks
  }
});

// packages/modules-null/src/index.ts
var src_default = defineBdevModule({
  name: "null",
  sdk: "0.1",
  rpc,
  setup(host) {
    const device = host.registerIoDevice({ name: "bdev_null", createChannel: () => module });
    const module = { accel: host.accel, dma: host.dma, device, zeros: [] };
    return {
      handlers: {
        bdev_null_create: (params) => nullBdevCreate(module, host, params),
        bdev_null_resize: (params) => nullBdevResize(host, params),
        bdev_null_delete: ({ name: name2 }) => host.unregisterBdev(name2).then(() => true)
      },
      async moduleFini() {
        await device.unregister();
        for (const zeros of module.zeros) host.dma.free(zeros);
      },
      configJson: () => host.ownBdevs().map(nullCreateCall)
    };
  }
});
export {
  src_default as default
};

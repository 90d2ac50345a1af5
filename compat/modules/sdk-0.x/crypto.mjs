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
var RpcError = class extends Error {
  /** `code` on the wire. */
  rpcCode;
  /** `message` on the wire. */
  rpcMessage;
  constructor(rpcCode, rpcMessage, options = {}) {
    super(rpcMessage, options.cause === void 0 ? void 0 : { cause: options.cause });
    this.name = "RpcError";
    this.rpcCode = rpcCode;
    this.rpcMessage = rpcMessage;
  }
};
var MODULE_BRAND = "@bdevkit/bdev-module";
function defineBdevModule(spec) {
  return Object.freeze({ ...spec, [MODULE_BRAND]: 1 });
}
function method(spec = {}) {
  return spec;
}

// packages/modules-crypto/src/vbdev-crypto.ts
var CryptoIo = class {
  io = null;
  channel = null;
  /** What a WRITE becomes: the buffer that it came with is its submitter's. */
  encrypted = null;
  wait = { fn: writeEncrypted, arg: this };
};
var cryptoFn = {
  async destruct({ device, base }) {
    await device.unregister();
    await base.close();
  },
  ioTypeSupported(crypto, type) {
    switch (type) {
      case IoType.Read:
      case IoType.Write:
      case IoType.Unmap:
      case IoType.Flush:
      case IoType.Reset:
        return crypto.base.ioTypeSupported(type);
      default:
        return false;
    }
  },
  getIoChannel(crypto) {
    return crypto.device.getIoChannel();
  },
  submitRequest(channel, io) {
    const one = io.ctx;
    one.io = io;
    one.channel = channel;
    switch (io.type) {
      case IoType.Read:
        channel.crypto.busy++;
        return io.forwardThen(channel.base, readFromBase);
      case IoType.Write:
        return startWrite(channel, one);
      case IoType.Unmap:
      case IoType.Flush:
        return io.forward(channel.base);
      case IoType.Reset:
        return io.forwardThen(channel.base, baseWasReset);
      default:
        return io.complete(IoStatus.Failed);
    }
  },
  dumpInfoJson({ name, base, key }) {
    return { crypto: { base_bdev_name: base.bdev.name, name, key_name: key.name } };
  }
};
function cryptoAttach(host, base, name, key) {
  key.channel(base.bdev.blockSizeBytes);
  const device = host.registerIoDevice({
    name,
    createChannel() {
      const below = base.getIoChannel();
      if (below === null) throw new Error(`no channel of base bdev "${base.bdev.name}"`);
      return { crypto, base: below, xts: key.channel(base.bdev.blockSizeBytes) };
    },
    destroyChannel(channel) {
      channel.base.put();
    }
  });
  const crypto = { host, name, base, key, device, busy: 0, reset: null };
  return Object.assign(base.geometry(), { name, ctx: crypto, fn: cryptoFn, productName: "crypto" });
}
function readFromBase(child, io) {
  const one = io.ctx;
  const { crypto, xts } = one.channel;
  if (child.status === IoStatus.Success) {
    xts.decrypt(io.iovs, io.iovCnt, io.offsetBlocks, io.numBlocks, decrypted, one);
    return;
  }
  crypto.busy--;
  io.completeFrom(child);
  answerReset(crypto);
}
function decrypted(one, errno) {
  end(one, errno === 0 ? IoStatus.Success : IoStatus.Failed);
}
function startWrite(channel, one) {
  const io = one.io;
  const { crypto } = channel;
  const { blockSizeBytes, requiredAlignmentBytes } = io.bdev;
  const buffer = crypto.host.dma.alloc(io.numBlocks * blockSizeBytes, Math.max(64, requiredAlignmentBytes));
  if (buffer === void 0) {
    io.complete(IoStatus.Nomem);
    return;
  }
  crypto.busy++;
  one.encrypted = buffer;
  channel.xts.encrypt(buffer.buf, buffer.off, io.iovs, io.iovCnt, 0, io.offsetBlocks, io.numBlocks, encrypted, one);
}
function encrypted(one, errno) {
  if (errno === 0) {
    writeEncrypted(one);
    return;
  }
  freeEncrypted(one);
  end(one, IoStatus.Failed);
}
function writeEncrypted(one) {
  const io = one.io;
  const { buf, off } = one.encrypted;
  const { base } = one.channel;
  let rc;
  do
    rc = base.writeBlocks(buf, off, io.offsetBlocks, io.numBlocks, written, one);
  while (rc === -ERRNO.ENOMEM && base.queueIoWait(one.wait) !== 0);
  if (rc === 0 || rc === -ERRNO.ENOMEM) return;
  freeEncrypted(one);
  const { crypto } = one.channel;
  crypto.busy--;
  io.completeAio(rc);
  answerReset(crypto);
}
function written(child, _success, one) {
  const { crypto } = one.channel;
  freeEncrypted(one);
  crypto.busy--;
  one.io.completeFrom(child);
  child.free();
  answerReset(crypto);
}
function freeEncrypted(one) {
  one.channel.crypto.host.dma.free(one.encrypted);
  one.encrypted = null;
}
function end(one, status) {
  const { crypto } = one.channel;
  crypto.busy--;
  one.io.complete(status);
  answerReset(crypto);
}
function baseWasReset(child, io) {
  const { crypto } = io.ctx.channel;
  if (child.status !== IoStatus.Success || crypto.busy === 0) io.completeFrom(child);
  else crypto.reset = io;
}
function answerReset(crypto) {
  const { reset } = crypto;
  if (reset === null || crypto.busy > 0) return;
  crypto.reset = null;
  reset.thread.execMsg(succeed, reset);
}
function succeed(reset) {
  reset.complete(IoStatus.Success);
}

// packages/modules-crypto/src/cryptos.ts
var INVALID_PARAMS = -32602;
var INTERNAL_ERROR = -32603;
var DEFAULT_CIPHER = "AES_CBC";
var Cryptos = class {
  #host;
  #vbdevs;
  #settings = /* @__PURE__ */ new Map();
  constructor(host) {
    this.#host = host;
    this.#vbdevs = host.vbdevs({
      attach: (base, { name }) => cryptoAttach(host, base, name, this.#settings.get(name).key),
      uuidNamespace: "078e3cf7-f4b4-4545-b2c3-d40045a64ae2",
      onResize: "follow"
    });
  }
  /** Handler of `bdev_crypto_create`. */
  create(p) {
    const { name, base_bdev_name } = p;
    const who = `crypto bdev "${name}"`;
    const { keyName, made } = this.#findKey(p, who);
    try {
      if (this.#settings.has(name)) throw new BdevError("EEXIST", `${who}: there is one of that name; choose another or delete it`);
      const key = this.#host.accel.keys.hold(keyName, who);
      const settings = { params: { base_bdev_name, name }, key, ownsKey: made };
      this.#settings.set(name, settings);
      try {
        return this.#vbdevs.create({ ...settings.params });
      } catch (thrown) {
        this.#settings.delete(name);
        key.release();
        throw thrown;
      }
    } catch (thrown) {
      if (made) this.#host.accel.keys.destroy(keyName);
      throw thrown;
    }
  }
  /** Handler of `bdev_crypto_delete`. */
  async delete(name) {
    const settings = this.#settings.get(name);
    await this.#vbdevs.delete(name);
    if (settings === void 0 || !this.#settings.delete(name)) return true;
    settings.key.release();
    if (settings.ownsKey) this.#destroyOwn(settings.key.name);
    return true;
  }
  /** The end of the module: nothing encrypts any more. */
  releaseKeys() {
    for (const { key } of this.#settings.values()) key.release();
    this.#settings.clear();
  }
  /** For the saved configuration: SPDK's members. The keys are saved by the accel subsystem. */
  createCalls() {
    return [...this.#settings.values()].map(({ params: { base_bdev_name, name }, key }) => ({
      method: "bdev_crypto_create",
      params: { base_bdev_name, name, key_name: key.name }
    }));
  }
  /** The key by name, or as SPDK's obsolete parameters have it: found under a derived name, or made. */
  #findKey(p, who) {
    const { keys } = this.#host.accel;
    if (p.key_name !== void 0) {
      if (!keys.has(p.key_name)) throw new RpcError(INVALID_PARAMS, "Key was not found");
      if (p.key !== void 0 || p.cipher !== void 0 || p.crypto_pmd !== void 0) {
        this.#host.log.notice(`${who}: key_name "${p.key_name}" is given, so key, key2, cipher and crypto_pmd are ignored`);
      }
      return { keyName: p.key_name, made: false };
    }
    if (p.crypto_pmd !== void 0) this.#host.log.warn(`${who}: crypto_pmd is obsolete and ignored`);
    const cipher = p.cipher ?? DEFAULT_CIPHER;
    const keyName = `${p.name}_${cipher}`;
    if (keys.has(keyName)) return { keyName, made: false };
    try {
      keys.create({ name: keyName, cipher, key: p.key ?? "", ...p.key2 !== void 0 && { key2: p.key2 } });
    } catch (cause) {
      this.#host.log.error(`${who}: ${cause.message}; name one of accel_crypto_key_create as key_name`);
      throw new RpcError(INTERNAL_ERROR, "No key was found", { cause });
    }
    return { keyName, made: true };
  }
  #destroyOwn(keyName) {
    try {
      this.#host.accel.keys.destroy(keyName);
    } catch (thrown) {
      this.#host.log.notice(`crypto key "${keyName}" stays: ${thrown.message}`);
    }
  }
};

// packages/modules-crypto/src/rpc.ts
var PARSE_ERROR = -32700;
var INVALID_PARAMS2 = -32602;
var string = (description) => ({ type: "string", description });
var secret = (description) => ({ type: "string", writeOnly: true, description });
var object = (required, properties) => ({ type: "object", additionalProperties: false, required, properties });
var rpc = {
  bdev_crypto_create: method({
    description: "Create a bdev that encrypts what its base keeps, now or when the base appears; answers its name",
    decodeError: { code: PARSE_ERROR, message: "Failed to decode crypto disk create parameters." },
    params: object(["base_bdev_name", "name"], {
      base_bdev_name: string("Name, alias or UUID of the base bdev; it may appear later"),
      name: string("Name of the bdev"),
      key_name: string("Key made by `accel_crypto_key_create`; the parameters below are then ignored"),
      crypto_pmd: string("Obsolete, ignored"),
      key: secret("Obsolete: data key in hexadecimal, of a key of its own named `<name>_<cipher>`"),
      cipher: string("Obsolete: cipher of that key, default `AES_CBC`, which nothing serves; `AES_XTS` works"),
      key2: secret("Obsolete: tweak key of that key in hexadecimal")
    })
  }),
  bdev_crypto_delete: method({
    description: "Delete a crypto bdev, or forget one that still waits for its base; the data on the base stays",
    decodeError: { code: INVALID_PARAMS2, message: "Invalid parameters" },
    params: object(["name"], { name: string("Name of the bdev") })
  })
};

// packages/modules-crypto/src/index.ts
var src_default = defineBdevModule({
  name: "crypto",
  sdk: "0.1",
  rpc,
  setup(host) {
    const cryptos = new Cryptos(host);
    return {
      handlers: {
        bdev_crypto_create: (params) => cryptos.create(params),
        bdev_crypto_delete: ({ name }) => cryptos.delete(name)
      },
      createIoContext: () => new CryptoIo(),
      moduleFini: () => cryptos.releaseKeys(),
      configJson: () => cryptos.createCalls()
    };
  }
});
export {
  src_default as default
};

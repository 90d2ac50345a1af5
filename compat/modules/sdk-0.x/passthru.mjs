// SPDX-License-Identifier: Apache-2.0
// Built with module-sdk 0.1.0 by tools/freeze-modules.mjs.

// packages/module-sdk/dist/index.js
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
var MODULE_BRAND = "@bdevkit/bdev-module";
function defineBdevModule(spec) {
  return Object.freeze({ ...spec, [MODULE_BRAND]: 1 });
}
function method(spec = {}) {
  return spec;
}

// packages/modules-passthru/src/rpc.ts
var uuid = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
var rpc = {
  bdev_passthru_create: method({
    description: "Create a bdev that forwards every I/O to a base bdev, now or when the base appears; answers its name",
    params: {
      type: "object",
      additionalProperties: false,
      required: ["name", "base_bdev_name"],
      properties: {
        name: { type: "string", description: "Name of the bdev" },
        base_bdev_name: { type: "string", description: "Name, alias or UUID of the base bdev; it may appear later" },
        uuid: { type: "string", pattern: uuid, description: "UUID; default: derived from the base's" }
      }
    }
  }),
  bdev_passthru_delete: method({
    description: "Delete a passthru bdev, or forget one that still waits for its base",
    params: {
      type: "object",
      additionalProperties: false,
      required: ["name"],
      properties: { name: { type: "string", description: "Name of the bdev" } }
    }
  })
};

// packages/modules-passthru/src/vbdev-passthru.ts
var passthruFn = {
  destruct(passthru) {
    return passthru.base.close();
  },
  ioTypeSupported(passthru, type) {
    return passthru.base.ioTypeSupported(type);
  },
  getIoChannel(passthru) {
    return passthru.base.getIoChannel();
  },
  submitRequest(base, io) {
    io.forward(base);
  },
  dumpInfoJson({ name, base }) {
    return { passthru: { name, base_bdev_name: base.bdev.name } };
  }
};
function passthruAttach(base, { name }) {
  const { lendsReadBuffers } = base.bdev;
  return Object.assign(base.geometry(), { name, ctx: { name, base }, fn: passthruFn, productName: "passthru", lendsReadBuffers });
}

// packages/modules-passthru/src/index.ts
var src_default = defineBdevModule({
  name: "passthru",
  sdk: "0.1",
  rpc,
  setup(host) {
    const passthrus = host.vbdevs({
      attach: passthruAttach,
      uuidNamespace: "7e25812e-c8c0-4d3f-8599-16d790555b85",
      onResize: "follow"
    });
    return {
      handlers: {
        bdev_passthru_create: (params) => passthrus.create(params),
        bdev_passthru_delete: ({ name }) => passthrus.delete(name).then(() => true)
      },
      configJson: () => passthrus.createCalls("bdev_passthru_create", ["base_bdev_name", "name", "uuid"])
    };
  }
});
export {
  src_default as default
};

import type { Bdev } from './bdev.js';
import type { BdevHost } from './host.js';
import type { RpcCall, RpcHandlers, RpcMethod } from './rpc.js';
/** The string key under which {@link defineBdevModule} brands a module. */
export declare const MODULE_BRAND = "@bdevkit/bdev-module";
/** Hooks of a module in one host, `struct spdk_bdev_module`; what `setup` returns. All run on the app thread. */
export interface BdevModuleInstance<Methods extends Record<string, RpcMethod> = Record<string, RpcMethod>> {
    /** One handler for each method of the module's `rpc`. */
    handlers?: RpcHandlers<Methods>;
    /** Starts the module. Modules start in list order without waiting for each other; a throw or rejection ends initialisation. */
    moduleInit?(): void | Promise<void>;
    /** After all modules are initialised and examination is idle. Not called where initialisation failed. */
    initComplete?(): void;
    /** At the start of shutdown, in reverse list order, before any bdev is unregistered: release claims that no bdev stands for. */
    finiStart?(): void | Promise<void>;
    /** At the end of shutdown, in reverse list order, after every bdev is gone. */
    moduleFini?(): void | Promise<void>;
    /** RPC calls that bring the module's settings, and its bdevs unless `writeConfigJson` does, back. */
    configJson?(): readonly RpcCall[];
    /** A bdev has appeared: claim it or leave it, at once, without I/O. */
    examineConfig?(bdev: Bdev): void;
    /** As `examineConfig`, but may read the bdev first. Only for unclaimed bdevs and those that this module claimed. */
    examineDisk?(bdev: Bdev): void | Promise<void>;
    /** Makes the `ctx` of one pooled I/O (`get_ctx_size`). Always the same shape. */
    createIoContext?(): object;
}
/** What an author writes: see {@link defineBdevModule}. */
export interface BdevModuleSpec<Methods extends Record<string, RpcMethod> = Record<string, RpcMethod>> {
    /** Unique in a host, `^[a-z][a-z0-9_]{0,31}$`; the infix of its RPC methods. */
    name: string;
    /** SDK `major.minor` that the module was built against, as a literal. */
    sdk: string;
    /** Its RPC methods. */
    rpc?: Methods;
    /** Makes the module's instance in one host. Called once per host; all state lives in what it returns. */
    setup(host: BdevHost): BdevModuleInstance<Methods>;
}
/** A module as packages export it. */
export interface BdevModule<Methods extends Record<string, RpcMethod> = any> extends Readonly<BdevModuleSpec<Methods>> {
    /** Says that `defineBdevModule` made it; the number is the shape of the value. */
    readonly [MODULE_BRAND]: 1;
}
/**
 * Makes the value that a module package exports as its default: freezes and brands it. Nothing else happens; a module is
 * set up by the host that uses it.
 */
export declare function defineBdevModule<const Methods extends Record<string, RpcMethod> = {}>(spec: BdevModuleSpec<Methods>): BdevModule<Methods>;
/** `package.json#bdevModule`: the manifest that makes a package discoverable. Its schema is `schema/bdev-module.schema.json`. */
export interface ModuleManifest {
    /** Shape of the manifest itself. */
    manifestVersion: 1;
    /** Same as the module's `name`. */
    name: string;
    /** Key of `exports` whose default export is the module. */
    entry: string;
    /** Platforms that it runs on (`process.platform`); default all. */
    platforms?: readonly string[];
    /** Experimental capabilities that it needs, `name@version`. */
    requires?: readonly string[];
    /** SDK range where `dependencies` does not hold it (bundled packages). */
    sdk?: string;
}

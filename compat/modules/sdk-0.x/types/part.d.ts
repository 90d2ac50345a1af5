import type { Bdev, BdevFnTable } from './bdev.js';
/** A part to make on a {@link PartBase}. */
export interface PartSpec<Ctx = any> {
    /** Name of the part. */
    name: string;
    /** First block of the base that belongs to it. */
    offsetBlocks: number;
    /** Blocks that belong to it. */
    numBlocks: number;
    /** Kind of device as shown to users. */
    productName: string;
    /** Default: derived from the base's UUID, the offset and the length, as SPDK derives it. */
    uuid?: string;
    /** Further names. */
    aliases?: readonly string[];
    /** The module's own object for the part. */
    ctx: Ctx;
}
/** What a module adds to the behaviour of its parts: all optional, everything else the framework does. */
export type PartFnTable<Ctx = any> = Partial<Pick<BdevFnTable<Part<Ctx>>, 'dumpInfoJson' | 'writeConfigJson' | 'getModuleCtx' | 'resetDeviceStat' | 'dumpDeviceStatJson'>>;
/** A part: the `ctx` of its bdev. */
export interface Part<Ctx = any> {
    /** What it is a part of. */
    readonly base: PartBase;
    /** First block of the base that belongs to it. */
    readonly offsetBlocks: number;
    /** What the module gave. */
    readonly ctx: Ctx;
}
/** How a module opens the base of its parts. */
export interface PartBaseSpec<Ctx = any> {
    /** What the module adds to its parts. */
    fn?: PartFnTable<Ctx>;
    /** Told when the base is gone: its parts are unregistered, the claim is released and the descriptor closed. */
    onClosed?(): void;
}
/**
 * A bdev cut into parts (`struct spdk_bdev_part_base`). Open read-only; the first part takes an exclusive claim, and the
 * last one to go gives it back and closes the base. When the base goes, its parts go before. Its new size is left alone:
 * parts keep theirs.
 */
export interface PartBase {
    /** The base bdev. */
    readonly bdev: Bdev;
    /**
     * Makes a part.
     * @throws BdevError EPERM the base is claimed or open for writing; EINVAL the range does not fit; EEXIST the name is taken.
     */
    createPart<Ctx>(spec: PartSpec<Ctx>): Bdev<Part<Ctx>>;
    /** Its parts, in the order of creation. */
    parts(): readonly Bdev<Part>[];
    /** Unregisters every part and closes the base; settles when it is closed. Calling it again gives the same promise. */
    close(): Promise<void>;
}

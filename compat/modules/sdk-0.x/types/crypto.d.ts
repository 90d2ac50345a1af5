import type { Iov } from './dma.js';
/**
 * How the number of a data unit becomes the tweak of AES-XTS, as `accel_crypto_key_create` names it: SPDK's
 * `enum spdk_accel_crypto_tweak_mode`, in its order. A tweak is 16 bytes; numbers in it are little-endian, 64 bits each.
 *
 * - `SIMPLE_LBA` (default): one unit per block; 8 zero bytes, then the block number, as SPDK's software does it.
 * - `JOIN_NEG_LBA_WITH_LBA`: one unit per block; the block number, then its complement without the highest bit.
 * - `INCR_512_FULL_LBA`: a unit has 512 bytes whatever the block size is; its number, then 8 zero bytes. This is
 *   dm-crypt's `aes-xts-plain64`.
 * - `INCR_512_UPPER_LBA`: a unit has 512 bytes; 8 zero bytes, then its number.
 */
export declare const TWEAK_MODES: readonly ['SIMPLE_LBA', 'JOIN_NEG_LBA_WITH_LBA', 'INCR_512_FULL_LBA', 'INCR_512_UPPER_LBA'];
/** One of {@link TWEAK_MODES}. */
export type TweakMode = (typeof TWEAK_MODES)[number];
/** A key as `accel_crypto_key_create` takes it. Never log it, never put it into an error. */
export interface CryptoKeyParams {
    /** Unique among the keys of the host. */
    name: string;
    /** `AES_XTS`; SPDK knows `AES_CBC` too, which no software engine serves. */
    cipher: string;
    /** Data key: 32 or 64 hexadecimal digits. */
    key: string;
    /** Tweak key: as long as `key`, and different. */
    key2?: string;
    /** Default `SIMPLE_LBA`. */
    tweak_mode?: TweakMode;
}
/** Called when an encryption or decryption has ended: `errno` is 0, or -EIO where the cipher failed. */
export type CryptoCallback<Arg = unknown> = (arg: Arg, errno: number) => void;
/**
 * One thread's way to use a key. What is asked for within one turn of the thread is carried out together, by a message of
 * that thread, so it costs little to ask often. The callback never runs before the call has returned. Buffers and iovecs
 * stay as they are until then. Nothing is refused for lack of memory.
 */
export interface CryptoChannel {
    /**
     * Encrypts `numBlocks` blocks, which start `skipBytes` into the elements, into `dst` from `dstOff` on. The elements are
     * only read. `offsetBlocks` is the number of the first block.
     * @throws RangeError where a range leaves its buffer; then `cb` does not follow.
     */
    encrypt<Arg>(dst: Uint8Array, dstOff: number, iovs: readonly Iov[], iovCnt: number, skipBytes: number, offsetBlocks: number, numBlocks: number, cb: CryptoCallback<Arg>, arg: Arg): void;
    /**
     * Decrypts the first `numBlocks` blocks of the elements where they are.
     * @throws RangeError where a range leaves its buffer; then `cb` does not follow.
     */
    decrypt<Arg>(iovs: readonly Iov[], iovCnt: number, offsetBlocks: number, numBlocks: number, cb: CryptoCallback<Arg>, arg: Arg): void;
}
/** A key that somebody holds: until `release` nobody destroys it. Its bytes are out of reach. */
export interface CryptoKey {
    /** Its name. */
    readonly name: string;
    /**
     * A channel for the current thread and blocks of that size. It needs no release.
     * @throws BdevError EINVAL blocks that are no multiple of 16 bytes, or of 512 with a tweak mode `INCR_512_*`.
     */
    channel(blockSizeBytes: number): CryptoChannel;
    /** Gives it back. Twice does nothing. */
    release(): void;
}
/** The keys of a host. Control plane. */
export interface CryptoKeys {
    /**
     * Makes a key (`spdk_accel_crypto_key_create`).
     * @throws BdevError EINVAL cipher, length, digits or equal halves; EEXIST the name is taken; ENOENT nothing here does AES;
     * ENOMEM no room for the working memory.
     */
    create(params: CryptoKeyParams): void;
    /** Whether there is a key of that name. */
    has(name: string): boolean;
    /**
     * Takes hold of a key on behalf of `holder`, who is named to those that want to destroy it.
     * @throws BdevError ENOENT no such key.
     */
    hold(name: string, holder: string): CryptoKey;
    /**
     * Destroys a key.
     * @throws BdevError ENOENT no such key; EBUSY somebody holds it.
     */
    destroy(name: string): void;
}

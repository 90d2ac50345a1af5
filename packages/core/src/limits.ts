// SPDX-License-Identifier: Apache-2.0

/** I/Os in use in one host at most (`bdev_io_pool_size`). */
export const IO_POOL_SIZE = 65_535
/** I/Os that each thread has for itself (`bdev_io_cache_size`); the rest of the pool is shared. */
export const IO_CACHE_SIZE = 256
/** A thread takes from and gives back to the shared pool in steps of this many I/Os. */
export const IO_CREDIT_STEP = 64
/** I/O objects made at once. */
export const IO_SLAB = 32
/** Messages run before the clock is read again. */
export const MESSAGE_BATCH = 64
/** Messages of one turn at most; then the event loop has its turn. */
export const TURN_MESSAGES = 1_024
/** Length of one turn, soft, in milliseconds. */
export const TURN_MS = 0.05
/** Turns run from microtasks in a row before the event loop has its turn. */
export const MICROTASK_TURNS = 256
/** The message queue of a thread starts with this many entries; it doubles when full. A power of two. */
export const RING_SIZE = 1_024
/** A thread that exits is looked at this often, in microseconds. */
export const THREAD_EXIT_POLL_US = 1_000
/** Queued I/O is sent again when outstanding I/O has fallen by this much, or to half (`NOMEM_THRESHOLD_COUNT`). */
export const NOMEM_THRESHOLD = 8
/** Retry of queued I/O where nothing is outstanding, in microseconds. */
export const NOMEM_POLL_US = 10_000
/** Zeroes that emulated WRITE_ZEROES writes from (`ZERO_BUFFER_SIZE`). */
export const ZERO_BUFFER_BYTES = 0x10_0000
/** Children of one split or emulated I/O in flight at most. */
export const CHILDREN_IN_FLIGHT = 8
/** Pieces of data that the children of one round of a split READ or WRITE have together (`SPDK_BDEV_IO_NUM_CHILD_IOV`). */
export const CHILD_IOVS = 32
/** Small and large buffers (`IOBUF_DEFAULT_*`, `IOBUF_MIN_*`), and what a thread has of them in reserve (`BUF_*_CACHE_SIZE`). */
export const IOBUF_SMALL_COUNT = 8_192
export const IOBUF_LARGE_COUNT = 1_024
export const IOBUF_SMALL_BYTES = 8_192
export const IOBUF_LARGE_BYTES = 135_168
export const IOBUF_SMALL_COUNT_MIN = 64
export const IOBUF_LARGE_COUNT_MIN = 8
export const IOBUF_SMALL_BYTES_MIN = 4_096
export const IOBUF_LARGE_BYTES_MIN = 8_192
export const IOBUF_SMALL_CACHE = 128
export const IOBUF_LARGE_CACHE = 16
/** Alignment of each of them (`IOBUF_ALIGNMENT`); the DMA heap begins at a page. */
export const IOBUF_ALIGN_BYTES = 4_096
/** What the engine promises of the address of an `ArrayBuffer`. */
export const FOREIGN_ALIGN_BYTES = 8
/** A draining reset looks again after this long, in microseconds. */
export const RESET_POLL_US = 1_000_000
/** A wait of the control plane is reported after this long, in milliseconds. */
export const WAIT_REPORT_MS = 5_000
/** A warning that I/O causes is logged so many times, then once in so many milliseconds. */
export const REPEATED_MESSAGES = 10
export const REPEATED_MESSAGE_MS = 1_000
/** Rate limits hand out quotas this often, in microseconds (`SPDK_BDEV_QOS_TIMESLICE_IN_USEC`). */
export const QOS_TIMESLICE_US = 1_000
/** Smallest quota of a timeslice: I/Os, and bytes. */
export const QOS_MIN_IOS_PER_SLICE = 1
export const QOS_MIN_BYTES_PER_SLICE = 512
/** I/O rate limits are multiples of this many a second. */
export const QOS_IOS_STEP = 1_000
/** Largest bandwidth limit, in MiB a second: 2^64-1 bytes. */
export const QOS_MBYTES_MAX = 17_592_186_044_415
/** A descriptor's outstanding I/O is looked at for its timeout this often, in microseconds. */
export const IO_TIMEOUT_POLL_US = 1_000_000
/** An open that waits for its bdev tries again this often, in microseconds. */
export const OPEN_RETRY_US = 100_000
/** Media events that one descriptor holds until they are read (`MEDIA_EVENT_POOL_SIZE`). */
export const MEDIA_EVENTS_MAX = 64
/** Notifications kept for those who ask later (`SPDK_NOTIFY_MAX_EVENTS`). */
export const NOTIFICATIONS_MAX = 1_024
/** Counters of one latency histogram at most. */
export const HISTOGRAM_BUCKETS_MAX = 0x10_0000
/** Length of a claim's name. */
export const CLAIM_NAME_MAX = 31
/** Largest size of a bdev in blocks, and in bytes. */
export const SIZE_MAX = Number.MAX_SAFE_INTEGER

if (IO_CACHE_SIZE * 4 > IO_POOL_SIZE) throw new RangeError('IO_CACHE_SIZE: four threads would use up the pool')
if ((RING_SIZE & (RING_SIZE - 1)) !== 0) throw new RangeError('RING_SIZE: not a power of two')

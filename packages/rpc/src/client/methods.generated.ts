// SPDX-License-Identifier: Apache-2.0
// Written by tests/rpc/generated.test.ts.

/** The methods of the server with the modules that ship with it: parameters and results, from their schemas. */
export interface BdevkitMethods {
  /** Assigns an operation to an engine; "software" is the only one. */
  accel_assign_opc: { params: {
    /** Operation, by its name in `accel_get_opc_assignments` */
    opname: string
    /** Engine */
    module: string
  }; result: boolean }
  /** Creates a key of AES-XTS. */
  accel_crypto_key_create: { params: {
    name: string
    cipher: 'AES_CBC' | 'AES_XTS'
    /** Data key, 32 or 64 hexadecimal digits */
    key: string
    /** Tweak key, as long as `key` and different */
    key2?: string
    /** How the block number becomes the tweak; default SIMPLE_LBA */
    tweak_mode?: 'SIMPLE_LBA' | 'JOIN_NEG_LBA_WITH_LBA' | 'INCR_512_FULL_LBA' | 'INCR_512_UPPER_LBA'
  }; result: boolean }
  /** Destroys a key that no bdev uses. */
  accel_crypto_key_destroy: { params: {
    key_name: string
  }; result: boolean }
  /** All keys or one, with their bytes. */
  accel_crypto_keys_get: { params: {
    key_name?: string
  } | undefined; result: Record<string, unknown>[] }
  /** Engines and their operations. */
  accel_get_module_info: { params: undefined; result: Record<string, unknown>[] }
  /** Operations and the engine that carries out each. */
  accel_get_opc_assignments: { params: undefined; result: Record<string, string> }
  /** Counters of encryption and decryption; others are not counted. */
  accel_get_stats: { params: undefined; result: Record<string, unknown> }
  /** Keeps SPDK's sizes of its pools for the saved configuration; nothing here has such pools. */
  accel_set_options: { params: {
    small_cache_size?: number
    large_cache_size?: number
    task_count?: number
    sequence_count?: number
    buf_count?: number
  } | undefined; result: boolean }
  /** Make a bdev of a file or a block device; answers its name */
  bdev_aio_create: { params: {
    /** Name of the bdev */
    name: string
    /** Path of the file or block device, taken as it is */
    filename: string
    /** Block size in bytes, a power of two from 512 on; 0 = that of the block device */
    block_size?: number
    /** Open it for reading only */
    readonly?: boolean
    /** Deallocate on UNMAP and WRITE_ZEROES; true is ENOTSUP here */
    fallocate?: boolean
    /** UUID; default: random */
    uuid?: string
    /** Never block in the kernel (RWF_NOWAIT); true is ENOTSUP here */
    nowait?: boolean
  }; result: string }
  /** Delete an aio bdev; the file stays */
  bdev_aio_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Look at the size of the file again */
  bdev_aio_rescan: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Create a bdev that encrypts what its base keeps, now or when the base appears; answers its name */
  bdev_crypto_create: { params: {
    /** Name, alias or UUID of the base bdev; it may appear later */
    base_bdev_name: string
    /** Name of the bdev */
    name: string
    /** Key made by `accel_crypto_key_create`; the parameters below are then ignored */
    key_name?: string
    /** Obsolete, ignored */
    crypto_pmd?: string
    /** Obsolete: data key in hexadecimal, of a key of its own named `<name>_<cipher>` */
    key?: string
    /** Obsolete: cipher of that key, default `AES_CBC`, which nothing serves; `AES_XTS` works */
    cipher?: string
    /** Obsolete: tweak key of that key in hexadecimal */
    key2?: string
  }; result: string }
  /** Delete a crypto bdev, or forget one that still waits for its base; the data on the base stays */
  bdev_crypto_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Create a bdev that answers reads and writes later than its base, now or when the base appears; answers its name */
  bdev_delay_create: { params: {
    /** Name of the bdev */
    name: string
    /** Name, alias or UUID of the base bdev; it may appear later */
    base_bdev_name: string
    /** Delay of 99 in 100 reads, in microseconds */
    avg_read_latency: number
    /** Delay of 1 in 100 reads, in microseconds; at least `avg_read_latency` */
    p99_read_latency: number
    /** Delay of 99 in 100 writes, in microseconds */
    avg_write_latency: number
    /** Delay of 1 in 100 writes, in microseconds; at least `avg_write_latency` */
    p99_write_latency: number
    /** UUID; default: derived from the base's */
    uuid?: string
    /** Seed of everything that is drawn; default: another one at each start. Not in SPDK */
    seed?: number
    /** Distributions, with the parameters of `bdev_delay_set_distribution`. Not in SPDK */
    distributions?: {
      io_type: 'read' | 'write' | 'unmap' | 'flush' | 'write_zeroes'
      distribution: 'uniform' | 'normal' | 'pareto' | 'empirical'
      min_us?: number
      max_us?: number
      mean_us?: number
      stddev_us?: number
      scale_us?: number
      shape?: number
      file?: string
      seed?: number
    }[]
  }; result: string }
  /** Delete a delay bdev, or forget one that still waits for its base */
  bdev_delay_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Draw the delays of one I/O type from a distribution, or stop that. Not in SPDK */
  bdev_delay_set_distribution: { params: {
    /** Name of the bdev, attached or waiting */
    delay_bdev_name: string
    /** I/O type that it is for */
    io_type: 'read' | 'write' | 'unmap' | 'flush' | 'write_zeroes'
    /** Kind of distribution; `none` goes back to average and p99, or to no delay */
    distribution: 'uniform' | 'normal' | 'pareto' | 'empirical' | 'none'
    /** uniform: least delay in microseconds */
    min_us?: number
    /** uniform: greatest delay; the others: what no delay exceeds, default one minute */
    max_us?: number
    /** normal: mean; what would be negative is 0 */
    mean_us?: number
    /** normal: standard deviation */
    stddev_us?: number
    /** pareto: least delay */
    scale_us?: number
    /** pareto: tail index; the smaller, the heavier the tail */
    shape?: number
    /** empirical: file of samples in microseconds, a JSON array or one number per line; each is equally likely */
    file?: string
    /** Seed of this sequence; default: that of the bdev */
    seed?: number
  }; result: boolean }
  /** Change a latency of a delay bdev, attached or waiting; I/O that its base answers from then on has it */
  bdev_delay_update_latency: { params: {
    /** Name of the bdev */
    delay_bdev_name: string
    /** Which latency */
    latency_type: 'avg_read' | 'p99_read' | 'avg_write' | 'p99_write'
    /** Delay in microseconds; a p99 below its average is taken, as by SPDK */
    latency_us: number
  }; result: boolean }
  /** Turns the latency histogram of a bdev on or off. */
  bdev_enable_histogram: { params: {
    name: string
    enable: boolean
    opc?: string
    granularity?: number
    min_nsec?: number
    max_nsec?: number
  }; result: boolean }
  /** Create the error injection bdev `EE_<base>`, now or when the base appears */
  bdev_error_create: { params: {
    /** Name, alias or UUID of the base bdev; it may appear later */
    base_name: string
    /** Taken, saved and without effect, as in SPDK */
    uuid?: string
  }; result: boolean }
  /** Delete an error injection bdev, or forget one that still waits for its base */
  bdev_error_delete: { params: {
    /** Name of the bdev, `EE_` and its base */
    name: string
  }; result: boolean }
  /** The rules of an error injection bdev with what they saw and hit. Not in SPDK */
  bdev_error_get_rules: { params: {
    /** Name of the bdev, `EE_` and its base */
    name: string
  }; result: Record<string, unknown>[] }
  /** Let the next I/Os of a type go wrong */
  bdev_error_inject_error: { params: {
    /** Name of the bdev, `EE_` and its base */
    name: string
    /** Type of I/O; `clear` ends all injections */
    io_type: 'clear' | 'read' | 'write' | 'unmap' | 'flush' | 'all'
    /** What happens to it */
    error_type: 'failure' | 'pending' | 'corrupt_data' | 'nomem' | 'nvme_failure'
    /** I/Os that are hit */
    num?: number
    /** Hit only while a channel has this many I/Os with the base */
    queue_depth?: number
    /** `corrupt_data`: byte of the I/O that is changed */
    corrupt_offset?: number
    /** `corrupt_data`: what it is XORed with, not 0 */
    corrupt_value?: number
    /** `nvme_failure`: status code type */
    nvme_sct?: number
    /** `nvme_failure`: status code */
    nvme_sc?: number
  }; result: boolean }
  /** Send the I/Os that are held back on to the base, and hold back no more */
  bdev_error_resume_pending: { params: {
    /** Name of the bdev, `EE_` and its base */
    name: string
  }; result: boolean }
  /** Replace the rules of an error injection bdev; an empty list clears them. Not in SPDK */
  bdev_error_set_rules: { params: {
    /** Name of the bdev, `EE_` and its base */
    name: string
    /** Rules, see below; the first one that hits decides */
    rules: {
      io_type: 'read' | 'write' | 'unmap' | 'flush' | 'write_zeroes' | 'compare' | 'all'
      error_type: 'failure' | 'pending' | 'corrupt_data' | 'nomem' | 'nvme_failure' | 'errno'
      offset_blocks?: number
      num_blocks?: number
      every?: number
      probability?: number
      seed?: number
      count?: number
      heal_on_write?: boolean
      nvme_sct?: number
      nvme_sc?: number
      errno?: 'EPERM' | 'ENOENT' | 'EIO' | 'ENXIO' | 'EBADF' | 'EAGAIN' | 'ENOMEM' | 'EACCES' | 'EFAULT' | 'EBUSY' | 'EEXIST' | 'ENODEV' | 'ENOTDIR' | 'EISDIR' | 'EINVAL' | 'ENFILE' | 'EMFILE' | 'ETXTBSY' | 'EFBIG' | 'ENOSPC' | 'EROFS' | 'EPIPE' | 'ERANGE' | 'ENAMETOOLONG' | 'ELOOP' | 'EOVERFLOW' | 'EILSEQ' | 'ENOTSUP' | 'EADDRINUSE' | 'ECONNRESET' | 'ESHUTDOWN' | 'ETIMEDOUT' | 'ECONNREFUSED' | 'EALREADY' | 'EINPROGRESS' | 'ECANCELED'
      corrupt_offset?: number
      corrupt_value?: number
    }[]
  }; result: boolean }
  /** Examines a bdev, now or when it appears, where bdev_auto_examine is off. */
  bdev_examine: { params: {
    name: string
  }; result: boolean }
  /** Describes all bdevs, or one by name, alias or UUID. */
  bdev_get_bdevs: { params: {
    name?: string
    timeout?: number
  } | undefined; result: {
    name: string
    aliases: string[]
    product_name: string
    block_size: number
    num_blocks: number
    preferred_write_alignment: number
    preferred_write_granularity: number
    optimal_write_size: number
    preferred_unmap_alignment: number
    preferred_unmap_granularity: number
    uuid: string
    assigned_rate_limits: {
      rw_ios_per_sec: number
      rw_mbytes_per_sec: number
      r_mbytes_per_sec: number
      w_mbytes_per_sec: number
    }
    claimed: boolean
    zoned: boolean
    supported_io_types: {
      read: boolean
      write: boolean
      unmap: boolean
      flush: boolean
      reset: boolean
      nvme_admin: boolean
      nvme_io: boolean
      nvme_io_md: boolean
      write_zeroes: boolean
      zcopy: boolean
      get_zone_info: boolean
      zone_management: boolean
      zone_append: boolean
      compare: boolean
      compare_and_write: boolean
      abort: boolean
      seek_hole: boolean
      seek_data: boolean
      copy: boolean
      nvme_iov_md: boolean
      nvme_nssr: boolean
      write_uncorrectable: boolean
    }
    driver_specific: Record<string, unknown>
    numa_id?: number
    md_size?: number
    dif_type?: number
    md_interleave?: boolean
    dif_is_head_of_md?: boolean
    claim_type?: string
  }[] }
  /** The latency histogram of a bdev, all channels together. */
  bdev_get_histogram: { params: {
    name: string
  }; result: {
    histogram: string
    granularity: number
    min_range: number
    max_range: number
    tsc_rate: number
  } }
  /** How many latencies are at or below each of the given borders, in microseconds, and how many there are. */
  bdev_get_histogram_borders: { params: {
    name: string
    borders: number[]
  }; result: Record<string, unknown> }
  /** Counters of all bdevs, or of those named. */
  bdev_get_iostat: { params: {
    names?: string[]
    per_channel?: boolean
    reset_mode?: 'all' | 'maxmin' | 'error' | 'none'
  } | undefined; result: {
    tick_rate: number
    ticks: number
    bdevs?: {
      name: string
      bytes_read: number
      num_read_ops: number
      bytes_written: number
      num_write_ops: number
      bytes_unmapped: number
      num_unmap_ops: number
      bytes_copied: number
      num_copy_ops: number
      read_latency_ticks: number
      max_read_latency_ticks: number
      min_read_latency_ticks: number
      write_latency_ticks: number
      max_write_latency_ticks: number
      min_write_latency_ticks: number
      unmap_latency_ticks: number
      max_unmap_latency_ticks: number
      min_unmap_latency_ticks: number
      copy_latency_ticks: number
      max_copy_latency_ticks: number
      min_copy_latency_ticks: number
      queue_depth_polling_period?: number
      queue_depth?: number
      io_time?: number
      weighted_io_time?: number
      io_error?: Record<string, unknown>
      driver_specific?: Record<string, unknown>
    }[]
    name?: string
    channels?: {
      thread_id: number
      bytes_read: number
      num_read_ops: number
      bytes_written: number
      num_write_ops: number
      bytes_unmapped: number
      num_unmap_ops: number
      bytes_copied: number
      num_copy_ops: number
      read_latency_ticks: number
      max_read_latency_ticks: number
      min_read_latency_ticks: number
      write_latency_ticks: number
      max_write_latency_ticks: number
      min_write_latency_ticks: number
      unmap_latency_ticks: number
      max_unmap_latency_ticks: number
      min_unmap_latency_ticks: number
      copy_latency_ticks: number
      max_copy_latency_ticks: number
      min_copy_latency_ticks: number
    }[]
  } }
  /** What the bdev layer waits for, whom, and since when; oldest first. No method of SPDK. */
  bdev_get_pending: { params: undefined; result: Record<string, unknown>[] }
  /** Choose which partitions become bdevs; for disks that appear afterwards. SPDK has no such method */
  bdev_gpt_set_options: { params: {
    /** Partitions of every type, not only of SPDK's */
    all_partitions: boolean
  }; result: boolean }
  /** Create a RAM disk; answers its name */
  bdev_malloc_create: { params: {
    /** Name of the bdev; default: `Malloc0`, `Malloc1`, … */
    name?: string
    /** Size in blocks, above 0 */
    num_blocks: number
    /** Block size in bytes, a multiple of 512 */
    block_size: number
    /** Block size of the medium in bytes, a multiple of 512; default: `block_size` */
    physical_block_size?: number
    /** UUID; default: random */
    uuid?: string
    /** Boundary, in blocks, that one I/O should not cross; 0 = none */
    optimal_io_boundary?: number
    /** Metadata bytes per block: 0, 8, 16, 32, 64 or 128 */
    md_size?: number
    /** Metadata follows each block instead of lying apart */
    md_interleave?: boolean
    /** Protection type 0 to 3; above 0 needs metadata */
    dif_type?: number
    /** Protection information starts the metadata */
    dif_is_head_of_md?: boolean
    /** Format of the protection information: its guard has 16 (0), 32 (1) or 64 bits (2) */
    dif_pi_format?: number
    /** NUMA node of the memory; only -1, any, is there */
    numa_id?: number
  }; result: string }
  /** Delete a RAM disk and its data */
  bdev_malloc_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Create a bdev that returns zeros and drops writes; answers its name */
  bdev_null_create: { params: {
    /** Name of the bdev */
    name: string
    /** Size in blocks, above 0 */
    num_blocks: number
    /** Block size in bytes, a multiple of 512 */
    block_size: number
    /** Block size of the medium in bytes, a multiple of 512; default: `block_size` */
    physical_block_size?: number
    /** UUID; default: random */
    uuid?: string
    /** Metadata bytes per block, behind its data: 0, 8, 16, 32, 64 or 128 */
    md_size?: number
    /** Protection type 0 to 3; above 0 needs metadata */
    dif_type?: number
    /** Protection information starts the metadata */
    dif_is_head_of_md?: boolean
    /** Format of the protection information: its guard has 16 (0), 32 (1) or 64 bits (2) */
    dif_pi_format?: number
    /** Granularity that writes should have, in blocks */
    preferred_write_granularity?: number
    /** Alignment that writes should have, in blocks */
    preferred_write_alignment?: number
    /** Best write size, in blocks */
    optimal_write_size?: number
    /** Granularity that unmaps should have, in blocks */
    preferred_unmap_granularity?: number
    /** Alignment that unmaps should have, in blocks */
    preferred_unmap_alignment?: number
  }; result: string }
  /** Delete a null bdev */
  bdev_null_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Grow a null bdev */
  bdev_null_resize: { params: {
    /** Name of the bdev */
    name: string
    /** New size in MiB, not below the present one */
    new_size: number
  }; result: boolean }
  /** Create a bdev that forwards every I/O to a base bdev, now or when the base appears; answers its name */
  bdev_passthru_create: { params: {
    /** Name of the bdev */
    name: string
    /** Name, alias or UUID of the base bdev; it may appear later */
    base_bdev_name: string
    /** UUID; default: derived from the base's */
    uuid?: string
  }; result: string }
  /** Delete a passthru bdev, or forget one that still waits for its base */
  bdev_passthru_delete: { params: {
    /** Name of the bdev */
    name: string
  }; result: boolean }
  /** Put a bdev into an empty slot of an array; where that is online, it is rebuilt */
  bdev_raid_add_base_bdev: { params: {
    /** Name of the array */
    raid_bdev: string
    /** Name of the bdev */
    base_bdev: string
    /** Keep it until a member is missing; neither has to be there yet (not in SPDK) */
    spare?: boolean
  }; result: boolean }
  /** Create an array, now or when its last base bdev appears; answers true */
  bdev_raid_create: { params: {
    /** Name of the array, at most 63 bytes */
    name: string
    /** Strip size in KiB, a power of two; required for striped levels, 0 for raid1 */
    strip_size_kb?: number
    /** One of `raid0`, `0`, `raid1`, `1`, `raid10`, `10`, `raid5`, `5`, `raid6`, `6`, `raid5f`, `5f`, `concat` */
    raid_level: string
    /** Names of the base bdevs, in the order of slots */
    base_bdevs: string[]
    /** UUID; default: random */
    uuid?: string
    /** Keep the configuration on the base bdevs, which costs their first MiB */
    superblock?: boolean
    /** Of raid5 and raid6 with a superblock, default true: writes go to a journal first; false: only those of a degraded array (not in SPDK) */
    journal?: boolean
  }; result: boolean }
  /** Delete an array */
  bdev_raid_delete: { params: {
    /** Name of the array */
    name: string
    /** Zero the superblocks: it is not found again */
    clear_sb?: boolean
  }; result: boolean }
  /** List arrays, whether their bdev is there or not */
  bdev_raid_get_bdevs: { params: {
    /** Which arrays */
    category: 'online' | 'configuring' | 'offline' | 'all'
  }; result: Record<string, unknown>[] }
  /** Let the rebuild, resync or scrub of an array wait (not in SPDK) */
  bdev_raid_pause_process: { params: {
    /** Name of the array */
    name: string
  }; result: boolean }
  /** Take a bdev out of its array, or from its spares; an array that cannot do without goes offline */
  bdev_raid_remove_base_bdev: { params: {
    /** Name of the base bdev */
    name: string
  }; result: boolean }
  /** Let a paused process go on (not in SPDK) */
  bdev_raid_resume_process: { params: {
    /** Name of the array */
    name: string
  }; result: boolean }
  /** Set how rebuilds and scrubs go on; what is left out stays */
  bdev_raid_set_options: { params: {
    /** Size of the window that a rebuild or scrub locks, in KiB, above 0; at first 1024 */
    process_window_size_kb?: number
    /** Bandwidth of a rebuild or scrub in MiB/s, 0 = any; at first 0 */
    process_max_bandwidth_mb_sec?: number
    /** Region of the dirty map of arrays that are created from now on, in KiB, above 0 and larger where they need it; at first 16384 (not in SPDK) */
    dirty_region_size_kb?: number
    /** Start arrays with parity of which a member is missing and a crash interrupted writes, though some blocks may read wrong; at first false (not in SPDK) */
    start_dirty_degraded?: boolean
  } | undefined; result: boolean }
  /** Start a scrub: compare copies, or data with parity, and make them agree where `type` says so (not in SPDK) */
  bdev_raid_start_process: { params: {
    /** Name of the array */
    name: string
    /** `check` counts what does not agree, `repair` mends it, too */
    type: 'check' | 'repair'
  }; result: boolean }
  /** Stop the scrub of an array; a rebuild or resync can only be paused (not in SPDK) */
  bdev_raid_stop_process: { params: {
    /** Name of the array */
    name: string
  }; result: boolean }
  /** Sets the counters of all bdevs, or of one, back; those that its module keeps included. */
  bdev_reset_iostat: { params: {
    name?: string
    mode?: 'all' | 'maxmin' | 'error' | 'none'
  } | undefined; result: boolean }
  /** Options of the bdev layer. */
  bdev_set_options: { params: {
    bdev_io_pool_size?: number
    bdev_io_cache_size?: number
    bdev_auto_examine?: boolean
    iobuf_small_cache_size?: number
    iobuf_large_cache_size?: number
  } | undefined; result: boolean }
  /** Samples the queue depth of a bdev every so many microseconds; 0 = never. */
  bdev_set_qd_sampling_period: { params: {
    name: string
    period: number
  }; result: boolean }
  /** Limits the I/Os or the MiB a second of a bdev; 0 takes a limit off. */
  bdev_set_qos_limit: { params: {
    name: string
    rw_ios_per_sec?: number
    rw_mbytes_per_sec?: number
    r_mbytes_per_sec?: number
    w_mbytes_per_sec?: number
  }; result: boolean }
  /** Cut a base bdev into parts named <base>p0, <base>p1, …, now or when the base appears; answers the names of those made */
  bdev_split_create: { params: {
    /** Name of the base bdev; it may appear later */
    base_bdev: string
    /** Number of parts */
    split_count: number
    /** Size of each part in MiB; 0: the base in equal parts */
    split_size_mb?: number
  }; result: string[] }
  /** Delete all parts of a base bdev, or forget a split that still waits for its base */
  bdev_split_delete: { params: {
    /** Name of the base bdev */
    base_bdev: string
  }; result: boolean }
  /** Answers when no module examines a bdev any more. */
  bdev_wait_for_examine: { params: undefined; result: boolean }
  /** Makes the running configuration another one: removes, creates and sets what differs, and leaves the rest alone. */
  bdevkit_config_apply: { params: {
    /** A configuration file that the server reads */
    path?: string
    /** Or the configuration itself */
    config?: Record<string, unknown>
  } | undefined; result: {
    remove: Record<string, unknown>[]
    create: Record<string, unknown>[]
    set: Record<string, unknown>[]
    needs_restart: Record<string, unknown>[]
    keep: string[]
  } }
  /** What a configuration would remove, create, set and keep. Nothing is changed. */
  bdevkit_config_plan: { params: {
    /** A configuration file that the server reads */
    path?: string
    /** Or the configuration itself */
    config?: Record<string, unknown>
  } | undefined; result: {
    remove: Record<string, unknown>[]
    create: Record<string, unknown>[]
    set: Record<string, unknown>[]
    needs_restart: Record<string, unknown>[]
    keep: string[]
  } }
  /** What stands on what, who claims it, and who has it open. */
  bdevkit_get_graph: { params: undefined; result: {
    name: string
    product_name: string
    module: string
    block_size: number
    num_blocks: number
    bases: string[]
    claim_type: string | null
    claimed_by: string[]
    opened_by: {
      owner: string
      write: boolean
    }[]
  }[] }
  /** Name and version of this application; no method of SPDK. */
  bdevkit_get_version: { params: undefined; result: Record<string, unknown> }
  /** Calls that bring the configuration of one subsystem back. */
  framework_get_config: { params: {
    name: string
    /** Allow arrays of calls; there are none here. */
    with_batches?: boolean
  }; result: {
    method: string
    params?: Record<string, unknown>
  }[] }
  /** The governor of the processors: none. */
  framework_get_governor: { params: undefined; result: Record<string, unknown> }
  /** PCI devices taken from the kernel: none. */
  framework_get_pci_devices: { params: undefined; result: Record<string, unknown>[] }
  /** The reactor, which is the event loop, and its threads. */
  framework_get_reactors: { params: undefined; result: Record<string, unknown> }
  /** The scheduler and its period in microseconds. */
  framework_get_scheduler: { params: undefined; result: Record<string, unknown> }
  /** Subsystems in the order of initialisation, and what each needs. */
  framework_get_subsystems: { params: undefined; result: Record<string, unknown>[] }
  /** Sets the scheduler: static, which leaves threads where they are. */
  framework_set_scheduler: { params: {
    name: string
    /** Microseconds */
    period?: number
    load_limit?: number
    core_limit?: number
    core_busy?: number
    mappings?: string
  }; result: boolean }
  /** Initialises the framework: from STARTUP to RUNTIME. */
  framework_start_init: { params: undefined; result: boolean }
  /** Answers once the framework is initialised. */
  framework_wait_init: { params: undefined; result: boolean }
  /** Use of the pools of I/O buffers. */
  iobuf_get_stats: { params: undefined; result: Record<string, unknown>[] }
  /** Sizes of the pools of I/O buffers. There is one pool of each size, whatever enable_numa says. */
  iobuf_set_options: { params: {
    small_pool_count?: number
    large_pool_count?: number
    small_bufsize?: number
    large_bufsize?: number
    enable_numa?: boolean
  } | undefined; result: boolean }
  /** Keys in the keyring: none; accel_crypto_keys_get shows those of crypto bdevs. */
  keyring_get_keys: { params: undefined; result: Record<string, unknown>[] }
  /** Prints messages of a source by their level again. */
  log_clear_flag: { params: {
    /** A source of messages as log_get_flags names it, or all */
    flag: string
  }; result: unknown }
  /** Starts each line of the log with its time. */
  log_enable_timestamps: { params: {
    enabled: boolean
  }; result: unknown }
  /** Sources of messages, and whether all of their messages are printed. */
  log_get_flags: { params: undefined; result: Record<string, boolean> }
  /** Level for the log of the system, which is kept and not used. */
  log_get_level: { params: undefined; result: 'ERROR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG' }
  /** Level up to which messages are printed. */
  log_get_print_level: { params: undefined; result: 'ERROR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG' }
  /** Prints all messages of a source, whatever their level. */
  log_set_flag: { params: {
    /** A source of messages as log_get_flags names it, or all */
    flag: string
  }; result: unknown }
  /** Level for the log of the system, which is kept and not used: sets it. */
  log_set_level: { params: {
    level: 'ERROR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG'
  }; result: unknown }
  /** Level up to which messages are printed: sets it. */
  log_set_print_level: { params: {
    level: 'ERROR' | 'WARNING' | 'NOTICE' | 'INFO' | 'DEBUG'
  }; result: unknown }
  /** Disks, or one. */
  nbd_get_disks: { params: {
    /** unix:PATH, tcp:HOST:PORT, or a device of the kernel, /dev/nbdN */
    nbd_device?: string
  } | undefined; result: {
    nbd_device: string
    bdev_name: string
  }[] }
  /** NBD servers with their addresses, exports and connections. */
  nbd_get_servers: { params: undefined; result: unknown }
  /** Serves one more bdev on a server. Answers its URIs. */
  nbd_server_add_export: { params: {
    /** Name of the server, default nbd0 */
    server?: string
    bdev_name: string
    /** Name that clients ask for, default the bdev's */
    name?: string
    read_only?: boolean
    description?: string
    /** Let a client use several connections, default true */
    multi_conn?: boolean
  }; result: string[] }
  /** Serves a bdev no longer; its connections end first. */
  nbd_server_remove_export: { params: {
    /** Name of the server, default nbd0 */
    server?: string
    name: string
  }; result: boolean }
  /** Starts an NBD server without exports. */
  nbd_server_start: { params: {
    /** Name of the server, default nbd0 */
    name?: string
    /** Addresses: unix:PATH, tcp:HOST:PORT, tcp:[IPV6]:PORT */
    listen: string[]
  }; result: unknown }
  /** Stops an NBD server; clients may end by themselves until the deadline. Answers how many had to be cut. */
  nbd_server_stop: { params: {
    /** Name of the server, default nbd0 */
    name?: string
    /** Milliseconds, default 5000 */
    deadline_ms?: number
  } | undefined; result: {
    cut: number
  } }
  /** Serves a bdev on a device: an address for NBD clients, or /dev/nbdN by way of nbd-client. */
  nbd_start_disk: { params: {
    bdev_name: string
    /** unix:PATH, tcp:HOST:PORT, or a device of the kernel, /dev/nbdN; default the first free one */
    nbd_device?: string
  }; result: string }
  /** Ends a disk. */
  nbd_stop_disk: { params: {
    /** unix:PATH, tcp:HOST:PORT, or a device of the kernel, /dev/nbdN */
    nbd_device: string
  }; result: boolean }
  /** Notifications from an id on; the last 1024 are kept. */
  notify_get_notifications: { params: {
    id?: number
    max?: number
  } | undefined; result: {
    type: string
    ctx: string
    id: number
  }[] }
  /** Types of notifications. */
  notify_get_types: { params: undefined; result: string[] }
  /** The methods of this server as an OpenRPC document. */
  'rpc.discover': { params: undefined; result: Record<string, unknown> }
  /** Names of the methods, newest registration first. */
  rpc_get_methods: { params: {
    current?: boolean
    include_aliases?: boolean
  } | undefined; result: string[] }
  /** Name of the socket implementation. */
  sock_get_default_impl: { params: undefined; result: Record<string, unknown> }
  /** Options of a socket implementation. */
  sock_impl_get_options: { params: {
    /** posix, ssl or uring */
    impl_name: string
  }; result: Record<string, unknown> }
  /** Keeps options of a socket implementation for the saved configuration; nothing here has them. */
  sock_impl_set_options: { params: {
    /** posix, ssl or uring */
    impl_name: string
    recv_buf_size?: number
    send_buf_size?: number
    enable_recv_pipe?: boolean
    enable_quickack?: boolean
    enable_placement_id?: number
    enable_zerocopy_send_server?: boolean
    enable_zerocopy_send_client?: boolean
    zerocopy_threshold?: number
    tls_version?: number
    enable_ktls?: boolean
  }; result: boolean }
  /** Keeps the name of the socket implementation to use. */
  sock_set_default_impl: { params: {
    /** posix, ssl or uring */
    impl_name: string
  }; result: boolean }
  /** Version of the SPDK whose RPC this speaks. */
  spdk_get_version: { params: undefined; result: Record<string, unknown> }
  /** Ends the application as the signal would. */
  spdk_kill_instance: { params: {
    sig_name: 'SIGINT' | 'SIGTERM' | 'SIGQUIT' | 'SIGHUP' | 'SIGKILL' | 'SIGUSR1'
  }; result: boolean }
  /** Channels that each thread holds. */
  thread_get_io_channels: { params: undefined; result: Record<string, unknown> }
  /** Pollers of each thread. */
  thread_get_pollers: { params: undefined; result: Record<string, unknown> }
  /** Threads: how long they were busy and idle, and how many pollers they have. */
  thread_get_stats: { params: undefined; result: Record<string, unknown> }
  /** Moves a thread to other reactors. There is one, of mask 1: all that can be asked for is what is. */
  thread_set_cpumask: { params: {
    id: number
    /** Hexadecimal, or a list as [0] */
    cpumask: string
  }; result: boolean }
}

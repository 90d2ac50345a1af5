// SPDX-License-Identifier: Apache-2.0
/**
 * The bdev framework: threads, channels, the I/O path, registration, claims, examination, module life cycle.
 * @packageDocumentation
 */
export { Bdev, type BdevStatus } from './bdev/bdev.js'
export { bdevInfoJson, bdevStat, ioErrorJson, statJson, TICK_RATE } from './bdev/bdev-info.js'
export { CLAIM_TYPE_NAMES } from './descriptor/claim.js'
export { Desc } from './descriptor/desc.js'
export { DescChannel } from './descriptor/desc-channel.js'
export { BdevHandle, type BdevOpenOptions, type IoOptions, type WriteOptions } from './host/bdev-handle.js'
export { createHost, Host, type HostOptions, type HostState, type HostUsage } from './host/host.js'
export { ioErrno } from './host/io-errno.js'
export { type PendingWait } from './host/waits.js'
export { BdevIo } from './io/bdev-io.js'
export { consoleSink, createLogger, type LogLevel, type LogSink } from './log.js'
export { ModuleRecord } from './module/module-record.js'
export { SDK_VERSION } from './sdk-version.js'
export { systemClock, type Clock, type TimerHandle } from './thread/clock.js'
export { Reactor } from './thread/reactor.js'
export { SpdkThread } from './thread/thread.js'

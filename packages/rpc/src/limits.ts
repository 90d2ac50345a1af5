// SPDX-License-Identifier: Apache-2.0

/** Bytes a request may take, with the whitespace before it: SPDK's receive buffer. */
export const REQUEST_BYTES_MAX = 256 * 1024
/** JSON values in one request, names and container ends counted as SPDK's parser does. */
export const REQUEST_VALUES_MAX = 8192
/** Containers inside one another in one request or configuration file. */
export const NESTING_DEPTH_MAX = 64
/** Connections served at once; further ones wait. */
export const CONNECTIONS_MAX = 64
/** Connections that wait for a free place; further ones are closed. */
export const CONNECTIONS_WAITING_MAX = 64
/** Requests in work per connection; at this number reading stops until one has been answered. */
export const REQUESTS_IN_WORK_MAX = 1024
/** Unsent response bytes per connection at which reading stops. */
export const RESPONSE_BYTES_READ_STOP = 1024 * 1024
/** Unsent response bytes per connection; past it the connection is closed. Also the longest single response. */
export const RESPONSE_BYTES_MAX = 32 * 1024 * 1024
/** Unsent response bytes of all connections; the connection that goes past it is closed. */
export const RESPONSE_BYTES_TOTAL_MAX = 128 * 1024 * 1024
/** Bytes of a configuration file. */
export const CONFIG_FILE_BYTES_MAX = 64 * 1024 * 1024
/** Bytes of a socket path without its terminating zero: sun_path is 108 bytes on Linux, 104 elsewhere. */
export const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103

if (RESPONSE_BYTES_READ_STOP >= RESPONSE_BYTES_MAX) throw new RangeError('RESPONSE_BYTES_READ_STOP: reading would never stop')
if (RESPONSE_BYTES_TOTAL_MAX < RESPONSE_BYTES_MAX) throw new RangeError('RESPONSE_BYTES_TOTAL_MAX: one connection must fit')

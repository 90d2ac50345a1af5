// SPDX-License-Identifier: Apache-2.0

/** Where a connection stands. The order counts: from `Draining` on it takes no requests. */
export const Phase = {
  Handshake: 0,
  Transmission: 1,
  /** No further requests; replies still go out. */
  Draining: 2,
  /** The socket is gone, or going. Requests in flight complete without a reply. */
  Dead: 3,
} as const

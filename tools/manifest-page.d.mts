// SPDX-License-Identifier: Apache-2.0
// Types of manifest-page.mjs, which Node runs as it is.
export function manifestPage(schema: object): string

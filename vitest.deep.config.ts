// SPDX-License-Identifier: Apache-2.0
// `npm run test:deep`: model, end-to-end and soak tests that take longer than a developer waits.
import { config } from './vitest.config.js'

export default config('**/*.deep.test.ts', [], 600_000)

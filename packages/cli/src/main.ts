// SPDX-License-Identifier: Apache-2.0
import { run } from './program.js'

// What a module leaves behind (a timer, a socket) must not keep the process: the status is known, so this is the end.
process.exit(await run(process.argv.slice(2)))

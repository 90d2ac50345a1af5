// SPDX-License-Identifier: Apache-2.0
// `bdev-module-check`; and, with --probe, the process in which it imports a module, which loads nothing else of ours.
if (process.argv[2] === '--probe') await import('./check/effects-probe.js')
else process.exitCode = await import('./run-check.js').then(({ runCheck }) => runCheck(process.argv.slice(2)))

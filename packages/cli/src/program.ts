// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import { collect, parseExport, parseInteger, parseSeconds, parseSize } from './options.js'
import { cliVersion, err, failureText, LOG_LEVELS, UsageError } from './output.js'
import type { ModulesOptions } from './modules.js'
import { PERF_WORKLOADS } from './perf-workloads.js'
import type { PerfOptions } from './perf.js'
import type { RpcOptions } from './rpc.js'
import type { DoctorOptions } from './doctor.js'
import type { ServeOptions } from './serve.js'
import type { TopOptions } from './top.js'
import type { TreeOptions } from './tree.js'

// The grammar of the command line. What a command does is in the file of its name, loaded when it is called: `bdev --help`
// loads no framework.

/** Where SPDK's applications and its rpc.py meet. */
const SPDK_SOCKET = join('/var/tmp', 'spdk.sock')

/**
 * Runs the command line, without `node` and the file's name.
 * @returns the exit status: 0 done, 1 it failed (standard error says why), 2 the command line cannot be understood
 */
export async function run(args: readonly string[]): Promise<number> {
  let status = 0
  const program = grammar(args, given => {
    status = given
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return status
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2
    err(`bdev: ${failureText(thrown)}`)
    return thrown instanceof UsageError ? 2 : 1
  }
}

function grammar(args: readonly string[], done: (status: number) => void): Command {
  const program = new Command('bdev')
    .description(
      'Block devices as packages: a stack file composes them, "serve" gives them to real clients over NBD and to control ' +
        "planes over SPDK's JSON-RPC.",
    )
    .version(`bdev ${cliVersion()}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'bdev:')) })
    .enablePositionalOptions()
    .showHelpAfterError('(add --help to see how it is used)')
    .exitOverride()
  addServe(program, args, done)
  addRpc(program, done)
  addTree(program, done)
  addTop(program, done)
  addPerf(program, done)
  addModules(program, done)
  addDoctor(program, done)
  return program.addHelpText(
    'after',
    examples(
      'bdev serve -c stack.json --nbd unix:nbd.sock --run \'nbdinfo "$uri"\'',
      'bdev rpc -s bdev.sock bdev_get_bdevs',
      'bdev modules',
    ) + '\n\nExit status: 0 done, 1 failed (standard error says why and what to do), 2 wrong command line.',
  )
}

function addServe(program: Command, args: readonly string[], done: (status: number) => void): void {
  const command = program
    .command('serve')
    .summary('serve a stack over NBD and JSON-RPC')
    .description(
      'Brings up the bdevs of a stack file and serves them until it is stopped. The first SIGINT or SIGTERM lets clients ' +
        'finish what they have in flight, the second one ends at once.',
    )
    .option('-c, --config <file>', "stack file: SPDK's JSON configuration, optionally with a list of modules")
    .option('-r, --rpc-socket <path>', 'answer JSON-RPC on this Unix socket (mode 0600); not at all without it')
    .option('--wait-for-rpc', 'initialise nothing before a client calls framework_start_init')
    .option('--rpcs-allowed <methods>', 'the only methods that exist, separated by commas', text => text.split(','))
    .option('--lenient', 'name each call of the stack file that fails, and go on')
    .option(
      '--nbd <address>',
      'answer NBD on unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT; may be given several times',
      collect((text: string) => text),
    )
    .option(
      '--export <bdev[=name]>',
      'export this bdev, under this name; may be given several times, the first is the default export ' +
        '(default: every bdev that nothing stands on, newest first)',
      collect(parseExport),
    )
    .option('--read-only', 'refuse writes over NBD')
    .option(
      '--run <command>',
      'run a shell command with $uri, $nbd, $unixsocket, $port, $exportname and $uri_<export> set, then stop; ' +
        'its exit status becomes ours; without --nbd a private socket is made',
    )
    .option('--stdio', 'serve one NBD client on standard input and output')
    .option('--metrics <address>', 'answer GET /metrics for Prometheus on tcp:HOST:PORT or unix:PATH')
    .option('--insecure-listen', 'allow addresses that other machines can reach, with neither encryption nor passwords')
    .option('--strict', 'check modules for misuse of I/O objects and buffers; slow, for tests')
    .option('--json', 'when ready, print what is served as one line of JSON')
    .option('--watch', 'build modules that are named by their folder, and start again, whenever their sources or the stack file change')
  addModuleOptions(command)
  addLogLevel(command)
  command
    .addHelpText(
      'after',
      examples(
        'bdev serve -c stack.json -r bdev.sock --nbd unix:nbd.sock',
        'bdev serve -c stack.json --run \'qemu-img convert -n disk.raw "$uri"\'',
        'bdev serve -c stack.json --nbd tcp:127.0.0.1:10809 --export Malloc0 --read-only',
      ),
    )
    .action(async (options: ServeOptions) => {
      if (options.watch === true) return done(await (await import('./serve-watch.js')).serveWatching(options, args))
      done(await (await import('./serve.js')).serve(options))
    })
}

function addRpc(program: Command, done: (status: number) => void): void {
  program
    .command('rpc')
    .summary('call a JSON-RPC method of a running server')
    .description(
      "Calls one method of a server, ours or SPDK's, and prints its result as JSON. Arguments and flags of a method are those of SPDK's " +
        'rpc.py; METHOD --help shows them. save_config, load_config, save_subsystem_config and load_subsystem_config work as there.',
    )
    .argument('<method>', 'name of the method; rpc_get_methods lists all')
    .argument('[args...]', 'its arguments and flags, or name=value')
    .passThroughOptions()
    .option('-s, --socket <path>', "the server's Unix socket", SPDK_SOCKET)
    .option('--params <json>', 'all parameters as one JSON object, or - to read it from standard input')
    .option('-t, --timeout <seconds>', 'how long to wait for the answer; 0 waits for ever', parseSeconds(0), 60)
    .option('--json', 'print the result on one line')
    .addHelpText(
      'after',
      examples(
        'bdev rpc -s bdev.sock bdev_malloc_create -b Malloc1 64 512',
        'bdev rpc -s bdev.sock bdev_malloc_create name=Malloc1 num_blocks=131072 block_size=512',
        'bdev rpc -s bdev.sock bdev_get_bdevs --params \'{"name": "Malloc1"}\'',
        'bdev rpc -s bdev.sock bdev_get_bdevs -p malloc',
        'bdev rpc -s bdev.sock save_config > saved.json',
      ),
    )
    .action(async (method: string, pairs: string[], options: RpcOptions) => {
      done(await (await import('./rpc.js')).callRpc(method, pairs, options))
    })
}

function addTree(program: Command, done: (status: number) => void): void {
  program
    .command('tree')
    .summary('show what stands on what in a running server')
    .description('Shows the bdevs of a server from the top: what each stands on, who claims it, and who has it open.')
    .option('-s, --socket <path>', "the server's Unix socket", SPDK_SOCKET)
    .option('--json', 'print the graph as JSON')
    .addHelpText('after', examples('bdev tree -s bdev.sock'))
    .action(async (options: TreeOptions) => {
      done(await (await import('./tree.js')).tree(options))
    })
}

function addTop(program: Command, done: (status: number) => void): void {
  program
    .command('top')
    .summary('watch what the bdevs of a running server do')
    .description(
      'Prints IOPS, MiB/s, latencies and queue depth of each bdev and layer, again and again. It turns on histograms and sampling where ' +
        'they are off, and off again at the end.',
    )
    .option('-s, --socket <path>', "the server's Unix socket", SPDK_SOCKET)
    .option('-i, --interval <seconds>', 'time between two tables', parseSeconds(0.01), 1)
    .option('-n, --count <count>', 'tables to print; without it until a signal', parseInteger(1, 1_000_000))
    .option('--no-latency', 'leave histograms alone: no percentiles')
    .option('--json', 'print each table as one line of JSON')
    .addHelpText('after', examples('bdev top -s bdev.sock', 'bdev top -s bdev.sock -i 0.5 -n 1 --json'))
    .action(async (options: TopOptions) => {
      done(await (await import('./top.js')).top(options))
    })
}

function addDoctor(program: Command, done: (status: number) => void): void {
  program
    .command('doctor')
    .summary('say what this host can do')
    .description('Looks for what bdev needs and for what people use with it: NBD clients, the kernel, FUSE, virtual machines.')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', examples('bdev doctor'))
    .action(async (options: DoctorOptions) => {
      done((await import('./doctor.js')).doctor(options))
    })
}

function addPerf(program: Command, done: (status: number) => void): void {
  const command = program
    .command('perf')
    .summary('measure a bdev')
    .description(
      "SPDK's bdevperf: keeps a number of I/Os in flight on a bdev, from one thread, without any network between. Two " +
        'passes of the same length: the first counts, the second reads the clock for each I/O. Writes and verify destroy ' +
        'what the bdev holds.',
    )
    .requiredOption('-c, --config <file>', 'stack file')
    .requiredOption('--bdev <name>', 'name, alias or UUID of the bdev')
    .addOption(new Option('-w, --workload <workload>', 'what to do').choices(PERF_WORKLOADS).makeOptionMandatory())
    .option('-M, --read-percentage <percent>', 'share of reads in rw and randrw', parseInteger(0, 100), 50)
    .requiredOption('-q, --queue-depth <count>', 'I/Os in flight', parseInteger(1, 65_535))
    .requiredOption('-o, --io-size <bytes>', 'size of an I/O: 4096, 4k, 1M', parseSize)
    .requiredOption('-t, --time <seconds>', 'length of a pass', parseSeconds(0.01))
    .option('--warmup <seconds>', 'time before the first pass that does not count', parseSeconds(0), 0.5)
    .option('--no-latency', 'leave the second pass out')
    .option('--threads <count>', 'threads that submit; only 1 so far', parseInteger(1, 1), 1)
    .option('-z, --wait-for-tests', 'measure when the JSON-RPC method perform_tests asks for it, which may say otherwise than these options')
    .option('-r, --rpc-socket <path>', 'Unix socket for perform_tests')
    .option('--json', 'print the result as one line of JSON')
  addModuleOptions(command)
  addLogLevel(command)
  command
    .addHelpText(
      'after',
      examples(
        'bdev perf -c stack.json --bdev Malloc0 -w randread -o 4096 -q 32 -t 5 --json',
        'bdev perf -c stack.json --bdev Malloc0 -w randread -o 4096 -q 32 -t 5 -z -r perf.sock',
      ),
    )
    .action(async (options: PerfOptions) => {
      done(await (await import('./perf.js')).perf(options))
    })
}

function addModules(program: Command, done: (status: number) => void): void {
  const command = program
    .command('modules')
    .summary('list the module packages that are found')
    .description(
      'Lists the modules that "serve" would load here: where each was found, its version, the SDK it was built for, and why a ' +
        'module is refused. Exit status 1 where one is.',
    )
    .option('-c, --config <file>', 'stack file, for its list of modules and the methods it calls')
    .option('--json', 'print the list as JSON')
  addModuleOptions(command)
  command.addHelpText('after', examples('bdev modules', 'bdev modules -c stack.json --module ./my-module --json'))
  command.action(async (options: ModulesOptions) => {
    done(await (await import('./modules.js')).listModules(options))
  })
}

function addModuleOptions(command: Command): void {
  command
    .option(
      '--module <spec>',
      'load this module: a package name, or a folder that starts with ./, ../ or /; may be given several times',
      collect((text: string) => text),
    )
    .option('--no-discover', 'load only modules that the stack file or --module name, not those of package.json and our own')
}

function addLogLevel(command: Command): void {
  const level = new Option('--log-level <level>', 'messages to print on standard error').choices(LOG_LEVELS).default('notice')
  command.addOption(level)
  command.addOption(new Option('--log-format <format>', 'form of these messages').choices(['text', 'json']).default('text'))
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}`).join('\n')}`
}

// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import { HELP, readArguments, type Arguments } from './arguments.js'
import { ask, type Answers } from './ask.js'
import { CreateError } from './errors.js'
import { createProject, placeOf } from './project.js'

const out = (line: string): void => void process.stdout.write(`${line}\n`)
const err = (line: string): void => void process.stderr.write(`${line}\n`)

/**
 * Runs the command line, without `node` and the file's name.
 * @returns the exit status: 0 done, 1 it failed, 2 the command line cannot be understood; standard error says why
 */
export async function run(args: readonly string[]): Promise<number> {
  try {
    return await create(readArguments(args, process.env))
  } catch (thrown) {
    if (!(thrown instanceof CreateError)) throw thrown
    err(`create-bdev-module: ${thrown.message}`)
    if (thrown.usage) err('(add --help to see how it is used)')
    return thrown.usage ? 2 : 1
  }
}

async function create(given: Arguments): Promise<number> {
  if (given.help) return say(HELP)
  if (given.version) return say(ownVersion())
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true
  const asks = isTerminal && !given.yes
  if (!asks && !given.yes && given.folder === undefined && given.name === undefined) {
    throw new CreateError('no name: write npm create bdev-module my-disk', { usage: true })
  }
  const answers = asks ? await ask(given, canMakeRepository(process.cwd())) : withoutAsking(given)
  const place = placeOf(answers.folder)
  const { folder } = place
  const { template, name = place.name } = given
  const names = createProject({ folder, name, scope: answers.scope, kind: answers.kind, template })
  const shown = relative('.', folder) || '.'
  const methods = `RPC methods bdev_${names.snake}_create and bdev_${names.snake}_delete`
  out(`made ${shown}: package ${names.packageName}, module ${names.snake}, ${methods}`)
  if (answers.git) makeRepository(folder)
  const manager = packageManager()
  if (given.install && !install(manager, folder)) return 1
  const steps = [
    ...(shown === '.' ? [] : [`cd ${shown}`]),
    ...(given.install ? [] : [`${manager} install`]),
    `${manager} test`,
    `${manager} run serve`,
  ]
  out(`\nnow:\n${steps.map(step => `  ${step}`).join('\n')}`)
  return 0
}

function say(text: string): number {
  out(text)
  return 0
}

function withoutAsking({ folder, name, kind = 'bdev', scope = '', git, yes }: Arguments): Answers {
  const chosen = folder ?? name ?? 'my-disk'
  return { folder: chosen, kind, scope, git: git ?? (yes && canMakeRepository(placeOf(chosen).folder)) }
}

/** The package manager that started this: its `create` and `npx` say so. */
function packageManager(): string {
  const agent = /^(npm|pnpm|yarn|bun)\//.exec(process.env['npm_config_user_agent'] ?? '')
  return agent?.[1] ?? 'npm'
}

function install(manager: string, folder: string): boolean {
  out(`\n${manager} install`)
  const { error, status } = spawnSync(manager, ['install'], { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' })
  if (error === undefined && status === 0) return true
  const why = error === undefined ? `ended with status ${status}` : error.message
  const shown = relative('.', folder) || '.'
  err(`create-bdev-module: the project is complete, but "${manager} install" ${why}; mend that, then run it again in ${shown}`)
  return false
}

/** Whether git is there and `folder`, which need not exist, lies in no work tree. */
function canMakeRepository(folder: string): boolean {
  let cwd = folder
  while (!existsSync(cwd)) cwd = dirname(cwd)
  const { error, status } = spawnSync('git', ['rev-parse', '--is-inside-work-tree'], { cwd, stdio: 'ignore' })
  return error === undefined && status !== 0
}

function makeRepository(folder: string): void {
  const { error, status, stderr } = spawnSync('git', ['init', '-q', '-b', 'main'], { cwd: folder, encoding: 'utf8' })
  if (error === undefined && status === 0) return out('made a git repository')
  err(`create-bdev-module: no git repository was made: ${error?.message ?? stderr.trim()}`)
}

function ownVersion(): string {
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
}

// SPDX-License-Identifier: Apache-2.0
// What the documents show must work: TypeScript compiles against the built packages, JSON parses, commands and links exist.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Fence, commandsOf, fencesOf } from '../fences.js'
import { type PackageJson, packages, read, repositoryFiles, root } from '../repository.js'

const documents = repositoryFiles().filter(file => file.endsWith('.md') && !/(\.api|CHANGELOG)\.md$/.test(file))
const fences = documents.flatMap(file => fencesOf(file, read(file)))
const inLanguage = (language: string): Fence[] => fences.filter(fence => fence.language === language)
const at = ({ file, line }: Fence): string => `${file}:${line}`

/** `text` is for drawings and for what is shown but cannot be checked. */
const languages = ['ts', 'json', 'sh', 'text', 'c', 'diff', 'yaml', 'mermaid']

const programs = new Set(
  `cat cd chmod cmp cp curl dd diff echo export file fio fstrim git grep jq kill ls lsblk md5sum mkdir mkfs.ext4 mount nbd-client
  nbdcopy nbdfuse nbdinfo nbdkit nbdsh node npm npx pnpm python3 qemu-img qemu-io qemu-nbd qemu-system-x86_64 rm rpc.py sgdisk
  sha256sum truncate umount wait`.split(/\s+/),
)

const manifests = [
  ...['package.json', 'templates/bdev/package.json'].map(file => JSON.parse(read(file)) as PackageJson),
  ...packages.map(({ json }) => json),
]
const scripts = new Set(manifests.flatMap(json => Object.keys(json.scripts ?? {})))
const npmCommands = new Set(['ci', 'create', 'init', 'install', 'pack', 'publish', 'start', 'test', 'version'])
const main = join(root, 'packages/cli/dist/main.js')

const help = new Map<string, string>()
function helpOf(...words: string[]): string {
  const key = words.join(' ')
  const text = help.get(key) ?? execFileSync(process.execPath, [main, ...words, '--help'], { encoding: 'utf8' })
  help.set(key, text)
  return text
}

/** What is wrong with a call of the `bdev` command: an unknown subcommand, an unknown option. */
function wrongWithBdev(args: readonly string[]): string[] {
  const [command, ...rest] = args
  if (command === undefined || command.startsWith('-')) return []
  if (!new RegExp(`^\\s+${command}\\b`, 'm').test(helpOf())) return [`bdev has no command "${command}"`]
  const options = rest.map(word => /^(--?[a-zA-Z][\w-]*)/.exec(word)?.[1]).filter(option => option !== undefined)
  const unknown = options.filter(option => !new RegExp(`(^|[\\s,])${option}\\b`, 'm').test(helpOf(command)))
  return unknown.map(option => `bdev ${command} has no option "${option}"`)
}

function wrongWith([program = '', ...args]: readonly string[]): string[] {
  if (program === 'bdev' || program === './bdev') return wrongWithBdev(args)
  if (program === 'npx' && args[0] === 'bdev-module-check') return []
  if (program === 'npx' && /^(@bdevkit\/cli|bdev)$/.test(args[0] ?? '')) return wrongWithBdev(args.slice(1))
  const [first = '', second = ''] = args
  if (program === 'npm' && first === 'run') return scripts.has(second) ? [] : [`no package.json has a script "${second}"`]
  if (program === 'npm') return npmCommands.has(first) || first.startsWith('-') ? [] : [`npm has no command "${first}"`]
  const file = program === 'node' && /^[\w.]/.test(first) ? first : program
  if (file.includes('/')) return existsSync(join(root, file)) ? [] : [`there is no file ${file}`]
  return programs.has(program) ? [] : [`"${program}" is not in the list of programs of tools/test/docs.test.ts`]
}

describe('documents', () => {
  it('name the language of every fence', () => {
    const others = fences.filter(({ language }) => !languages.includes(language))
    expect(others.map(fence => `${at(fence)}: "${fence.language}"`)).toEqual([])
  })

  it('show TypeScript that compiles against the built packages', { timeout: 60_000 }, () => {
    const folder = join(root, 'tools/temp/fences')
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'tsconfig.json'), '{ "extends": "../../../tsconfig.test.json" }\n')
    const files = inLanguage('ts').map((fence, i) => {
      const name = `${fence.file.replace(/\W+/g, '-')}-line-${fence.line}-${i}.ts`
      // As many lines above as in the document: the compiler then names the line that the reader sees.
      writeFileSync(join(folder, name), `${'\n'.repeat(fence.line)}${fence.code}\nexport {}\n`)
      return name
    })
    if (files.length === 0) return
    const compiler = join(root, 'node_modules/.bin/tsc')
    const tsc = spawnSync(compiler, ['-p', folder, '--pretty', 'false'], { cwd: folder, encoding: 'utf8' })
    expect(tsc.stdout.split('\n').filter(line => line !== '')).toEqual([])
  })

  it('show JSON that parses', () => {
    const broken = inLanguage('json').flatMap(fence => {
      try {
        JSON.parse(fence.code)
        return []
      } catch (cause) {
        return [`${at(fence)}: ${(cause as Error).message}`]
      }
    })
    expect(broken).toEqual([])
  })

  it('show commands that exist, with options that exist', { timeout: 60_000 }, () => {
    const wrong = inLanguage('sh').flatMap(fence =>
      commandsOf(fence.code).flatMap(words => wrongWith(words).map(what => `${at(fence)}: ${words.join(' ')}: ${what}`)),
    )
    expect(wrong).toEqual([])
  })

  it('link to files that exist', () => {
    const dead = documents.flatMap(file =>
      [...read(file).replace(/^(\s*)```[^]*?^\1```/gm, '').matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)/g)]
        .map(match => match[1] ?? '')
        .filter(target => !existsSync(join(root, dirname(file), target)))
        .map(target => `${file}: ${target}`),
    )
    expect(dead).toEqual([])
  })
})

describe('the checks of documents', () => {
  it('read fences with their lines, indented ones too', () => {
    const text = 'a\n```ts\nx\n```\n- b\n  ```sh\n  npm test\n  ```\n'
    expect(fencesOf('a.md', text)).toEqual([
      { file: 'a.md', line: 2, language: 'ts', code: 'x' },
      { file: 'a.md', line: 6, language: 'sh', code: 'npm test' },
    ])
    expect(() => fencesOf('a.md', '```ts\n')).toThrow('a.md:1')
  })

  it('read the commands of a shell text', () => {
    const text = "# why\nA=1 npm test -- x && ls | cat\n./bdev serve \\\n  --run 'nbdinfo \"$uri\" | cat' &\nsudo mount a b"
    expect(commandsOf(text)).toEqual([
      ['npm', 'test', '--', 'x'],
      ['ls'],
      ['cat'],
      ['./bdev', 'serve', '--run', "'nbdinfo \"$uri\" | cat'"],
      ['mount', 'a', 'b'],
    ])
  })

  it('refuse commands, scripts and files that do not exist', () => {
    expect(wrongWith(['npm', 'run', 'no-such-script'])).toHaveLength(1)
    expect(wrongWith(['npm', 'tset'])).toHaveLength(1)
    expect(wrongWith(['node', 'tools/no-such.mjs'])).toHaveLength(1)
    expect(wrongWith(['./no-such'])).toHaveLength(1)
    expect(wrongWith(['no-such-program'])).toHaveLength(1)
    expect(wrongWith(['npm', 'run', 'build'])).toEqual([])
  })
})

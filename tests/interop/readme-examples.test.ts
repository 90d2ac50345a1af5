// SPDX-License-Identifier: Apache-2.0
// "Try it" of each module's README, as a reader does it: its stack.json saved, its commands run in that folder.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inFolder } from './support/files.js'
import { run } from './support/run.js'
import { bdev, root } from './support/server.js'
import { itWith } from './support/tools.js'

const TOOLS = ['nbdinfo', 'sgdisk', 'qemu-io', 'truncate']
const modules = readdirSync(join(root, 'packages')).filter(name => name.startsWith('modules-'))
/** What an example needs besides its own module. */
const needs = (stack: string): string[] =>
  [...stack.matchAll(/"bdev_([a-z]+)_/g)].map(match => `modules-${match[1]}`).filter(name => !modules.includes(name))

interface Example {
  readonly stack: string
  readonly commands: string
}

function exampleOf(module: string): Example {
  const readme = readFileSync(join(root, 'packages', module, 'README.md'), 'utf8')
  const [, section = ''] = /^## Try it\n([^]*?)^## /m.exec(readme) ?? []
  const fences = (language: string): string[] =>
    [...section.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(match => match[1] ?? '')
  return { stack: fences('json')[0] ?? '', commands: fences('sh').join('') }
}

describe.each(modules)('README of %s', module => {
  const { stack, commands } = exampleOf(module)

  it('has an example: a stack file, and commands', () => {
    expect(stack).toContain(`bdev_${module.slice('modules-'.length)}_`)
    expect(commands).toContain('./bdev ')
  })

  itWith(TOOLS.filter(tool => commands.includes(tool)), 'shows an example that works', async () => {
    await inFolder(async folder => {
      writeFileSync(join(folder, 'stack.json'), stack)
      // A benchmark need not take its time here.
      const script = commands.replaceAll('./bdev ', `${bdev} `).replaceAll(/ -t \d+/g, ' -t 1')
      const { status, stdout, stderr } = await run('sh', ['-e', '-c', script], { cwd: folder })
      expect(status, stderr).toBe(0)
      expect(stderr).not.toMatch(/\b(error|warn)/i)
      expect(stdout).not.toBe('')
    })
  }, { unable: needs(stack).map(name => `there is no ${name}`).join(', ') })
})

// SPDX-License-Identifier: Apache-2.0
// The site of docs/: VitePress refuses links to pages that do not exist, and every other link within the site is followed here.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { root } from '../repository.js'

const docs = join(root, 'docs')
const site = join(docs, '.vitepress/dist')

beforeAll(() => {
  rmSync(site, { recursive: true, force: true })
  const run = (command: string, ...args: string[]): void =>
    void execFileSync(join(docs, 'node_modules/.bin', command), args, { cwd: docs, stdio: 'pipe' })
  run('vitepress', 'build', '.')
  run('typedoc')
}, 300_000)

const pages = (): string[] => readdirSync(site, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.html'))

describe('the site', () => {
  it('has a page for each document, and the API', () => {
    const documents = readdirSync(docs).filter(file => file.endsWith('.md')).map(file => file.replace(/\.md$/, '.html'))
    expect(pages()).toEqual(expect.arrayContaining([...documents, 'api/index.html']))
    expect(readFileSync(join(site, 'api/index.html'), 'utf8')).toContain('module-sdk')
  })

  it('shows the way to each document', () => {
    const config = readFileSync(join(docs, '.vitepress/config.mjs'), 'utf8')
    const documents = readdirSync(docs).filter(file => file.endsWith('.md') && file !== 'index.md').map(file => file.slice(0, -3))
    expect(documents.filter(name => !config.includes(`'${name}')`)), 'add a line to the sidebar of docs/.vitepress/config.mjs').toEqual([])
  })

  it('has no link into nothing', () => {
    const dead = pages().filter(page => !page.startsWith('api/')).flatMap(page => {
      const html = readFileSync(join(site, page), 'utf8')
      const links = [...html.matchAll(/<a [^>]*href="(\/[^"#?]*)/g)].map(match => match[1]!)
      return links
        .filter(link => ![link, `${link}.html`, `${link}index.html`].some(file => existsSync(join(site, file))))
        .map(link => `${page}: ${link}`)
    })
    expect([...new Set(dead)]).toEqual([])
  })
})

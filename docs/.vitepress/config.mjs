// SPDX-License-Identifier: Apache-2.0
// The pages of docs/ as a site; TypeDoc adds the API below /api/. Links between pages are checked by the build; those to files
// of the repository, by tools/test/docs.test.ts.
import { defineConfig } from 'vitepress'

const repository = 'https://github.com/bdevkit/bdevkit'

/** A link out of docs/ leads to the file on GitHub. */
function outward(md) {
  const open = md.renderer.rules.link_open ?? ((tokens, index, options, _env, self) => self.renderToken(tokens, index, options))
  md.core.ruler.push('outward', state => {
    for (const { children } of state.tokens) {
      for (const token of children ?? []) {
        const href = token.type === 'link_open' ? token.attrGet('href') : null
        if (href?.startsWith('../')) {
          // Pages of docs/decisions are one folder down.
          const inDecisions = /(^|\/)decisions\//.test(state.env.relativePath ?? '')
          if (inDecisions && !href.startsWith('../../')) continue
          token.attrSet('href', `${repository}/blob/main/${href.replace(/^(\.\.\/)+/, '')}`)
        }
      }
    }
  })
  md.renderer.rules.link_open = open
}

const page = (text, link) => ({ text, link: `/${link}` })

export default defineConfig({
  title: 'bdevkit',
  description: "SPDK's bdev layer as a TypeScript plugin SDK",
  srcExclude: ['**/node_modules/**'],
  markdown: { html: false, config: outward },
  themeConfig: {
    outline: 'deep',
    search: { provider: 'local' },
    nav: [page('Start', 'start'), page('Write a module', 'write-a-module'), { text: 'API', link: '/api/index.html', target: '_self' }],
    socialLinks: [{ icon: 'github', link: repository }],
    sidebar: [
      {
        text: 'Modules',
        items: [
          page('Five minutes', 'start'),
          page('Write a module', 'write-a-module'),
          page("From SPDK's C", 'port-from-spdk'),
          page('Module packages', 'modules'),
          page('The manifest', 'manifest'),
          page("A module's life", 'module-life-cycle'),
          page('Compatibility', 'compatibility'),
        ],
      },
      {
        text: 'Using it',
        items: [
          page('Recipes', 'recipes'),
          page('RPC methods', 'rpc'),
          page('The Linux kernel as a client', 'kernel-client'),
          page('Crash tests', 'crash-tests'),
          page("SPDK's features", 'spdk-features'),
          page('Differences from SPDK', 'spdk-differences'),
          page('Crash tests', 'crash-tests'),
          page('Support', 'support'),
        ],
      },
      { text: 'Inside', items: [page('How it is built', 'architecture'), page('Decisions', 'decisions/README')] },
    ],
  },
})

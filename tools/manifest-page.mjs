// SPDX-License-Identifier: Apache-2.0
// `node tools/manifest-page.mjs` writes docs/manifest.md from the schema of the manifest. A test holds the two equal.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const shown = value => `\`${JSON.stringify(value)}\``

function rule({ type, const: only, enum: values, pattern, minLength, maxLength, minItems, maxItems, uniqueItems, items }) {
  const rules = []
  if (only !== undefined) rules.push(shown(only))
  else if (values !== undefined) rules.push(`one of ${values.map(shown).join(', ')}`)
  else if (type === 'array') {
    rules.push(`list of ${items.enum === undefined ? `strings that match \`${items.pattern}\`` : items.enum.map(shown).join(', ')}`)
  } else rules.push(type)
  if (pattern !== undefined) rules.push(`matches \`${pattern}\``)
  if (minLength !== undefined) rules.push(`at least ${minLength} characters`)
  if (maxLength !== undefined) rules.push(`at most ${maxLength} characters`)
  if (minItems !== undefined) rules.push(`at least ${minItems}`)
  if (maxItems !== undefined) rules.push(`at most ${maxItems}`)
  if (uniqueItems === true) rules.push('none twice')
  return rules.join('; ').replaceAll('|', '\\|')
}

/** The page of a manifest schema, in Markdown. */
export function manifestPage({ $id, properties, required }) {
  const rows = Object.entries(properties).map(([key, property]) =>
    `| \`${key}\` | ${required.includes(key) ? 'yes' : 'no'} | ${rule(property)} | ${property.description} |`,
  )
  return `# The manifest

\`bdevModule\` of \`package.json\` makes a package a module that hosts find. This page is generated from its JSON Schema, draft-07, which
ships as \`@bdevkit/module-sdk/schema/bdev-module.schema.json\`; editors take it from "$schema": ${shown($id)}. Keys that are not in the
table are refused, so that a typo cannot pass as an option.

| Key | Required | Rule | Meaning |
| --- | --- | --- | --- |
${rows.join('\n')}

The smallest one:

\`\`\`json
{ "bdevModule": { "manifestVersion": 1, "name": "ramcache", "entry": "." } }
\`\`\`

How a host reads it, where it looks, and every refusal with its text: [modules.md](modules.md).
`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const schema = new URL('../packages/module-sdk/schema/bdev-module.schema.json', import.meta.url)
  writeFileSync(new URL('../docs/manifest.md', import.meta.url), manifestPage(JSON.parse(readFileSync(schema, 'utf8'))))
}

// SPDX-License-Identifier: Apache-2.0
import type { ModuleManifest } from '@bdevkit/module-sdk'
import { Ajv, type ErrorObject } from 'ajv'
import { shown, shownValue } from './module-errors.js'

/**
 * `@bdevkit/module-sdk/schema/bdev-module.schema.json` as a constant, since Node 20 warns on every import of JSON. A test holds
 * the two equal.
 */
export const MODULE_MANIFEST_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  $id: 'https://unpkg.com/@bdevkit/module-sdk/schema/bdev-module.schema.json',
  title: 'package.json#bdevModule',
  description: 'Manifest of a package that holds a bdev module.',
  type: 'object',
  additionalProperties: false,
  required: ['manifestVersion', 'name', 'entry'],
  properties: {
    $schema: {
      description: 'URL of this schema, for editors. The host does not read it.',
      type: 'string',
      maxLength: 2048,
    },
    manifestVersion: {
      description: 'Shape of the manifest itself.',
      type: 'integer',
      const: 1,
    },
    name: {
      description: 'Module name, unique in a host: the infix of its RPC methods (bdev_<name>_create), and the name in its value.',
      type: 'string',
      pattern: '^[a-z][a-z0-9_]{0,31}$',
    },
    entry: {
      description: 'Key of this package\'s exports ("." or "./module") whose default export is the module.',
      type: 'string',
      pattern: '^\\.(/[^*]+)?$',
      maxLength: 256,
    },
    platforms: {
      description: 'Values of process.platform that the module runs on; all, where it is absent.',
      type: 'array',
      minItems: 1,
      maxItems: 16,
      uniqueItems: true,
      items: {
        type: 'string',
        enum: ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openbsd', 'sunos', 'win32'],
      },
    },
    requires: {
      description: 'Experimental capabilities that the host has to offer, name@version.',
      type: 'array',
      maxItems: 64,
      uniqueItems: true,
      items: {
        type: 'string',
        pattern: '^[a-z][a-z0-9-]{0,63}@[1-9][0-9]{0,3}$',
      },
    },
    sdk: {
      description: 'Semver range of @bdevkit/module-sdk, only where dependencies does not hold it. It fixes one major: ^1.2.0.',
      type: 'string',
      minLength: 1,
      maxLength: 256,
    },
  },
} as const

/** Where and why a manifest breaks the schema. */
export interface ManifestProblem {
  /** Key below `bdevModule`, e.g. `requires.0`; empty for the manifest itself. */
  readonly key: string
  readonly text: string
  readonly need?: string
  readonly have?: string
  /** The manifest is of a later shape, and not wrong. */
  readonly newer?: true
}

let compiled: ReturnType<Ajv['compile']> | undefined

/**
 * Checks `package.json#bdevModule` against the schema.
 * @returns the first problem; undefined where it is a `ModuleManifest`
 */
export function manifestProblem(manifest: unknown): ManifestProblem | undefined {
  const version = ownValue(manifest, 'manifestVersion')
  // First of all: a later shape may have any other keys.
  if (typeof version === 'number' && version !== 1) {
    const text = `manifestVersion ${version} is unknown`
    return { key: 'manifestVersion', text, need: String(version), have: '1', newer: true }
  }
  compiled ??= new Ajv({ strict: true, logger: false }).compile<ModuleManifest>(MODULE_MANIFEST_SCHEMA)
  if (compiled(manifest)) return undefined
  const error = compiled.errors?.[0]
  return error === undefined ? { key: '', text: 'it breaks the schema' } : fromAjv(error, manifest)
}

function fromAjv(error: ErrorObject, manifest: unknown): ManifestProblem {
  const path = error.instancePath.split('/').slice(1)
  const key = path.join('.')
  if (error.keyword === 'additionalProperties') {
    return { key, text: `unknown key "${shown(String(error.params['additionalProperty']))}"` }
  }
  if (error.keyword === 'required') {
    const wanted = shown(String(error.params['missingProperty']))
    return { key, text: `"${wanted}" is missing`, need: wanted }
  }
  const have = shownValue(path.reduce<unknown>((value, part) => ownValue(value, part), manifest))
  const need = error.message ?? `must meet "${error.keyword}"`
  return { key, text: `"${key === '' ? 'bdevModule' : key}" is ${have}, but ${need}`, need, have }
}

/** Own property of a parsed JSON object; never one of a prototype. */
export function ownValue(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<string, unknown>)[key]
}

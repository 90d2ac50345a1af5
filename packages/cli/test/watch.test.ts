// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bdevHere, moduleCode, modulePackage, startBdev, tempFolder, writeFiles, type Ready } from './support.js'

/** Lines of a stream, one by one. */
function linesOf(stream: NodeJS.ReadableStream): { until(pattern: RegExp): Promise<string> } {
  const lines = createInterface({ input: stream })[Symbol.asyncIterator]()
  return {
    async until(pattern) {
      for (;;) {
        const { value, done } = (await lines.next()) as { value: string; done?: boolean }
        if (done === true) throw new Error(`the stream ended without ${pattern}`)
        if (pattern.test(value)) return value
      }
    },
  }
}

function watchedModule(build?: string) {
  const folder = tempFolder()
  modulePackage(folder, 'shy', { code: moduleCode('shy') })
  if (build !== undefined) {
    const file = join(folder, 'package.json')
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFiles(folder, { 'package.json': { ...manifest, scripts: { build } }, 'src/a.js': '1' })
  }
  const call = { method: 'bdev_shy_create', params: { name: 'Shy0' } }
  writeFiles(folder, { 'stack.json': { modules: ['.'], subsystems: [{ subsystem: 'bdev', config: [call] }] } })
  const child = startBdev(['serve', '-c', 'stack.json', '--nbd', 'unix:nbd.sock', '--json', '--watch'], { cwd: folder })
  const out = linesOf(child.stdout!)
  const err = linesOf(child.stderr!)
  const ready = async (): Promise<Ready> => JSON.parse(await out.until(/^\{/)) as Ready
  return { folder, child, err, ready }
}

describe('bdev serve --watch', () => {
  it('serves again when a source changes, and again when the stack file does; a signal ends both processes', { timeout: 60_000 }, async () => {
    const { folder, child, ready } = watchedModule()
    expect(await ready()).toMatchObject({ exports: [{ bdev: 'Shy0', sizeBytes: 2048 * 512 }] })
    writeFileSync(join(folder, 'index.js'), moduleCode('shy').replace('numBlocks: 2048', 'numBlocks: 4096'))
    expect(await ready()).toMatchObject({ exports: [{ bdev: 'Shy0', sizeBytes: 4096 * 512 }] })
    const stack = readFileSync(join(folder, 'stack.json'), 'utf8')
    writeFileSync(join(folder, 'stack.json'), stack.replace('Shy0', 'Shy1'))
    const last = await ready()
    expect(last).toMatchObject({ exports: [{ bdev: 'Shy1' }] })
    child.kill('SIGTERM')
    const status = await new Promise(resolve => void child.once('exit', resolve))
    expect(status).toBe(0)
    expect(() => process.kill(last.pid, 0)).toThrow('ESRCH')
  })

  it('builds first; a build that fails is told and leaves what is served alone', { timeout: 60_000 }, async () => {
    const build = 'node -e "process.exit(Number(fs.readFileSync(\'src/a.js\')) - 1)"'
    const { folder, err, ready } = watchedModule(build)
    const { pid } = await ready()
    writeFileSync(join(folder, 'src/a.js'), '2')
    await err.until(/^bdev: the build in .* failed \(above\); what was served goes on being served$/)
    expect(process.kill(pid, 0)).toBe(true)
    writeFileSync(join(folder, 'src/a.js'), '1')
    expect((await ready()).pid).not.toBe(pid)
  })

  it('refuses what has one end with status 2', async () => {
    expect(await bdevHere(['serve', '--run', 'true', '--watch'])).toMatchObject({
      status: 2, stderr: expect.stringContaining('--watch goes with neither --run nor --stdio') as string,
    })
  })
})

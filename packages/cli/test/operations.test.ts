// SPDX-License-Identifier: Apache-2.0
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { delimiter, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { NbdClient } from './nbd-client.js'
import { bdev, call, malloc, stackFile, startServer, tempFolder } from './support.js'

function get(
  to: { socketPath: string } | { host: string; port: number },
  path = '/metrics',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...to, path }, response => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('bdev serve --log-format json', () => {
  it('prints one object a message, of the levels that --log-level asks for', { timeout: 30_000 }, async () => {
    const file = stackFile([call('bdev_passthru_create', { name: 'P', base_bdev_name: 'Later' })])
    const args = ['serve', '-c', file, '--lenient', '--run', 'true']
    const { stderr } = await bdev([...args, '--log-format', 'json'])
    const lines = stderr
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toContainEqual({
      level: 'notice',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      pid: expect.any(Number),
      source: 'passthru',
      msg: '"P" waits for bdev "Later"',
    })
    expect((await bdev([...args, '--log-format', 'json', '--log-level', 'error'])).stderr).not.toContain('waits for bdev')
  })
})

describe('bdev serve --metrics', () => {
  it(
    'answers Prometheus on a Unix socket and on a port, with the counters of each bdev and connection',
    { timeout: 30_000 },
    async () => {
      const socketPath = join(tempFolder(), 'metrics.sock')
      const server = await startServer(stackFile([malloc('Malloc"0')]), ['--metrics', `unix:${socketPath}`])
      const client = await NbdClient.open(server.nbdSocket, 'Malloc"0')
      await client.write(0, Buffer.alloc(8192, 1))
      const { status, body } = await get({ socketPath })
      expect(status).toBe(200)
      const labels = 'bdev="Malloc\\"0",module="malloc"'
      expect(body).toContain(`bdevkit_bdev_ios_total{${labels},op="write"} 1\n`)
      expect(body).toContain(`bdevkit_bdev_bytes_total{${labels},op="write"} 8192\n`)
      expect(body).toContain(`bdevkit_bdev_size_bytes{${labels}} 1048576\n`)
      expect(body).toContain('bdevkit_nbd_requests_total{connection="1",export="Malloc\\"0"}')
      // Each line is a comment or a sample, each family has its type once, and all samples of one stand together.
      const names: string[] = []
      for (const line of body.trimEnd().split('\n')) {
        expect(line).toMatch(/^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})? [-+\d.e]+)$/)
        const name = /^# TYPE (\w+)/.exec(line)?.[1]
        if (name !== undefined) names.push(name)
        else if (!line.startsWith('#')) expect(/^\w+/.exec(line)?.[0]).toBe(names.at(-1))
      }
      expect(new Set(names).size).toBe(names.length)
      expect((await get({ socketPath }, '/other')).status).toBe(404)
      server.child.kill('SIGTERM')
      expect((await server.child.ended).status).toBe(0)
      expect(existsSync(socketPath)).toBe(false)

      const other = await startServer(stackFile([malloc('M')]), ['--metrics', 'tcp:127.0.0.1:0'])
      const port = Number(/:(\d+)$/.exec((other.ready as unknown as { metrics: string }).metrics)?.[1])
      expect((await get({ host: '127.0.0.1', port })).body).toContain('bdevkit_info{version=')
    },
  )

  it('is not for other machines, but where that is asked for', async () => {
    const args = ['serve', '-r', 'x.sock', '--metrics']
    expect(await bdev([...args, 'tcp:0.0.0.0:0'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('can be reached from other machines'),
    })
    expect(await bdev([...args, 'nowhere'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--metrics nowhere: wanted unix:PATH'),
    })
  })
})

describe('bdev serve under systemd', () => {
  it('tells when it is ready and when it stops', async () => {
    const folder = tempFolder()
    mkdirSync(join(folder, 'bin'))
    const told = join(folder, 'told')
    writeFileSync(join(folder, 'bin/systemd-notify'), `#!/bin/sh\necho "$@" >> ${told}\n`)
    chmodSync(join(folder, 'bin/systemd-notify'), 0o755)
    const path = process.env['PATH']
    process.env['PATH'] = `${join(folder, 'bin')}${delimiter}${path}`
    process.env['NOTIFY_SOCKET'] = join(folder, 'notify')
    try {
      const server = await startServer(stackFile([malloc('M')]))
      server.child.kill('SIGTERM')
      expect((await server.child.ended).status).toBe(0)
      const pid = server.child.pid
      expect(readFileSync(told, 'utf8').split('\n').slice(0, -1)).toEqual([
        `--pid=${pid} --status=serves READY=1`,
        `--pid=${pid} --status=clients finish what they have in flight STOPPING=1`,
      ])
    } finally {
      delete process.env['NOTIFY_SOCKET']
      process.env['PATH'] = path
    }
  })

  it('has a unit that starts it as it is', () => {
    const unit = readFileSync(new URL('../systemd/bdev.service', import.meta.url), 'utf8')
    expect(unit).toMatch(/^Type=notify$/m)
    expect(unit).toMatch(/^NotifyAccess=all$/m)
    expect(unit).toMatch(/^ExecStart=.* bdev serve -c .* -r .* --nbd unix:.* --log-format json$/m)
  })
})

// SPDX-License-Identifier: Apache-2.0
// The ways in which `bdev serve` is reached: --run, --stdio, names of exports, Unix and TCP sockets.
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { digest, inFolder, malloc, MiB, nullBdev, passthru, writeImage, writeStack } from './support/files.js'
import { CLIENT_FLAGS, Cmd, option, RawNbd, request } from './support/nbd-client.js'
import { run, runOk, start } from './support/run.js'
import { bdev, root, withServer } from './support/server.js'
import { itWith, TEST_TIMEOUT_MS } from './support/tools.js'

const EPERM = 1
const OPT_GO = 7
const REP_ACK = 1
const REP_INFO = 3
const REP_ERR_BLOCK_SIZE_REQD = 0x8000_0008

describe('bdev serve --run', () => {
  itWith(
    ['nbdinfo', 'qemu-img', 'qemu-io'],
    'serves the quickstart stack to the command that it runs, and ends with its status',
    async () => {
      const serve = (command: string): ReturnType<typeof run> =>
        run(bdev, ['serve', '-c', 'examples/quickstart.json', '--run', command], { cwd: root })
      const ok = await serve(
        `nbdinfo --size "$uri" && qemu-img info "$nbd" && qemu-io -f raw -c 'write -P 9 0 1M' -c 'read -P 9 0 1M' "$uri_Malloc0"`,
      )
      expect(ok.stderr).toBe('')
      expect(ok.status).toBe(0)
      expect(ok.stdout).toMatch(/^67108864\n/)
      expect(ok.stdout).toContain('read 1048576/1048576 bytes')
      expect((await serve('exit 7')).status).toBe(7)
    },
  )

  itWith(['nbdcopy'], 'copies an image in and out with one command', async () => {
    await inFolder(async folder => {
      const [image, back] = [join(folder, 'in.raw'), join(folder, 'out.raw')]
      writeImage(image, 4, 8 * MiB)
      const stack = writeStack(folder, [malloc('Base0', 8 * MiB), passthru('Disk0', 'Base0')])
      await runOk(bdev, ['serve', '-c', stack, '--run', `nbdcopy ${image} "$uri" && nbdcopy "$uri" ${back}`])
      expect(await digest(back)).toBe(await digest(image))
    })
  })
})

describe('bdev serve --stdio', () => {
  it('serves one client on standard input and output', { timeout: TEST_TIMEOUT_MS }, async () => {
    await inFolder(async folder => {
      const stack = writeStack(folder, [malloc('Disk0', MiB)])
      const server = start(bdev, ['serve', '-c', stack, '--stdio'], { stdio: 'raw' })
      const client = new RawNbd(server.child.stdout!, server.child.stdin!)
      try {
        expect(await client.enter()).toBe(MiB)
        client.write(request(Cmd.Write, 1, 4096, 512), Buffer.alloc(512, 'x'), request(Cmd.Read, 2, 4096, 512))
        expect(await client.reply(1)).toMatchObject({ error: 0 })
        expect((await client.reply(2, 512)).data).toEqual(Buffer.alloc(512, 'x'))
        client.write(request(Cmd.Disc, 3, 0, 0))
        expect((await server.ended).status).toBe(0)
      } finally {
        server.kill()
      }
    })
  })

  itWith(['qemu-io', 'nbdinfo'], 'serves unmodified clients behind a listener that starts one process for each', async () => {
    await inFolder(async folder => {
      const stack = writeStack(folder, [malloc('Disk0', 8 * MiB)])
      const path = join(folder, 'inetd')
      const statuses: Promise<number>[] = []
      const listener = createServer({ allowHalfOpen: true }, socket => {
        const server = start(bdev, ['serve', '-c', stack, '--stdio'], { stdio: 'raw' })
        const { stdin, stdout } = server.child
        for (const stream of [socket, stdin!]) stream.on('error', () => undefined)
        socket.pipe(stdin!)
        stdout!.pipe(socket)
        statuses.push(server.ended.then(({ status }) => status))
      })
      await new Promise<void>(resolve => listener.listen(path, resolve))
      try {
        const uri = `nbd+unix:///Disk0?socket=${path}`
        expect(await runOk('nbdinfo', ['--size', uri])).toBe(`${8 * MiB}\n`)
        const commands = ['write -P 0x42 0 8M', 'read -P 0x42 0 8M', 'discard 0 1M', 'read -P 0 0 1M', 'flush']
        await runOk('qemu-io', ['-f', 'raw', ...commands.flatMap(command => ['-c', command]), uri])
        expect(new Set(await Promise.all(statuses))).toEqual(new Set([0]))
      } finally {
        listener.close()
      }
    })
  })
})

describe('exports', () => {
  itWith(['nbdcopy', 'qemu-io'], 'of several names keep their data apart, on a Unix and a TCP socket', async () => {
    const calls = [malloc('Malloc0', 4 * MiB), malloc('Malloc1', 4 * MiB), nullBdev('Null0', 4 * MiB)]
    const args = ['--nbd', 'tcp:127.0.0.1:0', '--export', 'Malloc0=a', '--export', 'Malloc1=b/c d', '--export', 'Null0']
    await withServer({ calls, args }, async server => {
      const fill = (name: string, pattern: number, tcp: boolean): Promise<string> =>
        runOk('qemu-io', ['-f', 'raw', '-c', `write -P ${pattern} 0 4M`, server.uri(name, tcp)])
      await Promise.all([fill('a', 1, false), fill('b/c d', 2, true), fill('Null0', 3, true)])
      const read = (name: string, pattern: number, tcp: boolean): Promise<string> =>
        runOk('qemu-io', ['-r', '-f', 'raw', '-c', `read -P ${pattern} 0 4M`, server.uri(name, tcp)])
      await Promise.all([read('a', 1, true), read('b/c d', 2, false), read('Null0', 0, false)])
    })
  })

  it(
    'of sectors take a client that does not ask for block sizes, as the kernel; others do not',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      await withServer({ calls: [malloc('Small0', MiB), malloc('Large0', MiB, 4096)] }, async server => {
        const answerToGo = async (name: string): Promise<number> => {
          const client = await RawNbd.connect(server.socket)
          await client.read(18)
          const data = Buffer.concat([Buffer.from([0, 0, 0, name.length]), Buffer.from(name), Buffer.from([0, 0])])
          client.write(CLIENT_FLAGS, option(OPT_GO, data))
          for (;;) {
            // magic 8, option 4, type 4, length 4
            const head = await client.read(20)
            await client.read(head.readUInt32BE(16))
            const type = head.readUInt32BE(12)
            if (type === REP_INFO) continue
            client.destroy()
            return type
          }
        }
        expect(await answerToGo('Small0')).toBe(REP_ACK)
        expect(await answerToGo('Large0')).toBe(REP_ERR_BLOCK_SIZE_REQD)
      })
    },
  )

  it('that are read-only answer a write that comes nevertheless with EPERM', { timeout: TEST_TIMEOUT_MS }, async () => {
    await withServer({ calls: [malloc('Disk0', MiB)], args: ['--read-only'] }, async server => {
      const client = await RawNbd.open(server.socket, 'Disk0')
      client.write(
        request(Cmd.Write, 1, 0, 4096),
        Buffer.alloc(4096, 1),
        request(Cmd.Trim, 2, 0, 4096),
        request(Cmd.Read, 3, 0, 4096),
      )
      expect((await client.reply(1)).error).toBe(EPERM)
      expect((await client.reply(2)).error).toBe(EPERM)
      expect((await client.reply(3, 4096)).data).toEqual(Buffer.alloc(4096))
      client.destroy()
    })
  })
})

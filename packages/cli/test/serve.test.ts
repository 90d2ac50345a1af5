// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { NbdClient } from './nbd-client.js'
import { bdev, malloc, nullBdev, passthru, stackFile, startBdev, startServer, tempFolder, until, type Ended } from './support.js'

const rpc = (socket: string, ...args: string[]): Promise<Ended> => bdev(['rpc', '-s', socket, '--json', ...args])

describe('bdev serve', () => {
  it('serves a stack over NBD and JSON-RPC, and removes its sockets when a signal ends it', async () => {
    const server = await startServer(stackFile([malloc('Malloc0', 4096)]))
    expect(statSync(server.rpcSocket).mode & 0o777).toBe(0o600)
    const client = await NbdClient.open(server.nbdSocket, 'Malloc0')
    expect(client.sizeBytes).toBe(4096 * 512)
    const data = Buffer.alloc(8192, 0xab)
    await client.write(1 << 20, data)
    expect(
      (await client.read((1 << 20) - 512, 8192 + 1024)).equals(Buffer.concat([Buffer.alloc(512), data, Buffer.alloc(512)])),
    ).toBe(true)

    const stat = JSON.parse((await rpc(server.rpcSocket, 'bdev_get_iostat', 'names=["Malloc0"]')).stdout) as { bdevs: object[] }
    expect(stat.bdevs[0]).toMatchObject({ name: 'Malloc0', bytes_written: 8192, num_write_ops: 1 })
    expect(await rpc(server.rpcSocket, 'bdev_null_create', 'name=N', 'num_blocks=8', 'block_size=512')).toMatchObject({
      status: 0,
      stdout: '"N"\n',
    })

    server.child.kill('SIGTERM')
    expect(await server.child.ended).toMatchObject({ status: 0, stderr: 'bdev: SIGTERM: stops (once more to end at once)\n' })
    expect(readdirSync(server.folder)).toEqual([])
  })

  it('exports what nothing stands on, newest first, and the newest as the default export', async () => {
    const server = await startServer(
      stackFile([nullBdev('Null0'), malloc('Base', 1024), malloc('Malloc0', 512), passthru('Top', 'Base')]),
    )
    expect(server.ready.exports.map(({ name, sizeBytes }) => [name, sizeBytes])).toEqual([
      ['Top', 1024 * 512],
      ['Malloc0', 512 * 512],
      ['Null0', 2048 * 512],
    ])
    expect(server.ready.exports[0]!.uris).toEqual([`nbd+unix:///Top?socket=${server.nbdSocket}`])
    expect((await NbdClient.open(server.nbdSocket, '')).sizeBytes).toBe(1024 * 512)
    await expect(NbdClient.open(server.nbdSocket, 'Base')).rejects.toThrow('NBD_OPT_GO')
  })

  it('exports under the names that are asked for, read-only where that is asked for', async () => {
    const server = await startServer(stackFile([malloc('Base'), passthru('Top', 'Base')]), [
      '--export',
      'Base=below',
      '--read-only',
    ])
    const client = await NbdClient.open(server.nbdSocket, 'below')
    expect(client.readOnly).toBe(true)
    await expect(client.write(0, Buffer.alloc(512))).rejects.toThrow('NBD error 1')
    await expect(NbdClient.open(server.nbdSocket, 'Top')).rejects.toThrow('NBD_OPT_GO')
  })

  it('says in words what is served, what to try, and that it is ready', async () => {
    const folder = tempFolder()
    const child = startBdev(
      ['serve', '-c', stackFile([malloc('Malloc0', 131_072)]), '--nbd', 'unix:a b.sock', '--nbd', 'tcp:0'],
      { cwd: folder },
    )
    const text = await until(child.stdout!, /^[^]*ready;.*\n/)
    expect(text).toContain('export "Malloc0": bdev Malloc0 (Malloc disk), 64 MiB, 512-byte blocks, default export\n')
    expect(text).toContain(`  nbdinfo 'nbd+unix:///Malloc0?socket=${folder}/a%20b.sock'  # what a client sees\n`)
    expect(text).toMatch(/^ {2}nbd:\/\/127\.0\.0\.1:\d+\/Malloc0$/m)
    expect(text.match(/ {2}# /g)).toHaveLength(3)
    child.kill('SIGINT')
    expect(await child.ended).toMatchObject({ status: 0 })
  })

  it('ends on spdk_kill_instance as on the signal', async () => {
    const folder = tempFolder()
    const socket = join(folder, 'bdev.sock')
    const child = startBdev(['serve', '-r', socket, '--json'])
    await until(child.stdout!, /\n/)
    expect(await rpc(socket, 'spdk_kill_instance', 'sig_name=SIGINT')).toMatchObject({ status: 0, stdout: 'true\n' })
    expect(await child.ended).toMatchObject({ status: 0 })
    expect(readdirSync(folder)).toEqual([])
  })

  it('names the client that keeps it from stopping, and ends at once on the second signal', async () => {
    const server = await startServer(stackFile([malloc('Malloc0', 262_144)]))
    const client = await NbdClient.open(server.nbdSocket, 'Malloc0')
    // More replies than the socket holds, and nobody who reads them.
    client.pause()
    for (let i = 0; i < 4; i++) client.request(0, 0, 8 << 20)
    // A second connection is answered after the first one's requests have come in.
    const other = await NbdClient.open(server.nbdSocket, 'Malloc0')
    await other.read(0, 512)
    const busy = until(server.child.stderr!, /bdev: waits for NBD connection 1 \(export "Malloc0"\): .*\n/)
    server.child.kill('SIGTERM')
    expect(await busy).toMatch(/MiB of replies that it does not read|requests in flight/)
    server.child.kill('SIGTERM')
    const { status, stderr } = await server.child.ended
    expect(stderr).toContain('bdev: second SIGTERM: ended at once; what clients had in flight is lost\n')
    expect(status).toBe(1)
    expect(readdirSync(server.folder)).toEqual([])
  })

  it('serves one client on standard input and output', async () => {
    const child = startBdev(['serve', '-c', stackFile([malloc('Malloc0')]), '--stdio'])
    const greeting = await new Promise<Buffer>(resolve => child.stdout!.once('data', resolve))
    expect(greeting.subarray(0, 16).toString()).toBe('NBDMAGICIHAVEOPT')
    child.stdin!.end()
    expect(await child.ended).toMatchObject({ status: 0, stderr: '' })
  })
})

describe('bdev serve --run', () => {
  const stack = (): string => stackFile([nullBdev('Null-0'), malloc('Malloc0')])

  it("sets nbdkit's variables and makes the command's exit status its own", async () => {
    const names = ['uri', 'exportname', 'nbd', 'uri_Null_0', 'port']
    const isNbd = 'd => process.exit(d.subarray(0, 8) == "NBDMAGIC" ? 7 : 1)'
    const greeting = `require("net").connect(process.env.unixsocket).once("data", ${isNbd})`
    const print = `require("fs").writeSync(1, JSON.stringify(${JSON.stringify(names)}.map(name => process.env[name])) + "\\n")`
    const command = `"${process.execPath}" -e '${print};${greeting}'`
    const { status, stdout, stderr } = await bdev(['serve', '-c', stack(), '--run', command])
    expect(stderr).toBe('')
    expect(status).toBe(7)
    const [uri, exportname, nbd, uriNull, port] = JSON.parse(stdout) as string[]
    const socket = /^nbd\+unix:\/\/\/Malloc0\?socket=(\/.*\/nbd\.sock)$/.exec(uri!)![1]!
    expect([exportname, nbd, uriNull, port]).toEqual([
      'Malloc0',
      `nbd:unix:${socket}:exportname=Malloc0`,
      `nbd+unix:///Null-0?socket=${socket}`,
      '',
    ])
    expect(existsSync(join(socket, '..'))).toBe(false)
  })

  it('uses the address of --nbd where one is given', async () => {
    const { status, stdout } = await bdev(['serve', '-c', stack(), '--nbd', 'tcp:127.0.0.1:0', '--run', 'echo "$uri $nbd $port"'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^nbd:\/\/127\.0\.0\.1:(\d+)\/Malloc0 nbd:127\.0\.0\.1:\1:exportname=Malloc0 \1\n$/)
  })

  it('hands a signal on to everything that the command started', async () => {
    const child = startBdev(['serve', '-c', stack(), '--run', 'sleep 1000 & echo started; wait; echo never'])
    await until(child.stdout!, /started/)
    child.kill('SIGTERM')
    // Standard output ends only when the sleep is gone, too.
    expect(await child.ended).toMatchObject({ status: 143, stdout: 'started\n' })
  })

  it('lets the command take its leave, with the server still there', async () => {
    const read = 'require("net").connect(process.env.unixsocket).once("data", d => process.exit(console.log(`left ${d.length}`)))'
    const script = `process.on("SIGTERM", () => ${read}); setInterval(() => {}, 1000); console.log("started")`
    const child = startBdev(['serve', '-c', stack(), '--run', `"${process.execPath}" -e '${script}'; echo never`])
    await until(child.stdout!, /started/)
    child.kill('SIGTERM')
    expect(await child.ended).toEqual({ status: 143, stdout: 'started\nleft 18\n', stderr: '' })
  })

  it('kills the command at once on the second signal', async () => {
    const deaf = 'process.on("SIGTERM", () => console.log("no")); setInterval(() => {}, 1000); console.log("started")'
    const command = `"${process.execPath}" -e '${deaf}'`
    const child = startBdev(['serve', '-c', stack(), '--run', command])
    await until(child.stdout!, /started/)
    const refused = until(child.stdout!, /no/)
    child.kill('SIGTERM')
    await refused
    child.kill('SIGTERM')
    const { status, stderr } = await child.ended
    expect(status).toBe(1)
    expect(stderr).toContain('second SIGTERM')
  })
})

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots Debian's kernel in qemu, attaches /dev/nbd0 to `bdev serve`, and checks what the kernel finds: see
# docs/kernel-client.md. Usage: tests/kernel-guest/run.sh [CONNECTIONS [BLOCK_SIZE]]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/guest.sh"
connections=${1:-2}
block=${2:-512}
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
guest_programs mkfs.ext4=e2fsprogs
guest_kernel
guest_files "$here/init" 'nbd-client mkfs.ext4' 'e1000 nbd ext4 crc32c_generic'

# The server, on the loopback address: qemu's user network reaches it as 10.0.2.2.
cat >"$work/stack.json" <<JSON
{
  "subsystems": [
    {
      "subsystem": "bdev",
      "config": [
        {
          "method": "bdev_malloc_create",
          "params": { "name": "Malloc0", "num_blocks": $((134217728 / block)), "block_size": $block }
        },
        { "method": "bdev_passthru_create", "params": { "name": "Disk0", "base_bdev_name": "Malloc0" } }
      ]
    }
  ]
}
JSON
"$root/bdev" serve -c "$work/stack.json" -r "$work/rpc.sock" --nbd tcp:127.0.0.1:0 --json >"$work/ready" &
server=$!
for _ in $(seq 100); do
  [ -s "$work/ready" ] && break
  kill -0 "$server" 2>/dev/null || fail 'bdev serve has ended'
  sleep 0.1
done
port=$(grep -oE 'nbd://127\.0\.0\.1:[0-9]+' "$work/ready" | grep -oE '[0-9]+$')
echo "kernel-guest: kernel $version, $connections connections to port $port"

guest_boot "bdev.port=$port bdev.connections=$connections bdev.block=$block bdev.export=Disk0"
expect 'write_cache: write back'
expect 'fua: 1'
expect 'size: 262144'
expect 'ro: 0'
expect "logical_block_size: $block"
expect "connections: $connections"
expect ok
"$root/bdev" rpc -s "$work/rpc.sock" bdev_get_iostat --params '{"names": ["Disk0"]}' --json |
  grep -oE '"num_(read|write|unmap)_ops":[0-9]+' | sed 's/^/server: /'
if [ "$failed" != 0 ]; then
  echo 'kernel-guest: the end of the console:' >&2
  tail -40 "$work/console" >&2
fi
kill "$server"
wait "$server" || { echo 'kernel-guest: the server did not stop cleanly' >&2; failed=1; }
server=
exit "$failed"

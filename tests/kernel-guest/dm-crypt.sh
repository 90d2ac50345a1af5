#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that `INCR_512_FULL_LBA` is dm-crypt's aes-xts-plain64, at blocks of 512 and of 4096 bytes: what a crypto bdev wrote
# is read through a real kernel's dm-crypt, and the other way round. See docs/kernel-client.md.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/guest.sh"
server=
cleanup() {
  [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
guest_programs dmsetup=dmsetup
guest_kernel
guest_files "$here/init-dm-crypt" 'nbd-client dmsetup' 'e1000 nbd dm-crypt xts ecb aes_generic'

for block in 512 4096; do
  node "$here/dm-crypt.mjs" "$block" >"$work/host" &
  server=$!
  for _ in $(seq 100); do
    grep -q '^md5: ' "$work/host" && break
    kill -0 "$server" 2>/dev/null || fail 'the server has ended'
    sleep 0.1
  done
  port=$(awk '/^port: /{ print $2 }' "$work/host")
  key=$(awk '/^key: /{ print $2 }' "$work/host")
  echo "kernel-guest: kernel $version, dm-crypt on blocks of $block bytes, port $port"
  guest_boot "bdev.port=$port bdev.block=$block bdev.key=$key"
  expect "$(grep '^md5: ' "$work/host")"
  expect ok
  kill "$server"
  wait "$server" || failed=1
  server=
  grep -E '^(NOT )?ok: ' "$work/host" || failed=1
  [ "$failed" = 0 ] || tail -40 "$work/console" >&2
done
exit "$failed"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cuts off a whole kernel under load, again and again, and checks that nothing is lost that was flushed or written with FUA: see
# docs/crash-tests.md. Usage: tests/kernel-guest/cut.sh [ROUNDS [OPTIONS_OF_EXT4]]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/guest.sh"
rounds=${1:-10}
options=${2:-defaults}
qemu=
client=
cleanup() {
  [ -z "$client" ] || kill "$client" 2>/dev/null || true
  [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
guest_programs mkfs.ext4=e2fsprogs nbdsh=libnbd-bin
guest_kernel
guest_files "$here/init-cut" '' 'virtio_pci virtio_blk virtio_net 9p 9pnet_virtio ext4 crc32c_generic'
for python in python3 /usr/bin/python3 ''; do
  [ -n "$python" ] || fail 'needs a Python with libnbd; run: sudo apt-get install python3-libnbd'
  if "$python" -c 'import nbd' 2>/dev/null; then break; fi
done
node=$(readlink -f "$(command -v node)")

# The disk: an ext4 with a file of holes on it, so that without a flush even O_DIRECT loses what it wrote.
mkdir "$work/files"
truncate -s 32M "$work/files/disk.img"
cat >"$work/files/stack.json" <<JSON
{
  "modules": ["@bdevkit/modules-aio", "@bdevkit/modules-passthru"],
  "subsystems": [
    {
      "subsystem": "bdev",
      "config": [
        { "method": "bdev_aio_create", "params": { "name": "Aio0", "filename": "/mnt/disk.img", "block_size": 512 } },
        { "method": "bdev_passthru_create", "params": { "name": "Disk0", "base_bdev_name": "Aio0" } }
      ]
    }
  ]
}
JSON
sed -i "s#\"@bdevkit/#\"$root/packages/#g" "$work/files/stack.json"
truncate -s 256M "$work/disk.raw"
mkfs.ext4 -q -d "$work/files" "$work/disk.raw"
mkfifo "$work/console.in"

# Waits until a command succeeds, as long as the guest lives.
await() {
  for _ in $(seq $((timeout_s * 5))); do
    if "$@"; then return 0; fi
    kill -0 "$qemu" 2>/dev/null || return 1
    sleep 0.2
  done
  return 1
}

# Whether the client has had so many answers.
had() {
  local told
  told=$(grep -oE '^acked [0-9]+' "$work/load" | tail -n 1)
  [ "${told#acked }" -ge "$1" ] 2>/dev/null
}

boot() {
  port=$((20000 + RANDOM % 12000))
  : >"$work/console"
  # The host's page cache outlives the guest: what has reached the disk is on it, what has not is gone with the guest's memory.
  timeout $((timeout_s * 4)) qemu-system-x86_64 -accel "${BDEVKIT_GUEST_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 1024 \
    -display none -monitor none -serial stdio -no-reboot \
    -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$port-:10809" \
    -drive "file=$work/disk.raw,if=virtio,format=raw,cache=writeback" \
    -virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" \
    -kernel "$vmlinuz" -initrd "$initramfs" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check bdev.options=$options bdev.node=$node bdev.main=$root/packages/cli/dist/main.js" \
    <>"$work/console.in" >"$work/console" 2>"$work/qemu.err" &
  qemu=$!
  await grep -q '"exports"' "$work/console" || {
    tail -n 40 "$work/console" "$work/qemu.err" >&2
    fail 'the server in the guest does not get ready'
  }
  uri="nbd://127.0.0.1:$port/Disk0"
}

echo "kernel-guest: kernel $version, ext4 with $options, $rounds cuts"
boot
for round in $(seq "$rounds"); do
  # A number of acknowledged writes that differs from round to round.
  acks=$((100 + round * 7919 % 900))
  "$python" "$root/tests/crash/client.py" load "$uri" "$work/state" "$round" >"$work/load" 2>&1 &
  client=$!
  await had "$acks" || fail "the client did not get $acks answers: $(tail -1 "$work/load")"
  echo cut >"$work/console.in"
  wait "$qemu" || true
  qemu=
  wait "$client" || fail "the client failed: $(tail -3 "$work/load")"
  client=
  boot
  status=0
  "$python" "$root/tests/crash/client.py" verify "$uri" "$work/state" cut >"$work/verify" 2>&1 || status=$?
  case $status in
    0) verdict=ok ;;
    3) verdict=LOST ;;
    *) fail "round $round: could not look: $(tail -1 "$work/verify")" ;;
  esac
  echo "round $round: $verdict, seen $(tail -1 "$work/load"), found $(tail -1 "$work/verify"), $(grep -aoE 'recovery: [0-9]+' "$work/console")"
  [ "$verdict" = ok ] || fail 'something that was flushed is lost'
done
kill "$qemu"
qemu=
echo "kernel-guest: $rounds cuts, nothing lost that was flushed or written with FUA"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots Debian's kernel in qemu, attaches /dev/nbd0 to `bdev serve`, and checks what the kernel finds: see
# docs/kernel-client.md. Usage: tests/kernel-guest/run.sh [CONNECTIONS [BLOCK_SIZE]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
connections=${1:-2}
block=${2:-512}
cache=${BDEVKIT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bdevkit/kernel-guest}
timeout_s=${BDEVKIT_GUEST_TIMEOUT_S:-240}
export PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "kernel-guest: $*" >&2
  exit 1
}
[ -f "$root/packages/cli/dist/main.js" ] || fail 'the CLI is not built; run: npm run build'

# 1. Programs.
declare -A package_of=(
  [qemu-system-x86_64]=qemu-system-x86 [busybox]=busybox-static [nbd-client]=nbd-client [cpio]=cpio [depmod]=kmod
  [mkfs.ext4]=e2fsprogs [dpkg-deb]=dpkg [apt-get]=apt
)
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  [ "$(id -u)" = 0 ] || fail "needs ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  echo "kernel-guest: apt-get install ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

# 2. A kernel: Debian's own, unpacked, not installed.
mkdir -p "$cache"
if ! compgen -G "$cache/boot/vmlinuz-*" >/dev/null; then
  image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
  [ -n "$image" ] || fail 'apt knows no linux-image-amd64; run apt-get update on a Debian, or unpack its .deb in '"$cache"
  echo "kernel-guest: $image, once, to $cache"
  (cd "$cache" && apt-get download -q "$image" && dpkg-deb -x "$image"_*.deb . && rm "$image"_*.deb)
fi
vmlinuz=$(compgen -G "$cache/boot/vmlinuz-*" | sort -V | tail -1)
version=${vmlinuz##*/vmlinuz-}
[ -f "$cache/lib/modules/$version/modules.dep" ] || depmod -b "$cache" "$version"

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# 3. The guest's files: busybox, nbd-client and mkfs.ext4 with their libraries, and the modules in the order of loading.
fs=$work/fs
mkdir -p "$fs"/{bin,sbin,usr/sbin,proc,sys,dev,mnt,tmp,etc,run,modules}
cp "$here/init" "$fs/init"
chmod 755 "$fs/init"
cp "$(command -v busybox)" "$fs/bin/busybox"
for applet in sh mount umount insmod ip cat dd echo sync poweroff grep md5sum blockdev uname dmesg head tail printf fstrim rm; do
  ln -s busybox "$fs/bin/$applet"
done
for program in nbd-client mkfs.ext4; do
  file=$(readlink -f "$(command -v "$program")")
  cp "$file" "$fs/sbin/$program"
  for library in $(ldd "$file" | grep -oE '/[^ ]+\.so[^ ]*'); do
    mkdir -p "$fs$(dirname "$library")"
    cp -Ln "$library" "$fs$library"
  done
done
for module in e1000 nbd ext4 crc32c_generic; do
  modprobe -d "$cache" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  cp "$file" "$fs/modules/"
  echo "/modules/${file##*/}" >>"$fs/modules/order"
done
(cd "$fs" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs.gz"

# 4. The server, on the loopback address: qemu's user network reaches it as 10.0.2.2.
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

# 5. The guest. Without /dev/kvm, and where nesting does not work, TCG runs everywhere.
timeout "$timeout_s" qemu-system-x86_64 -accel "${BDEVKIT_GUEST_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 768 \
  -display none -monitor none -serial stdio -no-reboot -nic user,model=e1000 \
  -kernel "$vmlinuz" -initrd "$work/initramfs.gz" \
  -append "console=ttyS0 quiet panic=-1 bdev.port=$port bdev.connections=$connections bdev.block=$block bdev.export=Disk0" \
  </dev/null | tr -d '\r' | tee "$work/console" | grep --line-buffered -E 'guest: |Kernel panic' || true

# 6. What it found.
failed=0
expect() {
  if grep -qxF "guest: $1" "$work/console"; then
    echo "ok: $1"
  else
    echo "NOT ok: wanted \"$1\", found \"$(grep -F "guest: ${1%%: *}:" "$work/console" | head -1)\""
    failed=1
  fi
}
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

# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's kernel in qemu, for the scripts beside this file, which source it: no root, no KVM, no kernel module of the host.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${BDEVKIT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bdevkit/kernel-guest}
timeout_s=${BDEVKIT_GUEST_TIMEOUT_S:-240}
export PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)

fail() {
  echo "kernel-guest: $*" >&2
  exit 1
}
[ -f "$root/packages/cli/dist/main.js" ] || fail 'the CLI is not built; run: npm run build'

# Installs what is missing of the programs that every guest needs, and of those named as PROGRAM=PACKAGE.
guest_programs() {
  local word program missing=()
  for word in qemu-system-x86_64=qemu-system-x86 busybox=busybox-static nbd-client=nbd-client cpio=cpio depmod=kmod \
    dpkg-deb=dpkg apt-get=apt "$@"; do
    program=${word%%=*}
    command -v "$program" >/dev/null || missing+=("${word#*=}")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "needs ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  echo "kernel-guest: apt-get install ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Debian's own kernel, unpacked, not installed. Sets vmlinuz and version.
guest_kernel() {
  mkdir -p "$cache"
  if ! compgen -G "$cache/boot/vmlinuz-*" >/dev/null; then
    local image
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$image" ] || fail 'apt knows no linux-image-amd64; run apt-get update on a Debian, or unpack its .deb in '"$cache"
    echo "kernel-guest: $image, once, to $cache"
    (cd "$cache" && apt-get download -q "$image" && dpkg-deb -x "$image"_*.deb . && rm "$image"_*.deb)
  fi
  vmlinuz=$(compgen -G "$cache/boot/vmlinuz-*" | sort -V | tail -1)
  version=${vmlinuz##*/vmlinuz-}
  [ -f "$cache/lib/modules/$version/modules.dep" ] || depmod -b "$cache" "$version"
}

# guest_files INIT "PROGRAMS" "MODULES": an initramfs with busybox, these programs with their libraries, and these modules in
# the order of loading. Sets initramfs.
guest_files() {
  local fs=$work/fs applet program file library module
  mkdir -p "$fs"/{bin,sbin,usr/sbin,proc,sys,dev,mnt,tmp,etc,run,modules}
  cp "$1" "$fs/init"
  chmod 755 "$fs/init"
  cp "$(command -v busybox)" "$fs/bin/busybox"
  for applet in sh mount umount insmod ip cat dd echo sync poweroff grep md5sum blockdev uname dmesg head tail printf fstrim rm \
    sleep ls yes tr chroot mkdir; do
    ln -s busybox "$fs/bin/$applet"
  done
  for program in $2; do
    file=$(readlink -f "$(command -v "$program")")
    cp "$file" "$fs/sbin/$program"
    for library in $(ldd "$file" | grep -oE '/[^ ]+\.so[^ ]*'); do
      mkdir -p "$fs$(dirname "$library")"
      cp -Ln "$library" "$fs$library"
    done
  done
  for module in $3; do
    modprobe -d "$cache" -S "$version" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" "$fs/modules/"
    echo "/modules/${file##*/}" >>"$fs/modules/order"
  done
  initramfs=$work/initramfs.gz
  (cd "$fs" && find . | cpio -o -H newc --quiet | gzip -1) >"$initramfs"
}

# guest_boot "ARGUMENTS": boots it with these on the kernel's command line, shows what the guest says and keeps all of it in
# $work/console. The host is 10.0.2.2 in the guest. Without /dev/kvm, and where nesting does not work, TCG runs everywhere.
guest_boot() {
  timeout "$timeout_s" qemu-system-x86_64 -accel "${BDEVKIT_GUEST_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 768 \
    -display none -monitor none -serial stdio -no-reboot -nic user,model=e1000 \
    -kernel "$vmlinuz" -initrd "$initramfs" -append "console=ttyS0 quiet panic=-1 $1" \
    </dev/null | tr -d '\r' | tee "$work/console" | grep --line-buffered -E 'guest: |Kernel panic' || true
}

failed=0
# Checks that the guest has said this line.
expect() {
  if grep -qxF "guest: $1" "$work/console"; then
    echo "ok: $1"
  else
    echo "NOT ok: wanted \"$1\", found \"$(grep -F "guest: ${1%%: *}:" "$work/console" | head -1)\""
    failed=1
  fi
}

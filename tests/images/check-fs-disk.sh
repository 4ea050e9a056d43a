#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Is a disk of make-fs-disk.sh whole? qemu-img check, sgdisk -v, the file system's own checker, the sha256 of every file. Needs
# root (loop mounts, read-only).
#
#   check-fs-disk.sh IMAGE MANIFEST FS [leaks]
set -euo pipefail
image=$1 manifest=$(realpath "$2") fs=$3 leaks=${4:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/check-fs-disk.XXXXXX")
cleanup() { mountpoint -q "$work/m" && umount "$work/m"; rm -rf "$work"; }
trap cleanup EXIT
mkdir "$work/m"
fail() { cat "$work/log" >&2 2> /dev/null || true; echo "check-fs-disk.sh: $image: $1" >&2; exit 1; }

status=0; qemu-img check -q "$image" > "$work/log" 2>&1 || status=$?
[ "$status" -eq 0 ] || { [ "$leaks" = leaks ] && [ "$status" -eq 3 ]; } || fail "qemu-img check ends with $status"
qemu-img convert -O raw "$image" "$work/raw"
start=0 length=$(stat -c %s "$work/raw")
if dd if="$work/raw" bs=512 skip=1 count=1 status=none | head -c 8 | grep -q '^EFI PART$'; then
  sgdisk -v "$work/raw" > "$work/log" 2>&1 && grep -q "No problems found" "$work/log" || fail "sgdisk -v"
fi
if sfdisk -J "$work/raw" > "$work/table" 2> /dev/null && [ "$(jq '.partitiontable.partitions | length' "$work/table")" -gt 1 ]; then
  sfdisk -V "$work/raw" > "$work/log" 2>&1 || fail "sfdisk -V"
  read -r start length < <(jq -r '.partitiontable.partitions[-1] | "\(.start * 512) \(.size * 512)"' "$work/table")
fi
part=$work/part
dd if="$work/raw" of="$part" iflag=skip_bytes,count_bytes skip="$start" count="$length" bs=1M conv=sparse status=none
truncate -s "$length" "$part"
case $fs in
  ext2|ext3|ext4) e2fsck -fn "$part" > "$work/log" 2>&1 || fail e2fsck; mount -o loop,ro "$part" "$work/m" ;;
  xfs) xfs_repair -n "$part" > "$work/log" 2>&1 || fail xfs_repair; mount -o loop,ro,nouuid "$part" "$work/m" ;;
  btrfs) btrfs check --readonly "$part" > "$work/log" 2>&1 || fail "btrfs check"; mount -o loop,ro "$part" "$work/m" ;;
  ntfs) ntfsresize -i -f "$part" > "$work/log" 2>&1 || fail "ntfsresize -i"; ntfs-3g -o ro "$part" "$work/m" ;;
  vfat) fsck.vfat -n "$part" > "$work/log" 2>&1 || fail fsck.vfat; mcopy -i "$part" '::*' "$work/m" > "$work/log" 2>&1 || fail mcopy ;;
  swap) [ "$(blkid -p -s TYPE -o value "$part")" = swap ] && [ "$(blkid -p -s LABEL -o value "$part")" = swapped ] || fail "swap header" ;;
  none) ;;
  lvm)
    # A linear volume behind the first one of five extents; its size is found in the file system's superblock.
    offset=$(((1 << 20) + 5 * (4 << 20)))
    e2fsck -fn "$part?offset=$offset" > "$work/log" 2>&1 || fail "e2fsck in the volume"
    debugfs -R "rdump / $work/m" "$part?offset=$offset" > "$work/log" 2>&1; rm -rf "$work/m/lost+found" ;;
esac
[ ! -s "$manifest" ] || (cd "$work/m" && sha256sum --quiet --strict -c "$manifest") || fail "files differ"

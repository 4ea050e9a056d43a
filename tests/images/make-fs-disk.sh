#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a real qcow2 disk with known files in a file system that only a kernel (or ntfs-3g) can fill; half of the files are
# deleted again, so that the free space holds old data. Needs root (loop mounts).
#
#   make-fs-disk.sh OUT.qcow2 FS TABLE SIZE_MIB [key=value ...]
#     FS=ext2|ext3|ext4|ntfs|xfs|btrfs|vfat|swap|lvm (ext4 in a logical volume)|none (random bytes)   TABLE=gpt|mbr|logical|none
#     tail=MIB (0: free space behind the partition)   options="-o of qemu-img"   mkfs="options of mkfs"
#
# Beside OUT.qcow2: OUT.qcow2.sha256 (the files that must survive), OUT.qcow2.fs (the file system).
set -euo pipefail
here=$(realpath "$(dirname "$0")")
out=$(realpath "$1") fs=$2 table=$3 size=$4; shift 4
tail=0 options= mkfs=
for pair in "$@"; do
  case ${pair%%=*} in tail|options|mkfs) printf -v "${pair%%=*}" %s "${pair#*=}" ;; *) echo "make-fs-disk.sh: unknown key in $pair" >&2; exit 2 ;; esac
done
work=$(mktemp -d "${TMPDIR:-/tmp}/make-fs-disk.XXXXXX") loop=
cleanup() { mountpoint -q "$work/m" && umount "$work/m"; [ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"; }
trap cleanup EXIT
mkdir "$work/m" "$work/files"

stream() { openssl enc -aes-128-ctr -pass "pass:$1" -nosalt -md sha256 -in /dev/zero 2>/dev/null | head -c "$2" || true; }
for ((i = 0; i < 8; i++)); do stream "big-$i" $((3 << 20)) > "$work/files/big$i.bin"; done
stream small 600000 | split -b 6000 -a 3 -d - "$work/files/s"

raw=$work/disk.raw end=$((size - tail))
truncate -s "${size}M" "$raw"
case $table in
  # Not by sgdisk, which sleeps for a second and syncs the whole host.
  gpt) printf 'first-lba: 34\nstart=2048,size=8M,type=L\nstart=20480,size=%d,type=L\n' $((end * 2048 - (tail ? 0 : 2047) - 20480)) |
    sfdisk -q --no-tell-kernel --label gpt "$raw" ;;
  mbr) printf 'start=2048,size=16384,type=83\nstart=20480,size=%d,type=83\n' $((end * 2048 - 20480)) | sfdisk -q --no-tell-kernel --label dos "$raw" ;;
  logical) printf 'start=2048,size=16384,type=83\nstart=20480,size=%d,type=f\nstart=22528,size=%d,type=83\n' $((end * 2048 - 20480)) $((end * 2048 - 22528)) |
    sfdisk -q --no-tell-kernel --label dos "$raw" ;;
  none) ;;
  *) echo "make-fs-disk.sh: unknown table $table" >&2; exit 2 ;;
esac
start=0 length=$((size << 20))
if [ "$table" != none ]; then
  read -r start length < <(sfdisk -J "$raw" | jq -r '.partitiontable.partitions[-1] | "\(.start * 512) \(.size * 512)"')
fi

part=$work/part.raw
truncate -s "$length" "$part"
fill() { # DEVICE MOUNT_COMMAND...
  "$@" "$work/m"
  cp "$work"/files/* "$work/m"; sync -f "$work/m"
  rm "$work"/m/big[1357].bin "$work"/m/s*[13579]; sync -f "$work/m"
  "$here/unmount.sh" "$work/m"
}
case $fs in
  ext2|ext3|ext4) "mkfs.$fs" -q -F $mkfs "$part"; fill mount -o loop "$part" ;;
  xfs) mkfs.xfs -q $mkfs "$part"; fill mount -o loop "$part" ;;
  btrfs) mkfs.btrfs -q $mkfs "$part" 2> /dev/null; fill mount -o loop "$part" ;;
  ntfs) mkntfs -q -Q -F -s 512 -p $((start / 512)) -H 255 -S 63 $mkfs "$part" 2> /dev/null; fill ntfs-3g "$part" ;;
  vfat) mkfs.vfat $mkfs "$part" > /dev/null; mcopy -i "$part" "$work"/files/* ::; mdel -i "$part" ::big[1357].bin ::s*[13579] ;;
  swap) mkswap -q -L swapped $mkfs "$part" ;;
  none) stream noise $((4 << 20)) | dd of="$part" conv=notrunc status=none ;;
  lvm)
    loop=$(losetup -f --show "$part")
    # Without device-mapper: metadata only, no volume is activated.
    config="devices{filter=[\"a|^$loop\$|\",\"r|.*|\"] use_devicesfile=0 external_device_info_source=\"none\"}
      global{activation=0 use_lvmpolld=0 use_lvmlockd=0 event_activation=0 locking_dir=\"$work\"} backup{backup=0 archive=0}
      activation{udev_sync=0 udev_rules=0 monitoring=0}"
    lvm_() { LVM_SUPPRESS_FD_WARNINGS=1 lvm "$@" --config "$config" 2> "$work/lvm.log" || { cat "$work/lvm.log" >&2; exit 1; }; }
    lvm_ pvcreate -q "$loop" > /dev/null; lvm_ vgcreate -q vgmatrix "$loop" > /dev/null
    lvm_ lvcreate -q -an -Zn -Wn -l 5 -n first vgmatrix > /dev/null
    lvm_ lvcreate -q -an -Zn -Wn -l 90%FREE -n data vgmatrix > /dev/null
    offset=$(lvm_ pvs --noheadings --nosuffix --units b -o pe_start "$loop" | tr -d ' ')
    extent=$((4 << 20)) bytes=$(lvm_ lvs --noheadings --nosuffix --units b -o lv_size vgmatrix/data | tr -d ' ')
    truncate -s "$bytes" "$work/lv.raw"; mkfs.ext4 -q -F "$work/lv.raw"
    mount -o loop "$work/lv.raw" "$work/m"; cp "$work"/files/* "$work/m"; sync -f "$work/m"; rm "$work"/m/big[1357].bin "$work"/m/s*[13579]; "$here/unmount.sh" "$work/m"
    dd if="$work/lv.raw" of="$loop" bs=1M seek=$(((offset + 5 * extent) >> 20)) conv=notrunc,sparse status=none
    losetup -d "$loop"; loop= ;;
  *) echo "make-fs-disk.sh: unknown file system $fs" >&2; exit 2 ;;
esac
dd if="$part" of="$raw" bs=1M seek=$((start >> 20)) conv=notrunc,sparse status=none
rm "$work"/files/big[1357].bin "$work"/files/s*[13579]
case $fs in swap|none) : > "$out.sha256" ;; *) (cd "$work/files" && sha256sum * > "$out.sha256") ;; esac
echo "$fs" > "$out.fs"
qemu-img convert -O qcow2 ${options:+-o "$options"} "$raw" "$out"

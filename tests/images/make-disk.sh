#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a real qcow2 disk with known files, of which half have been deleted, so that the free space holds old data.
#
#   make-disk.sh OUT.qcow2 [key=value ...]
#     table=mbr|gpt|none|logical (gpt)  fs=ext2|ext3|ext4 (ext4)  block=1024|4096 (4096)  cluster=BYTES (65536)
#     size=MiB (256)  big=N (6: files of 4 MiB)  small=N (200: files of 6000 bytes)  compat=0.10|1.1 (1.1)
#     options=EXTRA (further -o options of qemu-img)  features=LIST (-O of mke2fs)
#
# Beside OUT.qcow2 it leaves OUT.qcow2.sha256 (the files that must survive) and OUT.qcow2.offset (where their file system
# starts, in bytes). Needs no root and no mount: mke2fs -d fills, debugfs deletes. Contents are deterministic.
set -euo pipefail
out=$1; shift
table=gpt fs=ext4 block=4096 cluster=65536 size=256 big=6 small=200 compat=1.1 options= features=
for pair in "$@"; do
  case ${pair%%=*} in
    table|fs|block|cluster|size|big|small|compat|options|features) printf -v "${pair%%=*}" %s "${pair#*=}" ;;
    *) echo "make-disk.sh: unknown key in $pair" >&2; exit 2 ;;
  esac
done
work=$(mktemp -d "${TMPDIR:-/tmp}/make-disk.XXXXXX")
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1700000000

# A key stream of AES in counter mode: does not compress, differs everywhere, same on every machine.
stream() { openssl enc -aes-128-ctr -pass "pass:$1" -nosalt -md sha256 -in /dev/zero 2>/dev/null | head -c "$2" || true; }

mkdir -p "$work/files/big" "$work/files/small"
for ((i = 0; i < big; i++)); do stream "big-$i" $((4 << 20)) > "$work/files/big/f$i.bin"; done
((small == 0)) || stream small $((small * 6000)) | split -b 6000 -a 4 -d - "$work/files/small/s"

raw=$work/disk.raw
truncate -s "${size}M" "$raw"
start=$((2048 * 512))
case $table in
  mbr) echo 'start=2048, type=83, bootable' | sfdisk -q --no-tell-kernel --label dos "$raw" ;;
  # As sgdisk makes it, which sleeps for a second and syncs the whole host when it writes a table; so does sfdisk, for a
  # quarter of a second, where it is to tell the kernel.
  gpt) printf 'first-lba: 34\nstart=2048,size=%d,type=L,name=data\n' $((size * 2048 - 33 - 2048)) | sfdisk -q --no-tell-kernel --label gpt "$raw" ;;
  logical) printf 'start=2048,size=8M,type=83\ntype=5\ntype=83\n' | sfdisk -q --no-tell-kernel --label dos "$raw" ;;
  none) start=0 ;;
  *) echo "make-disk.sh: unknown table $table" >&2; exit 2 ;;
esac
length=$((size << 20))
if [ "$table" != none ]; then
  read -r start length < <(sfdisk -J "$raw" | jq -r '.partitiontable.partitions[-1] | "\(.start * 512) \(.size * 512)"')
fi
"mkfs.$fs" -q -F -b "$block" -E "offset=$start" ${features:+-O "$features"} -L data -d "$work/files" "$raw" $((length / 1024))k

# Every second file goes; what it held stays behind in free blocks.
{ for ((i = 1; i < big; i += 2)); do echo "rm big/f$i.bin"; done
  for ((i = 1; i < small; i += 2)); do printf 'rm small/s%04d\n' "$i"; done; } > "$work/deletions"
debugfs -w -f "$work/deletions" "$raw?offset=$start" > /dev/null 2>&1
for ((i = 1; i < big; i += 2)); do rm "$work/files/big/f$i.bin"; done
find "$work/files/small" -name 's*[13579]' -delete

(cd "$work/files" && find . -type f | LC_ALL=C sort | xargs -r sha256sum) > "$out.sha256"
echo "$start" > "$out.offset"
qemu-img convert -O qcow2 -o "compat=$compat,cluster_size=$cluster${options:+,$options}" "$raw" "$out"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the partition fuzzer anew: the ends of disks as sfdisk, sgdisk, fdisk and mkfs make them. What
# a run of the fuzzer found has names that start with "found-" and is kept.
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/partition
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
mkdir -p "$out"
find "$out" -type f ! -name 'found-*' -delete

# new SIZE: an empty disk
new() {
    truncate -s 0 "$disk"
    truncate -s "$1" "$disk"
}
# input NAME FIRST-BYTE HEAD-BYTES TAIL-SECTORS: the fuzzer's form of the disk. The first byte: 03 for 1 MiB, 04 for
# 100 MiB, 80 more for checksums that are made right.
input() {
    {
        printf "\\x$2\\x00\\x$(printf %02x "$4")"
        head -c "$3" "$disk"
        tail -c $(($4 * 512)) "$disk"
    } > "$out/$1"
}
# flip NAME FROM OFFSET: one wrong byte of the disk
flip() {
    cp "$out/$2" "$out/$1"
    printf '\xa5' | dd of="$out/$1" bs=1 seek=$((3 + $3)) conv=notrunc status=none
}

new 100M
sfdisk -q "$disk" <<< $'label: gpt\nstart=2048,size=2048,type=U,name="EFI"\nstart=4096,size=20480,type=L'
input gpt 04 17408 33
input gpt-sealed 84 17408 33
flip gpt-backup-only gpt 532
flip gpt-bad-entries gpt 1064
sgdisk -h 1 "$disk" > /dev/null
input gpt-hybrid 04 17408 33
new 1M
sgdisk -S 4 -a 1 -n 1:40:100 "$disk" > /dev/null
input gpt-small 83 18432 33
new 100M
fdisk -b 4096 "$disk" <<< $'g\nn\n1\n\n+10M\nw' > /dev/null
input gpt-4096 04 24576 40
new 1M
sfdisk -q "$disk" <<< $'label: dos\nstart=8,size=8,type=83,bootable\nstart=20,size=100,type=5\nstart=22,size=8,type=83\nstart=34,size=8,type=82\nstart=46,size=8,type=8e'
input mbr-logical 03 30720 0
new 1M
mkfs.vfat "$disk" > /dev/null
input vfat 03 2048 0
new 100M
mkntfs -F -f -q "$disk" 2> /dev/null
input ntfs 04 24576 0
new 1M
mkswap -q "$disk"
input swap 03 4096 0

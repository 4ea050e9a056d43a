#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the ext4 fuzzer anew: small file systems of many kinds, with the zeros at their ends cut off.
# What a run of the fuzzer found has names that start with "found-" and is kept.
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/ext4
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
mkdir -p "$out"
find "$out" -type f ! -name 'found-*' -delete

# input NAME FLAGS KIB MKE2FS-OPTION...: 01 in flags: the fuzzer makes the checksums right
input() {
    local name=$1 flags=$2 kib=$3
    shift 3
    truncate -s 0 "$disk"
    truncate -s "${kib}K" "$disk"
    mke2fs -q -F -b 1024 -U 01234567-89ab-cdef-0123-456789abcdef -E hash_seed=01234567-89ab-cdef-0123-456789abcdef \
        "$@" "$disk"
    # All that counts (superblock, descriptors, bitmaps of the first groups) lies in the first 16 KiB.
    printf "\\x$flags" > "$out/$name"
    head -c 16000 "$disk" | perl -0777 -pe 's/\0+\z//' >> "$out/$name"
}

input ext2 00 256 -t ext2 -N 16
input ext2-groups 00 1024 -t ext2 -g 256 -N 64
input ext2-meta-bg 00 1024 -t ext2 -g 256 -N 64 -O meta_bg,^resize_inode
input ext4 00 256 -t ext4 -N 16 -O ^has_journal,^resize_inode
input ext4-sealed 01 256 -t ext4 -N 16 -O ^has_journal,^resize_inode
input ext4-groups-sealed 01 2048 -t ext4 -g 256 -N 128 -O ^has_journal,^resize_inode
input ext4-no-flex-sealed 01 2048 -t ext4 -g 256 -N 128 -O ^has_journal,^resize_inode,^flex_bg
input ext4-gdt-csum-sealed 01 2048 -t ext4 -g 256 -N 128 -O ^has_journal,^metadata_csum,uninit_bg
input ext4-sparse-super2-sealed 01 2048 -t ext4 -g 256 -N 128 -O ^has_journal,sparse_super2
input ext4-bigalloc-sealed 01 2048 -t ext4 -N 32 -O ^has_journal,bigalloc,^resize_inode -C 4096
input ext4-mmp-sealed 01 256 -t ext4 -N 16 -O ^has_journal,^resize_inode,mmp
input journal-device 00 2048 -O journal_dev

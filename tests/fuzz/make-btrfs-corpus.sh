#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the btrfs fuzzer anew: small file systems of many kinds, as runs of the bytes that are not zero.
# What a run of the fuzzer found has names that start with "found-" and is kept.
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/btrfs
disk=$(mktemp)
source=$(mktemp -d)
trap 'rm -rf "$disk" "$source"' EXIT
mkdir -p "$out"
find "$out" -type f ! -name 'found-*' -delete
for i in 1 2 3; do head -c 9000 /dev/zero | tr '\0' "$i" > "$source/$i"; done

# runs: the superblocks and the nodes, in pieces between runs of 16 zeros or more
runs() {
    perl -e '
        open my $disk, "<", $ARGV[0] or die; binmode STDOUT;
        for (my $page = 16; $page < 32768; ++$page) {
            sysseek $disk, $page * 4096, 0; sysread($disk, my $bytes, 4096) or last;
            $main::fsid = substr $bytes, 32, 16 if $page == 16;
            next if substr($bytes, 32, 16) ne $main::fsid;
            while ($bytes =~ /[^\0](?:\0{0,15}[^\0])*/g) {
                print pack("Vv", $page * 4096 + $-[0], $+[0] - $-[0]), substr($bytes, $-[0], $+[0] - $-[0]);
            }
        }' "$1"
}

# input NAME FLAGS MIB MKFS-OPTION...: 01 in flags: the fuzzer makes the checksums right
input() {
    local name=$1 flags=$2 mib=$3
    shift 3
    truncate -s 0 "$disk"
    truncate -s "${mib}M" "$disk"
    mkfs.btrfs -q -n 4k -U 01234567-89ab-cdef-0123-456789abcdef "$@" "$disk"
    { printf "\\x$flags"; runs "$disk"; } > "$out/$name"
}

input single 00 128 -m single
input single-sealed 01 128 -m single
input dup-sealed 01 256
input mixed-sealed 01 128 --mixed
input extent-tree-sealed 01 128 -m single -R ^free-space-tree
input not-skinny-sealed 01 128 -m single -O ^skinny-metadata
input files-sealed 01 128 -m single --rootdir "$source"
input blake2 00 128 -m single --csum blake2

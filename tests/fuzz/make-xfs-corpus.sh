#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the XFS fuzzer anew: small file systems of several kinds, of which only the sectors are kept that
# hold something (and no inodes, which are not read). What a run of the fuzzer found has names that start with
# "found-" and is kept.
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/xfs
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
mkdir -p "$out"
find "$out" -type f ! -name 'found-*' -delete

# input NAME FLAGS MKFS-OPTION...: 01 in flags: the fuzzer makes the checksums right
input() {
    local name=$1 flags=$2
    shift 2
    truncate -s 0 "$disk"
    truncate -s 64M "$disk"
    mkfs.xfs -q -f --unsupported "$@" "$disk"
    # One record a sector: its number, how many bytes of it follow (both little-endian), and these.
    printf "\\x$flags" > "$out/$name"
    perl -e '
        open(my $disk, "<:raw", $ARGV[0]) or die; binmode(STDOUT);
        for (my $n = 0; read($disk, my $sector, 512); $n++) {
            $sector =~ s/\0+\z//;
            next if $sector eq "" || $sector =~ /^IN/;
            print pack("VvA*", $n, length($sector), $sector);
        }' "$disk" >> "$out/$name"
}

input v4 00 -m crc=0 -l size=8m -d agcount=2
input v4-log-1 00 -m crc=0 -l version=1,size=8m -d agcount=1
input v4-512 00 -m crc=0 -b size=512 -l size=8m -d agcount=1
input v5 00 -l size=8m -d agcount=2
input v5-sealed 01 -l size=8m -d agcount=2
input v5-rmapbt-sealed 01 -m rmapbt=1 -d agcount=1
input v5-sector-4k-sealed 01 -s size=4096 -d agcount=1
input v5-1k-sealed 01 -b size=1024 -d agcount=1

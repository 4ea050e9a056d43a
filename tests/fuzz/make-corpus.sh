#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpus of the qcow2 fuzzer anew: small images of every feature, and some with faults put in. What a
# run of the fuzzer found has names that start with "found-" and is kept.
set -euo pipefail

out=$(cd "$(dirname "$0")" && pwd)/corpus/qcow2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
find "$out" -type f ! -name 'found-*' -delete

# image NAME OPTIONS SIZE [QEMU-IO COMMAND...]
image() {
    local path=$work/$1
    qemu-img create -q -u -f qcow2 -o "$2" "${@:5}" "$path" "$3"
    [ -z "$4" ] || echo "$4" | tr ';' '\n' | qemu-io -t unsafe -f qcow2 "$path" > /dev/null
}
# fault NAME FROM OFFSET BYTES(as printf takes them)
fault() {
    cp "$work/$2" "$work/$1"
    printf "$4" | dd of="$work/$1" bs=1 seek="$3" conv=notrunc status=none
}

small=cluster_size=512
image empty-v2 compat=0.10,$small 0 ""
image empty-v3 $small 64k ""
image data-v2 compat=0.10,$small 64k "write -P 1 0 1k;write -P 2 40k 512"
image data-v3 $small 64k "write -P 1 0 1k;write -P 2 40k 512;discard 0 512"
image zeros $small 64k "write -P 1 0 1k;write -z 512 512;write -z -u 8k 1k"
image data-4k cluster_size=4k 64k "write -P 1 8k 4k"
image zlib $small 64k "write -c -P 1 0 512;write -c -P 2 8k 512"
image zstd $small,compression_type=zstd 64k "write -c -P 1 0 512;write -c -P 2 8k 512"
image subclusters extended_l2=on,cluster_size=16k 1M "write -z 0 512;write -z 16k 8k"
image refcount-1 refcount_bits=1,$small 64k "write -P 1 0 1k"
image refcount-64 refcount_bits=64,$small 64k "write -P 1 0 1k"
image lazy lazy_refcounts=on,$small 64k "write -P 1 0 1k"
image backing $small 64k "" -b some.qcow2 -F qcow2
image encrypted $small,encrypt.format=aes,encrypt.key-secret=key 64k "" --object secret,id=key,data=abcdef
(cd "$work" && qemu-img create -q -f qcow2 -o $small,data_file=disk.data,data_file_raw=on data-file 64k)
image snapshots $small 64k "write -P 1 0 2k"
qemu-img snapshot -c one "$work/snapshots"
qemu-io -t unsafe -f qcow2 -c "write -P 2 512 512" "$work/snapshots" > /dev/null
qemu-img snapshot -c two "$work/snapshots"
image bitmaps $small 64k "write -P 1 0 2k"
qemu-img bitmap --add -g 512 "$work/bitmaps" one
qemu-io -t unsafe -f qcow2 -c "write -P 2 0 4k" "$work/bitmaps" > /dev/null
rm "$work/disk.data"

fault dirty data-v3 79 '\x01'
fault corrupt data-v3 79 '\x02'
fault unknown-feature data-v3 72 '\x80'
fault version-1 data-v3 7 '\x01'
fault size-2-63 data-v3 24 '\x80\x00\x00\x00'
fault size-large data-v3 24 '\x00\x00\x00\x7f'
fault cluster-bits data-v3 23 '\x40'
fault l1-misaligned data-v3 47 '\x01'
fault l1-in-header data-v3 40 '\x00\x00\x00\x00\x00\x00\x00\x00'
fault refcount-order data-v3 99 '\x07'
fault extension-length data-v3 116 '\xff\xff\xff\xff'
head -c 100 "$work/data-v3" > "$work/truncated"

cp "$work"/* "$out"
du -sh "$out"

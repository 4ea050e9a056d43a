#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Is the disk whole? Asks tools that are not ours: qemu-img check, sgdisk -v, e2fsck -fn, and the sha256 of every file.
#
#   check-disk.sh IMAGE MANIFEST OFFSET [leaks]
#
# With "leaks", clusters that are allocated but unused are allowed (what a kill may leave). Exit status 0: whole.
set -euo pipefail
image=$1 manifest=$(realpath "$2") offset=$3 leaks=${4:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/check-disk.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "check-disk.sh: $image: $1" >&2; exit 1; }

status=0; qemu-img check -q "$image" > "$work/log" 2>&1 || status=$?
if [ "$status" -ne 0 ] && ! { [ "$leaks" = leaks ] && [ "$status" -eq 3 ]; }; then
  cat "$work/log" >&2; fail "qemu-img check ends with $status"
fi
qemu-img convert -O raw "$image" "$work/raw"
if dd if="$work/raw" bs=512 skip=1 count=1 status=none | head -c 8 | grep -q '^EFI PART$'; then
  sgdisk -v "$work/raw" > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "sgdisk -v"; }
  grep -q "No problems found" "$work/log" || { cat "$work/log" >&2; fail "sgdisk -v finds problems"; }
fi
e2fsck -fn "$work/raw?offset=$offset" > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "e2fsck"; }
mkdir "$work/files"
debugfs -R "rdump / $work/files" "$work/raw?offset=$offset" > "$work/log" 2>&1
(cd "$work/files" && sha256sum --quiet --strict -c "$manifest") || fail "files differ"

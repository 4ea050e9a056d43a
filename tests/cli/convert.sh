# SPDX-License-Identifier: LGPL-2.1-or-later
# convert: plain, expanding, other formats.
source "$(dirname "$0")/common.sh"
same() { qemu-img compare -q "$1" "$2" || die "$1 differs from $2"; }

for options in compat=1.1 compat=0.10 cluster_size=2M cluster_size=4096; do
  make_disk d.qcow2 size=64 big=2 small=20 options=$options
  expect 0 "$TOOL" convert --info --hdd d.qcow2; says ": expanding"
  unchanged d.qcow2 -- expect 0 "$TOOL" convert --plain --hdd d.qcow2 -n
  expect 0 "$TOOL" convert --plain --hdd d.qcow2; check_disk d.qcow2
  expect 0 "$TOOL" convert --info --hdd d.qcow2 --json; is .allocation plain
  [ "$(host_kib d.qcow2)" -ge 65536 ] || die "holds $(host_kib d.qcow2) KiB"
  unchanged d.qcow2 -- expect 0 "$TOOL" convert --plain --hdd d.qcow2; says "nothing to do"
  # Later guest writes allocate neither in the image nor on the host.
  before=$(stat -c '%s %b' d.qcow2); cp --sparse=never d.qcow2 w.qcow2
  qemu-io -f qcow2 -c 'write -P 3 60M 3M' d.qcow2 > /dev/null
  [ "$(stat -c '%s %b' d.qcow2)" = "$before" ] || die "a write allocated: $before -> $(stat -c '%s %b' d.qcow2)"
  mv w.qcow2 d.qcow2
  expect 0 "$TOOL" resize --hdd d.qcow2 --size 100; expect 0 "$TOOL" convert --info --hdd d.qcow2; says ": plain"
  expect 0 "$TOOL" convert --expanding --hdd d.qcow2; check_disk d.qcow2
  [ "$(host_kib d.qcow2)" -lt 30000 ] || die "expanding holds $(host_kib d.qcow2) KiB"
  expect 0 "$TOOL" convert --info --hdd d.qcow2; says ": expanding"
done
# Compressed clusters are unpacked.
make_disk d.qcow2 size=64 big=2 small=20; qemu-img convert -c -O qcow2 d.qcow2 z.qcow2; cp d.qcow2.sha256 z.qcow2.sha256; cp d.qcow2.offset z.qcow2.offset
expect 0 "$TOOL" convert --plain --hdd z.qcow2; check_disk z.qcow2; expect 0 "$TOOL" convert --info --hdd z.qcow2; says ": plain"

# --- refusals
qemu-img snapshot -c s z.qcow2
for way in --plain --expanding; do unchanged z.qcow2 -- expect 6 "$TOOL" convert $way --hdd z.qcow2; says "Image has internal snapshots. Merge snapshots to proceed."; done
qemu-img create -q -f qcow2 -b d.qcow2 -F qcow2 top.qcow2
unchanged top.qcow2 -- expect 6 "$TOOL" convert --plain --hdd top.qcow2; says "merge --external"
expect 2 "$TOOL" convert --hdd d.qcow2; says "Either --plain or --expanding must be specified"
expect 2 "$TOOL" convert --plain --expanding --hdd d.qcow2; says "Either --plain or --expanding must be specified"
expect 2 "$TOOL" convert --format raw --hdd d.qcow2; says --output
expect 2 "$TOOL" convert --format nonsense --output x --hdd d.qcow2; says "raw"
: > there; unchanged d.qcow2 there -- expect 2 "$TOOL" convert --format raw --output there --hdd d.qcow2; says "exists already"

# --- other formats, from a chain too
expect 0 "$TOOL" convert --format raw --output top.raw --verify --hdd top.qcow2; says compared
same top.raw top.qcow2; [ "$(host_kib top.raw)" -lt 40000 ] || die "the raw copy is not sparse"
expect 0 "$TOOL" convert --format qcow2 --output new.qcow2 --verify --hdd top.raw
same new.qcow2 top.qcow2; qemu-img check -q new.qcow2; [ "$(host_kib new.qcow2)" -lt 40000 ] || die "the copy is not sparse"
[ -z "$(find . -name '*.disktool-*')" ] || die "left behind: $(find . -name '*.disktool-*')"

# --- recover, when there is nothing to recover
unchanged d.qcow2 -- expect 0 "$TOOL" recover --hdd d.qcow2; says "nothing to do"
unchanged d.qcow2 -- expect 0 "$TOOL" recover --hdd d.qcow2 -n --json; is .result.found false

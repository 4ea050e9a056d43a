# SPDX-License-Identifier: LGPL-2.1-or-later
# resize --size: grows in place, the backup GPT follows, everything else stays.
source "$(dirname "$0")/common.sh"

for table in gpt mbr logical none; do
  make_disk $table.qcow2 table=$table size=64 big=2 small=40
  qemu-img convert -O raw $table.qcow2 old.raw
  guids() { [ $table != gpt ] || sgdisk -p -i 1 "$1" 2> /dev/null | grep -iE 'guid|name'; }
  uuids=$(guids old.raw)
  unchanged $table.qcow2 -- expect 0 "$TOOL" resize --hdd $table.qcow2 --size 200 --dry-run
  unchanged $table.qcow2 -- expect 0 "$TOOL" resize --hdd $table.qcow2 --size 200 -n --json
  is .new_size 209715200
  expect 0 "$TOOL" resize --hdd $table.qcow2 --size 200
  [ "$(qemu-img info --output=json $table.qcow2 | jq '."virtual-size"')" = 209715200 ] || die "wrong size"
  check_disk $table.qcow2
  [ ! -e $table.qcow2.disktool-job ] || die "the job record stays"
  qemu-img convert -O raw $table.qcow2 new.raw
  [ "$uuids" = "$(guids new.raw)" ] || die "GUIDs changed"
  cmp -n 440 old.raw new.raw || die "boot code changed"
  # Equal size: nothing to do.
  unchanged $table.qcow2 -- expect 0 "$TOOL" resize --hdd $table.qcow2 --size 200; says "nothing to do"
  # Smaller again, but never into what is in use.
  unchanged $table.qcow2 -- expect 8 "$TOOL" resize --hdd $table.qcow2 --size 40; says "minimum:"
  expect 0 "$TOOL" resize --hdd $table.qcow2 --size 100
  [ "$(qemu-img info --output=json $table.qcow2 | jq '."virtual-size"')" = 104857600 ] || die "wrong size"
  check_disk $table.qcow2
done

# Growth over the limits of L1 and refcount tables, small clusters.
make_disk small.qcow2 table=gpt size=64 cluster=512 big=1 small=10
expect 0 "$TOOL" resize --hdd small.qcow2 --size 2G; check_disk small.qcow2
make_disk v2.qcow2 table=gpt size=64 compat=0.10 cluster=2097152
expect 0 "$TOOL" resize --hdd v2.qcow2 --size 5G; check_disk v2.qcow2
expect 0 "$TOOL" resize --hdd v2.qcow2 --size 3T; check_disk_size=$(qemu-img info --output=json v2.qcow2 | jq '."virtual-size"')
[ "$check_disk_size" = $((3 << 40)) ] || die "3 TiB"

# A disk that qemu-img has grown has its backup GPT in the middle; asked for the size that it has, it is put right, once. The
# same with bitmaps.
for bitmap in no yes; do
  make_disk moved.qcow2 table=gpt size=64; [ $bitmap = no ] || qemu-img bitmap --add moved.qcow2 backup
  qemu-img resize -q -f qcow2 moved.qcow2 100M
  ! check_disk moved.qcow2 2> /dev/null || die "sgdisk -v does not notice"
  expect 0 "$TOOL" resize --hdd moved.qcow2 --size 100; says "backup GPT"
  check_disk moved.qcow2
  unchanged moved.qcow2 -- expect 0 "$TOOL" resize --hdd moved.qcow2 --size 100; says "nothing to do"
done

# More than the format can hold.
make_disk limit.qcow2 table=gpt size=64 cluster=512 big=1 small=10
unchanged limit.qcow2 -- expect 8 "$TOOL" resize --hdd limit.qcow2 --size 1T

# MBR beyond 2 TiB: done, and said.
make_disk big.qcow2 table=mbr size=64 big=1 small=10
expect 0 "$TOOL" resize --hdd big.qcow2 --size 3T; says "MBR"; says "GPT"

# Snapshots: refused in the original's words, named, with the way out.
make_disk snap.qcow2 size=64; qemu-img snapshot -c one snap.qcow2
unchanged snap.qcow2 -- expect 6 "$TOOL" resize --hdd snap.qcow2 --size 1G
says "Image has internal snapshots. Merge snapshots to proceed."; says one

# Bitmaps survive.
make_disk bitmap.qcow2 size=64; qemu-img bitmap --add bitmap.qcow2 backup
expect 0 "$TOOL" resize --hdd bitmap.qcow2 --size 1G; check_disk bitmap.qcow2
qemu-img info --output=json bitmap.qcow2 | jq -e '."format-specific".data.bitmaps[0] | .name == "backup" and (.flags | index("in-use") | not)' > /dev/null || die "the bitmap is lost"

# An external data file is read, not written: said, with the way out.
make_disk data.qcow2 size=64 options=data_file=data.raw
expect 0 "$TOOL" resize --hdd data.qcow2 --info
for verb in compact "resize --size 1G"; do
  unchanged data.qcow2 data.raw -- expect 6 "$TOOL" $verb --hdd data.qcow2; says "qemu-img convert"
done

# A damaged primary GPT is said and mended with the growth; both damaged is refused.
make_disk g.qcow2 table=gpt size=64
qemu-io -f qcow2 -c 'write -P 0 512 512' g.qcow2 > /dev/null
expect 0 "$TOOL" resize --hdd g.qcow2 --info; says "damaged"
expect 0 "$TOOL" resize --hdd g.qcow2 --size 1G; check_disk g.qcow2

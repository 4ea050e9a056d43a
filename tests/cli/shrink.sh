# SPDX-License-Identifier: LGPL-2.1-or-later
# resize to a smaller size, and --resize_partition: what follows, what is refused and in which words, and that the image
# stays itself. (Every file system and table: release/matrix_fs.sh.)
source "$(dirname "$0")/common.sh"
size_of() { qemu-img info --output=json "$1" | jq '."virtual-size" / 1048576'; }

# --- nothing known on the disk: cut only when the danger is named, and then only the tail goes
qemu-img create -q -f qcow2 blank.qcow2 200M
qemu-io -f qcow2 -c 'write -P 5 1M 3M' blank.qcow2 > /dev/null
unchanged blank.qcow2 -- expect 8 "$TOOL" resize --hdd blank.qcow2 --size 100; says "--discard-tail"; says "may hold anything"
unchanged blank.qcow2 -- expect 8 "$TOOL" resize --hdd blank.qcow2 --size 100 --resize_partition; says "--discard-tail"
expect 0 "$TOOL" resize --hdd blank.qcow2 --size 100 --discard-tail; says "thrown away"
[ "$(size_of blank.qcow2)" = 100 ] || die "blank disk has $(size_of blank.qcow2) MiB"
qemu-io -f qcow2 -c 'read -P 5 1M 3M' blank.qcow2 | grep -q 'read 3145728' || die "data before the cut is gone"
qemu-img check -q blank.qcow2
# An empty table is no better than none.
qemu-img create -q -f raw empty.raw 64M; echo 'label: gpt' | sfdisk -q --no-tell-kernel empty.raw; qemu-img convert -O qcow2 empty.raw empty.qcow2
unchanged empty.qcow2 -- expect 8 "$TOOL" resize --hdd empty.qcow2 --size 32; says "--discard-tail"

# --- a physical volume on the whole disk is kept (the original leaves an empty image and says nothing)
"$IMAGES/make-fs-disk.sh" pv.qcow2 lvm none 128
unchanged pv.qcow2 -- expect 8 "$TOOL" resize --hdd pv.qcow2 --size 100; says "LVM2_member"
expect 0 "$TOOL" resize --hdd pv.qcow2 --size 300
expect 0 "$TOOL" resize --hdd pv.qcow2 --size 128
"$IMAGES/check-fs-disk.sh" pv.qcow2 pv.qcow2.sha256 lvm || die "the volume is damaged"

# --- an unknown partition: the disk alone, and only where nothing is cut
"$IMAGES/make-fs-disk.sh" none.qcow2 none gpt 64
expect 0 "$TOOL" resize --hdd none.qcow2 --size 100 --resize_partition; says "the disk alone is resized"
unchanged none.qcow2 -- expect 8 "$TOOL" resize --hdd none.qcow2 --size 40 --resize_partition; says "nothing that is recognised"
expect 0 "$TOOL" resize --hdd none.qcow2 --size 65 --resize_partition
"$IMAGES/check-fs-disk.sh" none.qcow2 none.qcow2.sha256 none || die "the table is damaged"

# --- what cannot be made smaller at all: no advice to free anything, in one sentence after the other
"$IMAGES/make-fs-disk.sh" xfs.qcow2 xfs gpt 400
unchanged xfs.qcow2 -- expect 8 "$TOOL" resize --hdd xfs.qcow2 --size 100 --resize_partition
says "cannot be made smaller: XFS cannot shrink"; says "Choose a size of"; says_not "Free at least"; says_not ".."
unchanged xfs.qcow2 -- expect 8 "$TOOL" resize --hdd xfs.qcow2 --size 100; says "--resize_partition may make it smaller. Choose a size of"; says_not "Free at least"

# --- the image stays itself
make_disk own.qcow2 table=gpt size=256 cluster=131072 compat=1.1 big=4 small=40
qemu-img bitmap --add own.qcow2 backup
chown 1234:4321 own.qcow2; chmod 640 own.qcow2; setfattr -n user.note -v kept own.qcow2 2> /dev/null || true
ln own.qcow2 second-name.qcow2; mkdir links; ln -s ../own.qcow2 links/link.qcow2
inode=$(stat -c %i own.qcow2)
for size in 120 400; do
  expect 0 "$TOOL" resize --hdd links/link.qcow2 --size $size --resize_partition
  [ -L links/link.qcow2 ] || die "the link was replaced"
  [ "$(stat -c '%i %u %g %a %h' own.qcow2)" = "$inode 1234 4321 640 2" ] || die "the file is another: $(stat -c '%i %u %g %a %h' own.qcow2)"
  [ "$(getfattr --only-values -n user.note own.qcow2 2> /dev/null)" = kept ] || ! getfattr -n user.note own.qcow2 > /dev/null 2>&1 || die "attributes lost"
  [ "$(qemu-img info --output=json own.qcow2 | jq '."cluster-size"')" = 131072 ] || die "cluster size"
  qemu-img info --output=json own.qcow2 | jq -e '."format-specific".data.bitmaps[0] | .name == "backup" and (.flags | index("in-use") | not)' > /dev/null || die "the bitmap is lost"
  check_disk own.qcow2
done
[ ! -e links/link.qcow2.disktool-job ] && [ ! -e own.qcow2.disktool-job ] || die "a record stays"

# --- --partition N: another than the last, as far as its neighbour lets it
truncate -s 200M parts.raw
printf 'label: gpt\n1: start=2048, size=40960\n2: start=204800, size=40960\n3: start=102400, size=40960\n' | sfdisk -q --no-tell-kernel parts.raw
for n in 1 2 3; do
  start=$(sfdisk -J parts.raw | jq ".partitiontable.partitions[] | select(.node | endswith(\"$n\")) | .start")
  mke2fs -q -t ext4 -E offset=$((start * 512)) -L part$n parts.raw 20480k
done
qemu-img convert -O qcow2 parts.raw parts.qcow2
end_of() { qemu-img convert -O raw parts.qcow2 now.raw; sfdisk -J now.raw | jq ".partitiontable.partitions[] | select(.node | endswith(\"$1\")) | (.start + .size) / 2048"; }
blocks_of() { dumpe2fs -h "now.raw?offset=$1" 2> /dev/null | sed -n 's/^Block count: *//p'; }
expect 0 "$TOOL" resize --hdd parts.qcow2 --size 200 --resize_partition --partition 1
[ "$(end_of 1)" = 50 ] || die "partition 1 ends at $(end_of 1)"
unchanged parts.qcow2 -- expect 8 "$TOOL" resize --hdd parts.qcow2 --size 200 --resize_partition --partition 1; says "no room behind"
expect 2 "$TOOL" resize --hdd parts.qcow2 --size 200 --resize_partition --partition 9; says "no partition 9"
# The last one is the last by place: 2, though 3 has the higher number.
expect 0 "$TOOL" resize --hdd parts.qcow2 --size 300 --resize_partition
[ "$(end_of 2)" = 299 ] && [ "$(end_of 3)" = 70 ] || die "2 ends at $(end_of 2), 3 at $(end_of 3)"
expect 0 "$TOOL" resize --hdd parts.qcow2 --size 130 --resize_partition
[ "$(end_of 2)" = 129 ] || die "2 ends at $(end_of 2)"
sgdisk -v now.raw | grep -q "No problems found" || die "sgdisk -v"
for start in 1 50 100; do e2fsck -fn "now.raw?offset=$((start << 20))" > /dev/null 2>&1 || die "e2fsck at $start MiB"; done

# --- engines and words
make_disk d.qcow2 size=128 big=2 small=20
unchanged d.qcow2 -- expect 0 "$TOOL" resize --hdd d.qcow2 --size 64 --resize_partition -n --json
is '[.plan.steps[].kind] | join(" ")' "ext4.check ext4.resize table.write work.verify work.commit"
unchanged d.qcow2 -- expect 8 "$TOOL" resize --hdd d.qcow2 --size 2 --resize_partition; says "Not enough free space on filesystem ( requested: 2097152 minimum:"; says "Free at least"
qemu-img snapshot -c s d.qcow2
unchanged d.qcow2 -- expect 6 "$TOOL" resize --hdd d.qcow2 --size 64 --resize_partition; says "Image has internal snapshots. Merge snapshots to proceed."
# A program that is not there is named with its package.
make_disk p.qcow2 size=128 big=2 small=20
unchanged p.qcow2 -- expect 9 unshare -m bash -c 'mount -t tmpfs none /usr/sbin && exec "$@"' - \
  "$TOOL" resize --hdd p.qcow2 --size 64 --resize_partition --engine native; says "e2fsprogs"

# --- a plain image stays plain, smaller and larger
expect 0 "$TOOL" convert --plain --hdd p.qcow2
for size in 100 200; do
  expect 0 "$TOOL" resize --hdd p.qcow2 --size $size --resize_partition
  expect 0 "$TOOL" convert --info --hdd p.qcow2; says ": plain"
  [ "$(host_kib p.qcow2)" -ge $((size * 1024)) ] || die "plain image of $size MiB holds $(host_kib p.qcow2) KiB"
  check_disk p.qcow2
done

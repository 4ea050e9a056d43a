# SPDX-License-Identifier: LGPL-2.1-or-later
# The program ploop on disks at rest, and prl_disk_tool on ploop disks: results looked at with other people's tools.
source "$(dirname "$0")/common.sh"
PLOOP=$DISKTOOL_BIN/ploop
X=DiskDescriptor.xml
U1={11111111-1111-1111-1111-111111111111} U2={22222222-2222-2222-2222-222222222222}

disk_sum() { "$TOOL" convert --hdd . --format raw --output content > /dev/null; sha256sum < content | cut -d' ' -f1; rm content; } # of what the guest sees
raw_sum() { qemu-img convert -f parallels -O raw "$1" content; sha256sum < content | cut -d' ' -f1; rm content; }
sound() { # the disk's only image: ours, QEMU, the table, the file system
  expect 0 "$PLOOP" check -f -c root.hdd
  qemu-img check -q -f parallels root.hdd || die "qemu-img check: $1"
  qemu-img convert -f parallels -O raw root.hdd content
  sgdisk -v content | grep -q "No problems found" || die "sgdisk -v: $1"
  e2fsck -fn "content?offset=1048576" > log 2>&1 || die "e2fsck: $1: $(cat log)"
  rm content
}

# --- init, resize, discard
expect 0 "$PLOOP" init -s 300M root.hdd; says "Storing"
[ "$(stat -c %a root.hdd)" = 600 ] || die "the image's mode is $(stat -c %a root.hdd)"
sound "a new disk"
expect 0 "$PLOOP" info -s $X
[ "$OUT" = "$(printf 'size:\t\t614400\nblocksize:\t2048\nfmt_version:\t2')" ] || die "info -s: $OUT"
qemu-img convert -f parallels -O raw root.hdd r; debugfs -R "stat .balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8" "r?offset=1048576" 2> /dev/null | grep -q "Inode: 12 .*Type: regular .*Mode:  0600" || die "no balloon file"
dumpe2fs -h "r?offset=1048576" 2> /dev/null > log; grep -q "Errors behavior: *Remount read-only" log && grep -q "Journal size: *128M\|Total journal size: *128M" log || die "options of the file system: $(cat log)"
rm r
expect 38 "$PLOOP" init -s 300M root.hdd; says "exists"
mkdir clusters; expect 0 "$PLOOP" init -s 300M -b 64 clusters/x.hdd; expect 0 "$PLOOP" check -f -c clusters/x.hdd
qemu-img convert -f parallels -O raw clusters/x.hdd r; sgdisk -v r | grep -q "No problems found" || die "small clusters: the table"
e2fsck -fn "r?offset=32768" > log 2>&1 || die "small clusters: $(cat log)"; rm -r r clusters
expect 1 "$PLOOP" init -s 300M missing/x.hdd; echo | expect 1 "$PLOOP" copy -d missing/x
mkdir small; expect 24 "$PLOOP" init -s 100M small/x.hdd; [ -z "$(ls small)" ] || die "a failed init leaves $(ls small)"
unchanged root.hdd $X -- expect 0 "$PLOOP" resize -s 400M $X --dry-run
for missing in /dev/loop9999 nothing; do
  expect 38 "$PLOOP" resize -s 1G $missing; says "$missing does not exist"; expect 38 "$PLOOP" resize $missing; says "$missing does not exist"
done
expect 38 "$PLOOP" resize -s 1G root.hdd; says "root.hdd is no descriptor"
expect 38 "$PLOOP" resize $X; says "the new size of $X is missing: give it with -s SIZE"
expect 0 "$PLOOP" resize -s 512M $X; sound "growing"
expect 0 "$PLOOP" info -s $X; says "1048576"
mkdir m
# Files as a guest would write them: through a raw copy, since there is no device yet.
expect 0 "$PLOOP" convert -f raw $X; [ "$(stat -c %s root.hdd)" = 536870912 ] || die "a raw image of another size"
mount -o loop,offset=1048576 root.hdd m; AT_EXIT+=("umount $WORK/m")
for i in 1 2 3 4; do head -c 20M /dev/urandom > m/f$i; done; (cd m && sha256sum f1 f4) > kept; sync -f m; rm m/f2 m/f3; umount m
expect 0 "$PLOOP" convert -f ploop1 $X; sound "raw and back"
before=$(stat -c %s root.hdd)
expect 0 "$PLOOP" balloon discard $X; says "TRUNCATED"; sound "balloon discard"
[ "$(stat -c %s root.hdd)" -le $((before - 38 * 1048576)) ] || die "discard: $before -> $(stat -c %s root.hdd)"
files_are_right() { qemu-img convert -f parallels -O raw root.hdd r; mount -o loop,ro,offset=1048576 r m; (cd m && sha256sum --quiet -c ../kept) || die "files: $1"; umount m; rm r; }
files_are_right "after discard"
expect 0 "$PLOOP" resize -s 340M $X; sound "shrinking"; files_are_right "after shrinking"
expect 0 "$PLOOP" info -s $X; says "696320"
expect 38 "$PLOOP" resize -s 8M $X; says "minimum"
expect 0 "$PLOOP" info $X --json; is .ok true

# --- snapshots
before=$(disk_sum)
expect 0 "$PLOOP" snapshot -u $U1 $X; says "has been successfully created"
expect 0 "$PLOOP" snapshot -u $U2 $X
expect 38 "$PLOOP" snapshot -u $U2 $X
expect 0 "$PLOOP" snapshot-list -H -o uuid $X; [ "$(sed 's/ *$//' <<< "$OUT")" = "$U1
$U2
{5fbaabe3-6958-40ff-92a7-860e329aab41}" ] || die "snapshot-list: $OUT"
[ "$(disk_sum)" = "$before" ] || die "snapshots change the disk"
expect 43 "$PLOOP" snapshot-delete -u "{33333333-3333-3333-3333-333333333333}" $X
expect 43 "$PLOOP" snapshot-switch -u "{33333333-3333-3333-3333-333333333333}" $X
expect 0 "$PLOOP" snapshot-delete -u $U2 $X
expect 0 "$PLOOP" snapshot-switch -u $U1 $X
expect 0 "$TOOL" info --hdd .; says "ploop"
expect 0 "$TOOL" merge --hdd .
[ "$(ls | grep -c '^root')" = 1 ] || die "merge leaves $(ls)"
[ "$(disk_sum)" = "$before" ] || die "merge changes the disk"
sound "merging"

# --- formats and versions
expect 0 "$PLOOP" convert -v 1 $X; [ "$(head -c 16 root.hdd)" = WithoutFreeSpace ] || die "no version 1"
[ "$(raw_sum root.hdd)" = "$before" ] || die "version 1 has another content"
expect 0 "$PLOOP" convert -v 2 $X
expect 0 "$PLOOP" convert -f preallocated $X; grep -q "<Preallocated>1" $X || die "not preallocated"
[ "$(host_kib root.hdd)" -ge $((340 * 1024)) ] || die "preallocated, but $(host_kib root.hdd) KiB"
expect 0 "$PLOOP" check -f root.hdd
[ "$(raw_sum root.hdd)" = "$before" ] || die "preallocated has another content"
expect 0 "$PLOOP" balloon discard --to-free 20M $X; ! grep -q "<Preallocated>" $X || die "called preallocated, with clusters freed"
expect 0 "$PLOOP" convert -f preallocated $X
expect 0 "$PLOOP" convert -f expanded $X
expect 0 "$TOOL" convert --hdd . --format qcow2 --output disk.qcow2 --verify
qemu-img compare -q -f qcow2 -F parallels disk.qcow2 root.hdd || die "qcow2 differs"
expect 0 "$TOOL" convert --hdd disk.qcow2 --format ploop --output other.hdd --verify
qemu-img compare -q -f parallels -F parallels other.hdd root.hdd || die "ploop differs"

# --- replace, restore-descriptor, copy
cp root.hdd twin.hdd; expect 0 "$PLOOP" snapshot -u $U1 $X
expect 0 "$PLOOP" replace -u $U1 -i twin.hdd $X; grep -q "<File>twin.hdd" $X || die "not replaced"
expect 0 "$PLOOP" snapshot-merge -A $X
[ "$(disk_sum)" = "$before" ] || die "replace changes the disk"
mkdir again; cp twin.hdd again/root.hdd
expect 0 "$PLOOP" restore-descriptor -f ploop1 again again/root.hdd
[ "$(grep Disk_size $X)" = "$(grep Disk_size again/$X)" ] || die "another size"
record() { perl -e 'print pack("VVQ<", 0x4cc0ac3d, $ARGV[0], $ARGV[1])' "$1" "$2"; }
{ record 1048576 0; head -c 1048576 twin.hdd; record 4 0; head -c 4 twin.hdd; record 0 0; } | expect 0 "$PLOOP" copy -d received
cmp -n 1048576 twin.hdd received || die "copy -d"
{ record 5 0; echo; } | expect 6 "$PLOOP" copy -d cut; [ ! -e cut ] || die "a cut stream leaves a file"
echo "no stream at all" | expect 13 "$PLOOP" copy -d rubbish

# --- words and exit codes
expect 38 "$PLOOP"; expect 38 "$PLOOP" nonsense
expect 38 "$PLOOP" snapshot -x $X; says "invalid option"
expect 39 "$PLOOP" info -s nothing.xml
echo rubbish > bad.xml; expect 23 "$PLOOP" info -s bad.xml
printf '\x59\x6e\x6f\x74' | dd of=twin.hdd bs=1 seek=44 conv=notrunc status=none
expect 37 "$PLOOP" check twin.hdd; expect 0 "$PLOOP" check -d twin.hdd; expect 0 "$PLOOP" check -f twin.hdd

# --- a file system that did not follow, by less than a few MiB, is brought to its end by a resize to the present size
mkdir "$WORK/short"; cd "$WORK/short"
expect 0 "$PLOOP" init -s 304M root.hdd; expect 0 "$PLOOP" resize -s 304M $X # the partition of a new disk ends elsewhere
expect 0 "$PLOOP" convert -f raw $X
size() { dumpe2fs -h "root.hdd?offset=1048576" 2> /dev/null | awk '/^Block count:/ { print $3 * 4096 }'; }
full=$(size)
e2fsck -fp "root.hdd?offset=1048576" > log 2>&1 || true
tail -c 1M root.hdd > tail # resize2fs cuts the file
resize2fs "root.hdd?offset=1048576" $(((full >> 10) - 4096))K > log 2>&1 || die "resize2fs: $(cat log)"
truncate -s 303M root.hdd; cat tail >> root.hdd
[ "$(size)" = $((full - (4 << 20))) ] || die "the file system has $(size) bytes"
expect 0 "$PLOOP" convert -f ploop1 $X
expect 0 "$PLOOP" resize -s 304M $X --dry-run; says "ext4"
expect 0 "$PLOOP" resize -s 304M $X
expect 0 "$PLOOP" resize -s 304M $X --json; is '.plan.steps | length' 0 # now it is done
expect 0 "$PLOOP" convert -f raw $X; [ "$(size)" = "$full" ] || die "the file system has $(size) bytes, not $full"

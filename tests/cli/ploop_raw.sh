# SPDX-License-Identifier: LGPL-2.1-or-later
# Raw ploop disks: resized, compacted, killed. And block devices in the place of an image.
source "$(dirname "$0")/common.sh"
PLOOP=$DISKTOOL_BIN/ploop
X=DiskDescriptor.xml
U1={11111111-1111-1111-1111-111111111111}
export DISKTOOL_STATE=$WORK/state

sound() { # table and file system of a raw file or device, and what was in it
  sgdisk -v "$1" | grep -q "No problems found" || die "sgdisk -v: $2: $(sgdisk -v "$1")"
  e2fsck -fn "$1?offset=1048576" > log 2>&1 || die "e2fsck: $2: $(cat log)"
}
mkdir m; AT_EXIT+=("umount $WORK/m")
with_files() { mount -o loop,offset=1048576 "$1" m; shift; "$@"; unmount m; }
fill() { for i in 1 2 3 4; do head -c 20M /dev/urandom > m/f$i; done; (cd m && sha256sum f1 f4) > kept; rm m/f2 m/f3; }
files_are_right() { (cd m && sha256sum --quiet -c ../kept) || die "files: $1"; }
alone() { [ "$(ls | grep -vxE 'm|kept|log|out|err|state')" = "$(printf '%s\n' $X $X.lck root.hdd)" ] || die "left over: $(ls)"; }

# --- larger and smaller
expect 0 "$PLOOP" init -f raw -s 300M root.hdd
with_files root.hdd fill
unchanged root.hdd $X -- expect 0 "$PLOOP" resize -s 400M $X --dry-run; says "grow the ext4"
expect 0 "$PLOOP" resize -s 400M $X; sound root.hdd "growing"; alone
[ "$(stat -c %s root.hdd)" = 419430400 ] || die "grown to $(stat -c %s root.hdd)"
[ "$(host_kib root.hdd)" -ge $((390 * 1024)) ] || die "grown, but $(host_kib root.hdd) KiB on the host"
grep -q "<Disk_size>819200<" $X || die "the descriptor does not tell"
expect 0 "$PLOOP" info -s $X; says "819200"; says "fmt_version:	0"
with_files root.hdd files_are_right "growing"
expect 0 "$PLOOP" resize -s 340M $X; sound root.hdd "shrinking"; alone
[ "$(stat -c %s root.hdd)" = 356515840 ] || die "shrunk to $(stat -c %s root.hdd)"
with_files root.hdd files_are_right "shrinking"
expect 38 "$PLOOP" resize -s 8M $X; says "minimum"; alone

# --- the space of what is free
expect 0 "$PLOOP" balloon discard $X --dry-run; says "holes"
expect 0 "$PLOOP" balloon discard $X; says "PUNCHED"; sound root.hdd "balloon discard"
[ "$(host_kib root.hdd)" -lt $((260 * 1024)) ] || die "discard leaves $(host_kib root.hdd) KiB"
before=$(host_kib root.hdd)
expect 0 "$PLOOP" check $X # holes are no fault of a raw disk
[ "$(host_kib root.hdd)" = "$before" ] || die "check fills the holes again"
expect 11 "$PLOOP" check -R -b 2048 root.hdd # but as the original says it of a file
expect 0 "$PLOOP" resize -s 360M $X; sound root.hdd "growing a sparse one"; alone
with_files root.hdd files_are_right "discard and growing"
expect 0 "$PLOOP" check -R -S -b 2048 root.hdd
[ "$(host_kib root.hdd)" -ge $((360 * 1024)) ] || die "check -S leaves $(host_kib root.hdd) KiB"

# --- prl_disk_tool, by the folder, the descriptor and the image
for name in . $X root.hdd; do
  expect 0 "$TOOL" resize --info --hdd $name; says "360M"
  expect 0 "$TOOL" info --hdd $name; says "ploop"
done
expect 0 "$TOOL" resize --size 380M --resize_partition --hdd .; sound root.hdd "prl_disk_tool"
expect 0 "$TOOL" compact --hdd root.hdd
with_files root.hdd files_are_right "prl_disk_tool"
expect 0 "$TOOL" convert --hdd . --format qcow2 --output disk.qcow2 --verify
qemu-img compare -q -f qcow2 -F raw disk.qcow2 root.hdd || die "qcow2 differs"
rm disk.qcow2
# What the guest writes to its first sector does not make another format of it.
cp root.hdd saved; printf 'WithouFreSpacExt' | dd of=root.hdd conv=notrunc status=none
expect 0 "$TOOL" info --hdd root.hdd --json; is .image.virtual_size 398458880
printf 'QFI\373' | dd of=root.hdd conv=notrunc status=none
expect 0 "$TOOL" info --hdd root.hdd --json; is .image.format ploop
mv saved root.hdd

# --- a snapshot over it
expect 0 "$PLOOP" snapshot -u $U1 $X
expect 0 "$PLOOP" resize -s 420M $X
expect 0 "$PLOOP" info -s $X; says "860160"
expect 0 "$PLOOP" snapshot-merge $X; sound root.hdd "merging a grown snapshot"
[ "$(stat -c %s root.hdd)" = 440401920 ] || die "merged: $(stat -c %s root.hdd)"
with_files root.hdd files_are_right "merging"; alone

# --- killed at random: the disk is old or new for who opens it next
cp root.hdd keep.raw; cp $X keep.xml
begun=$(date +%s%N); expect 0 "$PLOOP" resize -s 480M $X; whole=$((($(date +%s%N) - begun) / 1000))
for percent in 10 40 60 70 75 80 84 87 90 92 94 96 98 100; do
  delay=$(printf '%d.%06d' $((whole * percent / 100 / 1000000)) $((whole * percent / 100 % 1000000)))
  cp keep.raw root.hdd; cp keep.xml $X
  "$PLOOP" resize -s 480M $X > /dev/null 2>&1 & pid=$!
  sleep $delay; kill -9 $pid 2> /dev/null || true; wait $pid 2> /dev/null || true
  size=$("$PLOOP" info -s $X 2> /dev/null | sed -n 's/size:[^0-9]*//p' | head -1)
  [ "$size" = 860160 ] || [ "$size" = 983040 ] || die "killed after $delay: $size sectors"
  # As it lies. A copy has no record of the job, by which a convert would be sent to the recovery first.
  mkdir look; cp --sparse=always $X root.hdd* look; rm -f look/*-job
  expect 0 "$TOOL" convert --hdd look --format raw --output content
  sound content "killed after $delay"; rm -r look content
  expect 0 "$PLOOP" resize -s 480M $X; sound root.hdd "killed after $delay, and again"
  [ "$(ls | grep -c '^root')" = 1 ] || die "killed after $delay, left over: $(ls)"
  with_files root.hdd files_are_right "killed after $delay"
done
rm keep.raw keep.xml

# --- a disk that was left in use
rm root.hdd $X $X.lck
expect 0 "$PLOOP" init -s 300M root.hdd
printf '\x59\x6e\x6f\x74' | dd of=root.hdd bs=1 seek=44 conv=notrunc status=none
unchanged root.hdd $X -- expect 0 "$PLOOP" resize -s 350M $X --dry-run; says "marked as in use"
expect 0 "$PLOOP" resize -s 350M $X; says "was left in use"
expect 0 "$PLOOP" check -f -c root.hdd
qemu-img convert -f parallels -O raw root.hdd content; sound content "resizing what was in use"; rm content
printf '\x59\x6e\x6f\x74' | dd of=root.hdd bs=1 seek=44 conv=notrunc status=none
expect 4 "$PLOOP" balloon discard $X; expect 4 "$PLOOP" convert -f raw $X; expect 4 "$PLOOP" grow -s 400M $X

# --- block devices
truncate -s 300M device.img
DEVICE=$(losetup -f --show device.img) || { echo "no loop devices"; exit 0; }
AT_EXIT+=("losetup -d $DEVICE")
unchanged device.img -- expect 0 "$PLOOP" init $DEVICE --dry-run; says "what is on the device is lost"
expect 38 "$PLOOP" init -t none $DEVICE; expect 38 "$PLOOP" init -b 100 $DEVICE
expect 0 "$PLOOP" init $DEVICE; sound $DEVICE "init of a device"
[ "$(sgdisk -i 1 $DEVICE | sed -n 's/First sector: \([0-9]*\).*/\1/p')" = 2048 ] || die "the partition begins elsewhere"
dumpe2fs -h "$DEVICE?offset=1048576" 2> /dev/null | grep -q "Errors behavior: *Remount read-only" || die "options of the file system"
with_files $DEVICE fill
sync; blockdev --flushbufs $DEVICE
truncate -s 400M device.img; losetup -c $DEVICE
unchanged device.img -- expect 0 "$PLOOP" resize $DEVICE --dry-run; says "grow the ext4"
expect 0 "$PLOOP" resize $DEVICE; sound $DEVICE "growing a device"
[ "$(dumpe2fs -h "$DEVICE?offset=1048576" 2> /dev/null | sed -n 's/Block count: *//p')" -gt 101000 ] || die "the file system has not grown"
expect 0 "$PLOOP" resize $DEVICE; says "nothing is to be done"
expect 38 "$PLOOP" resize -s 500M $DEVICE; says "cannot hold"
expect 0 "$PLOOP" resize -s 320M $DEVICE; sync; blockdev --flushbufs $DEVICE
head -c 320M device.img > cut.img; sound cut.img "shrinking within a device"; with_files cut.img files_are_right "shrinking within a device"
expect 0 "$PLOOP" resize $DEVICE; sound $DEVICE "growing back"; blockdev --flushbufs $DEVICE
with_files $DEVICE files_are_right "a device"
[ -z "$(ls state)" ] || die "left over: $(ls state)"
expect 38 "$PLOOP" resize -s 8M $DEVICE; says "minimum"
mke2fs -q -F $DEVICE; mount $DEVICE m; expect 37 "$PLOOP" init $DEVICE; says "in use"; expect 37 "$PLOOP" resize $DEVICE; unmount m
truncate -s 100M device.img; losetup -c $DEVICE
unchanged device.img -- expect 24 "$PLOOP" init $DEVICE; says "journal"

# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop resize of disks that are mounted: they grow with table and file system, get smaller by their balloon.
source "$(dirname "$0")/common.sh"
BALLOON=.balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8
sectors() { blockdev --getsz "$1"; }
part() { echo "$(field "$1" node)p1"; }
disk_size() { xmllint --xpath 'string(//Disk_size)' "$1/$X"; }
# Without this capability the kernel grows no mounted ext4.
may_grow_ext4() { capsh --has-p=cap_sys_resource 2> /dev/null; }
df_free() { df -B1 --output=avail "$1" | tail -1; }
sound_at_rest() { # FOLDER [START]: the disk, its table and its ext4 in the eyes of others
  expect 0 "$PLOOP" check -f -c "$1/root.hdd"
  qemu-img convert -f parallels -O raw "$1/root.hdd" content
  sgdisk -v content | grep -q "No problems found" || die "sgdisk -v of $1: $(sgdisk -v content)"
  e2fsck -fn "content?offset=1048576" > log 2>&1 || die "e2fsck of $1: $(cat log)"
  rm content
}

# --- ext4 grows: the device and its table at once; the file system where the kernel lets us, else after an umount.
disk a; mkdir m
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor)
head -c 30M /dev/urandom > m/file; sum=$(sha256sum < m/file)
unchanged a/$X -- expect 0 "$PLOOP" resize -s 500M a/$X --dry-run; says "grow"; says "partition 1"
[ "$(sectors "$(field $N node)")" = $((300 * 2048)) ] || die "a dry run grows the device"
if may_grow_ext4; then
  expect 0 "$PLOOP" resize -s 500M a/$X
else
  expect 26 "$PLOOP" resize -s 500M a/$X
  says "CAP_SYS_RESOURCE"; says "ploop umount"; says "resize -s 1024000"
fi
[ "$(sectors "$(field $N node)")" = $((500 * 2048)) ] || die "the device has $(sectors "$(field $N node)") sectors"
[ "$(sectors "$(part $N)")" = $((498 * 2048)) ] || die "the partition has $(sectors "$(part $N)") sectors"
[ "$(disk_size a)" = $((500 * 2048)) ] || die "the descriptor says $(disk_size a)"
sgdisk -v "$(field $N node)" | grep -q "No problems found" || die "sgdisk -v: $(sgdisk -v "$(field $N node)")"
[ "$(sha256sum < m/file)" = "$sum" ] || die "the file has changed"
# Again: nothing but the rest is done.
may_grow_ext4 || { expect 26 "$PLOOP" resize -s 500M a/$X; says_not "grow-device"; }
expect 0 "$PLOOP" umount a/$X
expect 0 "$PLOOP" resize -s 500M a/$X # the way out
sound_at_rest a
expect 0 "$PLOOP" mount -m m a/$X; [ "$(df -B1M --output=size m | tail -1)" -gt 320 ] || die "the file system has $(df m)"
[ "$(sha256sum < m/file)" = "$sum" ] || die "the file has changed"
expect 0 "$PLOOP" umount a/$X
unchanged a/root.hdd a/$X -- expect 0 "$PLOOP" resize -s 500M a/$X # and then there is nothing to do

# --- a running device that is not mounted: fsck, then all of it at once
expect 0 "$PLOOP" mount a/$X --json; N=$(minor)
expect 0 "$PLOOP" resize -s 600M a/$X
[ "$(sectors "$(part $N)")" = $((598 * 2048)) ] || die "the partition has $(sectors "$(part $N)") sectors"
blocks=$(dumpe2fs -h "$(part $N)" 2> /dev/null | sed -n 's/^Block count: *//p'); [ "$blocks" = $((598 * 256)) ] || die "the file system has $blocks blocks"
# Smaller: the file system alone, and what lay behind it is given back.
expect 0 "$PLOOP" resize -s 400M a/$X
blocks=$(dumpe2fs -h "$(part $N)" 2> /dev/null | sed -n 's/^Block count: *//p'); [ "$blocks" = $((396 * 256)) ] || die "the file system has $blocks blocks"
[ "$(disk_size a)" = $((600 * 2048)) ] || die "the descriptor says $(disk_size a)"
expect 0 "$PLOOP" resize -s 600M a/$X
expect 38 "$PLOOP" resize -s 4M a/$X; says "more than 4 clusters"
expect 0 "$PLOOP" umount a/$X
sound_at_rest a

# --- smaller while mounted: the balloon
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor)
before=$(df_free m) size=$(stat -f -c %b m)
for i in 1 2 3; do head -c 60M /dev/urandom > m/f$i; done; sync -f m; rm m/f1 m/f2 m/f3
long=$(stat -c %s a/root.hdd)
expect 0 "$PLOOP" resize -s 400M a/$X; says "inflated balloon"; says "TRUNCATED"
[ "$(stat -c '%a %u' m/$BALLOON)" = "600 0" ] || die "the balloon is $(stat -c '%a %u' m/$BALLOON)"
lsattr m/$BALLOON | grep -q '^[^ ]*i' || die "the balloon can be changed: $(lsattr m/$BALLOON)"
! rm -f m/$BALLOON 2> /dev/null || die "the balloon can be removed"
[ "$(stat -f -c %b m)" = "$size" ] || die "the file system has another size"
taken=$((before - $(df_free m)))
[ $taken -gt $((150 << 20)) ] && [ $taken -lt $((230 << 20)) ] || die "$taken bytes less are free"
[ "$(stat -c %s a/root.hdd)" -lt $((long - (100 << 20))) ] || die "the image is still $(stat -c %s a/root.hdd) of $long long"
expect 0 "$PLOOP" balloon show a/$X; [ "$OUT" = "Current size of hidden balloon is $(stat -c %s m/$BALLOON) bytes" ] || die "$OUT"
[ "$(disk_size a)" = $((600 * 2048)) ] || die "the descriptor says $(disk_size a)"
# Smaller than can be: the smallest is told, and it is true.
expect 38 "$PLOOP" resize -s 20M a/$X; says "Unable to change image size to 40960 sectors, minimal size is "
smallest=$(sed 's/.*minimal size is //' <<< "$ERR")
expect 0 "$PLOOP" resize -s "$smallest" a/$X
expect 38 "$PLOOP" resize -s $((smallest - 2048)) a/$X; says "minimal size is"
! head -c 60M /dev/zero > m/more 2> /dev/null || die "there is room in spite of the balloon"; rm m/more
# Larger, but not larger than the disk is: the balloon becomes smaller; all of it: empty.
expect 0 "$PLOOP" resize -s 500M a/$X; says "truncated balloon"
expect 0 "$PLOOP" resize -s 600M a/$X; [ "$(stat -c %s m/$BALLOON)" = 0 ] || die "the balloon has $(stat -c %s m/$BALLOON) bytes"
[ $((before - $(df_free m))) -lt $((1 << 20)) ] || die "something is left of the balloon"
# As far as possible.
expect 0 "$PLOOP" resize -b a/$X; [ "$(df_free m)" -lt $((40 << 20)) ] || die "$(df_free m) bytes are free"
expect 38 "$PLOOP" resize -b -s 1G a/$X
[ "$(sha256sum < m/file)" = "$sum" ] || die "the file has changed"
expect 0 "$PLOOP" umount a/$X
sound_at_rest a
# At rest the balloon is in nobody's way either.
unchanged a/root.hdd a/$X -- expect 0 "$PLOOP" resize -s 700M a/$X --dry-run; says "balloon"
expect 0 "$PLOOP" resize -s 350M a/$X; says "balloon"
sound_at_rest a
expect 0 "$PLOOP" mount -m m a/$X; [ "$(stat -c %s m/$BALLOON)" = 0 ] || die "the balloon has $(stat -c %s m/$BALLOON) bytes"
[ "$(sha256sum < m/file)" = "$sum" ] || die "the file has changed"
# The guest's root may put anything in its place.
chattr -i m/$BALLOON; rm m/$BALLOON; ln -s /etc/passwd m/$BALLOON
expect 38 "$PLOOP" balloon show a/$X; says "not the balloon"
rm m/$BALLOON
expect 0 "$PLOOP" balloon change -s 10M -m m; says "from 0 to 10485760"
expect 0 "$PLOOP" umount a/$X

# --- XFS and btrfs: grow while they are mounted, and when they are not
for type in xfs btrfs; do
  command -v mkfs.$type > /dev/null || { echo "no mkfs.$type"; continue; }
  mkdir $type; expect 0 "$PLOOP" init -s 400M -t none $type/root.hdd
  expect 0 "$PLOOP" mount $type/$X --json; N=$(minor)
  sgdisk -n 1:2048:0 "$(field $N node)" > /dev/null
  expect 0 "$PLOOP" umount $type/$X; expect 0 "$PLOOP" mount $type/$X --json; N=$(minor)
  mkfs.$type -q "$(part $N)"
  mount -t $type "$(part $N)" m
  head -c 20M /dev/urandom > m/file; sum=$(sha256sum < m/file); size=$(df -B1M --output=size m | tail -1)
  expect 0 "$PLOOP" resize -s 600M $type/$X
  [ "$(df -B1M --output=size m | tail -1)" -gt $((size + 180)) ] || die "$type has $(df -B1M m) after $size"
  expect 0 "$PLOOP" resize -s 500M $type/$X; says "inflated balloon"
  expect 0 "$PLOOP" balloon status $type/$X; [ "$OUT" = "Current state of in-kernel maintenance: OFF" ] || die "$OUT"
  expect 0 "$PLOOP" balloon check $type/$X
  expect 0 "$PLOOP" resize -s 600M $type/$X; [ "$(stat -c %s m/$BALLOON)" = 0 ] || die "$type: the balloon is left"
  umount m
  expect 0 "$PLOOP" resize -s 700M $type/$X
  mount -t $type "$(part $N)" m
  [ "$(df -B1M --output=size m | tail -1)" -gt $((size + 270)) ] || die "$type has $(df -B1M m) after $size"
  [ "$(sha256sum < m/file)" = "$sum" ] || die "$type: the file has changed"
  umount m
  expect 0 "$PLOOP" umount $type/$X
done

# --- ext3 has no fallocate; a read-only device, and a snapshot of one, are not resized
mkdir three; expect 0 "$PLOOP" init -s 300M -t ext3 three/root.hdd
expect 0 "$PLOOP" mount -m m -t ext3 three/$X
expect 20 "$PLOOP" resize -s 200M three/$X; says "ext3"
expect 0 "$PLOOP" umount three/$X
expect 0 "$PLOOP" mount -r -m m a/$X
expect 38 "$PLOOP" resize -s 800M a/$X; says "read-only"
expect 0 "$PLOOP" umount a/$X
nothing_left

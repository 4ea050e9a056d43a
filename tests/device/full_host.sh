# SPDX-License-Identifier: LGPL-2.1-or-later
# The host's file system is full under a mounted device: the guest gets an error for what has no room, what it had written stays,
# and what has its place can be written; with room again it goes on. By small requests (which go beside the device's threads) and
# by large ones, in new clusters, in holes of a raw file, and under a file system.
source "$(dirname "$0")/common.sh"
mkdir host m; mnt=$WORK/m
truncate -s 260M host.raw; mkfs.ext4 -q -F -m 0 -O ^has_journal host.raw; mount -o loop host.raw host
fill() { dd if=/dev/zero of=host/filler bs=1M 2> /dev/null || true; dd if=/dev/zero of=host/filler2 bs=4k oflag=sync 2> /dev/null || true; sync -f host; }
free_up() { rm host/filler*; sync -f host; }
device() { "$PLOOP" info -d "$1/$X" | sed -n 's/^device:\t*//p'; }
write() { dd if="$1" of="$2" oflag=direct conv=notrunc status=none "${@:3}" 2> err; } # FROM TO OPTION...
full() { ! "$@" || die "written to a full host: $*"; grep -q "No space left" err || die "$* says: $(cat err)"; }
head -c 64M /dev/urandom > random

echo "== new clusters"
mkdir host/d; (cd host/d; "$PLOOP" init -s 256M -t none root.hdd > /dev/null); expect 0 "$PLOOP" mount host/d/$X; D=$(device host/d)
write random "$D" bs=1M || die "$(cat err)"
fill
full write random "$D" bs=1M seek=128 count=64
full write random "$D" bs=4k seek=50000 count=1
# What has its place is written, in both ways.
write random "$D" bs=4k seek=7 count=300 || die "the small ones: $(cat err)"
write random "$D" bs=1M seek=40 count=10 || die "the large ones: $(cat err)"
cp random model; truncate -s 256M model; write random model bs=4k seek=7 count=300; write random model bs=1M seek=40 count=10
cmp -n $((64 << 20)) "$D" model || die "something was lost on a full host"
dd if="$D" bs=1M skip=250 count=6 iflag=direct status=none | cmp -n $((6 << 20)) - /dev/zero || die "garbage where nothing was written"
free_up
write random "$D" bs=1M seek=128 count=64 || die "with room again: $(cat err)"; write random model bs=1M seek=128 count=64
write random "$D" bs=4k seek=50000 count=1 || die "with room again: $(cat err)"; write random model bs=4k seek=50000 count=1
expect 0 "$PLOOP" umount host/d/$X; closed host/d/root.hdd
expect 0 "$PLOOP" check -f host/d/root.hdd; qemu-img compare -q -f parallels -F raw host/d/root.hdd model || die "another content"
rm -r host/d

echo "== holes of a raw file"
mkdir host/d; (cd host/d; "$PLOOP" init -s 200M -t none -f raw root.hdd > /dev/null; fallocate -p -o 0 -l 200M root.hdd)
expect 0 "$PLOOP" mount --backend fuse host/d/$X; D=$(device host/d)
write random "$D" bs=1M count=16 || die "$(cat err)"
fill
full write random "$D" bs=4k seek=50000 count=1
full write random "$D" bs=1M seek=128 count=4
write random "$D" bs=4k seek=7 count=300 || die "the small ones: $(cat err)"
head -c 16M random > model; truncate -s 200M model; write random model bs=4k seek=7 count=300
cmp "$D" model || die "something was lost on a full host"
free_up
write random "$D" bs=4k seek=50000 count=1 || die "with room again: $(cat err)"; write random model bs=4k seek=50000 count=1
expect 0 "$PLOOP" umount host/d/$X; cmp host/d/root.hdd model || die "another content"
rm -r host/d

echo "== under a file system"
mkdir host/d; (cd host/d; "$PLOOP" init -s 300M root.hdd > /dev/null); expect 0 "$PLOOP" mount -m "$mnt" host/d/$X
head -c 20M random > m/kept; sync -f m/kept
fill
! dd if=random of=m/more bs=1M conv=fsync 2> err || die "written to a full host"
[ "$(sha256sum < m/kept)" = "$(head -c 20M random | sha256sum)" ] || die "the file of before"
free_up
dd if=random of=m/again bs=1M count=20 conv=fsync status=none || { umount m; mount "$(device host/d)p1" m; dd if=random of=m/again bs=1M count=20 conv=fsync status=none; } || die "with room again"
expect 0 "$PLOOP" umount host/d/$X; closed host/d/root.hdd; expect 0 "$PLOOP" check -f host/d/root.hdd
qemu-img convert -f parallels -O raw host/d/root.hdd content
e2fsck -fp 'content?offset=1048576' > log || [ $? = 1 ] || die "e2fsck: $(cat log)"; e2fsck -fn 'content?offset=1048576' > log 2>&1 || die "e2fsck: $(cat log)"
mount -o loop,offset=1048576 content m
for name in kept again; do [ "$(sha256sum < m/$name)" = "$(head -c 20M random | sha256sum)" ] || die "the file $name"; done
unmount m; nothing_left; umount host

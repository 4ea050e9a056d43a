# SPDX-License-Identifier: LGPL-2.1-or-later
# A host that is full, read-only or lacks a program. Needs root for its loop mount.
source "$(dirname "$0")/common.sh"

mkdir small; truncate -s 96M small.raw; mkfs.ext4 -q -F small.raw; mount -o loop small.raw small
AT_EXIT+=("umount '$WORK/small'")

# Full: growth needs clusters and is refused before anything changes; compact needs none and works.
make_disk small/d.qcow2 size=64 big=4 small=40

fallocate -l 200M small/fill 2> /dev/null || dd if=/dev/zero of=small/fill bs=64k status=none 2> /dev/null || true
dd if=/dev/zero of=small/fill2 bs=4k status=none 2> /dev/null || true
status=0; "$TOOL" resize --hdd small/d.qcow2 --size 1G > out 2> err || status=$?
OUT=$(cat out) ERR=$(cat err)
[ "$status" = 5 ] || die "resize on a full host ends with $status: $ERR"
check_disk small/d.qcow2
rm small/fill2
expect 0 "$TOOL" compact --hdd small/d.qcow2
rm -f small/fill
check_disk small/d.qcow2
expect 0 "$TOOL" resize --hdd small/d.qcow2 --size 1G; check_disk small/d.qcow2

# Read-only host file system: info works, modifying is refused at once.
mount -o remount,ro small
expect 0 "$TOOL" compact --hdd small/d.qcow2 --info
expect 3 "$TOOL" compact --hdd small/d.qcow2; says "ead-only"
mount -o remount,rw small

# No qemu-nbd, no qemu-img, no FUSE, no libguestfs: the native way needs none of them.
mkdir empty-path
# lacking COMMAND...: with a PATH that leads nowhere (only the program under test runs with it).
lacking() { local code=$2; shift 2; expect "$code" env PATH="$WORK/empty-path" "$@"; }
make_disk n.qcow2 size=64
lacking expect 0 "$TOOL" compact --hdd n.qcow2
lacking expect 0 "$TOOL" resize --hdd n.qcow2 --size 100
lacking expect 0 "$TOOL" resize --hdd n.qcow2 --info
check_disk n.qcow2
qemu-img bitmap --add n.qcow2 b
lacking expect 0 "$TOOL" resize --hdd n.qcow2 --size 200
# What does need one says which package is missing.
lacking expect 9 "$TOOL" convert --format qcow2 --output m.qcow2 --hdd n.qcow2; says qemu-utils
[ ! -e m.qcow2 ] && [ ! -e m.qcow2.disktool-part ] && [ ! -e n.qcow2.disktool-job ] || die "left behind without qemu-img"
# An installation without the appliance engine.
cp -a "$DISKTOOL_BUILD/bin" "$DISKTOOL_BUILD/lib" . ; rm -f lib/disktool/engines/appliance.so
expect 9 ./bin/prl_disk_tool compact --hdd n.qcow2 --engine appliance; says libguestfs
expect 0 ./bin/prl_disk_tool compact --hdd n.qcow2

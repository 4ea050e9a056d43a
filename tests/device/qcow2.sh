# SPDX-License-Identifier: LGPL-2.1-or-later
# prl_disk_tool mount and umount: a qcow2 as a block device and as a file system, with fio's verification under it.
source "$(dirname "$0")/common.sh"
TOOL=$DISKTOOL_BIN/prl_disk_tool
mkdir mnt
qemu-img create -q -f qcow2 base.qcow2 400M
expect 0 "$TOOL" mount --hdd base.qcow2 --json; dev=$(json .device)
[ -b "$dev" ] || die "$dev is no block device"
mkfs.ext4 -q "$dev"
# Nobody else gets it meanwhile.
expect 4 "$TOOL" compact --hdd base.qcow2
qemu-io -f qcow2 -c 'write 0 512' base.qcow2 > /dev/null 2>&1 && die "QEMU got the image"
expect 0 "$TOOL" umount --hdd base.qcow2
[ ! -e "$dev" ] || die "$dev is still there"

# With a backing file; written to, trimmed, read again.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
before=$(sha256sum < base.qcow2)
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --options noatime
grep -q " $WORK/mnt ext4 .*noatime" /proc/self/mounts || die "it is not mounted with that option"
fio --name=v --directory=mnt --size=32M --rw=randwrite --bs=4k-64k --iodepth=16 --ioengine=libaio --direct=1 --verify=crc32c --output=fio.log || die "$(cat fio.log)"
head -c 20M /dev/urandom > mnt/file; sha256sum mnt/file > sums
rm mnt/v.*; sync -f mnt; fstrim mnt
expect 0 "$TOOL" umount --mount_point mnt
not_mounted mnt
[ "$(sha256sum < base.qcow2)" = "$before" ] || die "the backing file has changed"
qemu-img check -q top.qcow2 || die "QEMU finds faults"
[ "$(du -m top.qcow2 | cut -f1)" -lt 45 ] || die "what was trimmed is still on the host: $(du -m top.qcow2)"

# Read-only, and refusals.
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --read-only
sha256sum --quiet -c sums || die "a file has changed"
touch mnt/new 2> /dev/null && die "it can be written"
expect 0 "$TOOL" umount --hdd top.qcow2
expect 3 "$TOOL" umount --hdd top.qcow2
expect 3 "$TOOL" mount --hdd top.qcow2 --mount_point nowhere
expect 3 "$TOOL" mount --hdd nothing.qcow2
expect 2 "$TOOL" umount --hdd top.qcow2 --mount_point mnt
qemu-img create -q -f qcow2 empty.qcow2 10M
expect 6 "$TOOL" mount --hdd empty.qcow2 --mount_point mnt # no file system: the device goes again
mkdir elsewhere; qemu-img create -q -f qcow2 -b "$WORK/base.qcow2" -F qcow2 elsewhere/child.qcow2
"$TOOL" mount --hdd elsewhere/child.qcow2 > /dev/null 2>&1 && die "a backing file outside of the gate was opened"
disk p
expect 6 "$TOOL" mount --hdd p
says "ploop mount"

# The process that serves is killed under load: errors, no hang, and a sound image with what was synced.
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --json; n=$(minor)
head -c 5M /dev/urandom > mnt/late; sync -f mnt; sha256sum mnt/late >> sums
(dd if=/dev/zero of=mnt/load bs=1M count=60 oflag=direct status=none 2> /dev/null || true) & load=$!
sleep 0.3; kill -KILL "$(field "$n" pid)"; wait $load
for i in $(seq 50); do dd if="$(field "$n" node)" bs=4k count=1 iflag=direct of=/dev/null 2> /dev/null || break; sleep 0.1; done
# One who looks at it for a moment, as its own dying process does, keeps it for that moment; one who stays is named.
sleep 300 < "$(field "$n" node)" & user=$!
expect 4 "$TOOL" umount --hdd top.qcow2; says "sleep (process $user)"; says_not "disk at rest"
kill $user; wait $user 2> /dev/null || true; not_mounted mnt
sleep 2 < "$(field "$n" node)" & user=$!
expect 0 "$TOOL" umount --hdd top.qcow2; wait $user
# QEMU goes with it: it may have leaked clusters (3), but no more.
checked() { qemu-img check -q top.qcow2 > check.log 2>&1; [ $? -eq 0 ] || { qemu-img check -q top.qcow2 > check.log 2>&1; [ $? -eq 3 ]; }; }
for i in $(seq 50); do checked && break; sleep 0.2; done
checked || die "QEMU finds faults after the kill: $(cat check.log)"
# Killed after umount has looked at it.
expect 0 "$TOOL" mount --hdd top.qcow2 --json; n=$(minor); pid=$(field "$n" pid); kill -STOP "$pid"
"$TOOL" umount --hdd top.qcow2 > umount.log 2>&1 & user=$!; sleep 0.5; kill -KILL "$pid"
wait $user || die "umount: exit status $?: $(cat umount.log)"
for i in $(seq 50); do checked && break; sleep 0.2; done
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt
sha256sum --quiet -c sums || die "a synced file has changed"
expect 0 "$TOOL" umount --mount_point mnt
nothing_left

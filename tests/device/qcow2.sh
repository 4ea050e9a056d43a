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
# What another one has mounted is not ours to unmount, but who it is and how it goes is said.
expect 0 "$PLOOP" mount -m mnt p/$X --json; n=$(minor)
for name in p p/$X p/root.hdd; do
  expect 3 "$TOOL" umount --hdd $name; says "but by ploop: $(field "$n" node), mounted at $WORK/mnt"; says "ploop umount -d $(field "$n" node)"
done
expect 0 "$PLOOP" umount p/$X
expect 0 "$TOOL" mount --hdd top.qcow2
expect 3 "$TOOL" umount --hdd base.qcow2; says "prl_disk_tool umount --hdd $WORK/top.qcow2"; expect 0 "$TOOL" umount --hdd top.qcow2; nothing_left
# One over another: they go in the order in which they can.
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt -r; expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt -r
expect 0 "$TOOL" umount --hdd top.qcow2 --dry-run; says "4. stop"; expect 0 "$TOOL" umount --hdd top.qcow2; not_mounted mnt; nothing_left

# --dry-run: the steps, nothing changed, and refused for what the verb would be refused for.
unchanged top.qcow2 base.qcow2 -- expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --options noatime --dry-run
says "1. start the first free device for top.qcow2, writable"; says "2. mount its file system at mnt with the options noatime"; not_mounted mnt; nothing_left
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt -r -n --json; is .dry_run true; is '[.plan.steps[].kind] | join(" ")' "device.start device.mount"
expect 0 "$TOOL" mount --hdd empty.qcow2 -n; expect 6 "$TOOL" mount --hdd empty.qcow2 --mount_point mnt -n; says "no file system that is known"
expect 3 "$TOOL" mount --hdd top.qcow2 --mount_point nowhere -n; expect 3 "$TOOL" mount --hdd nothing.qcow2 -n; expect 6 "$TOOL" mount --hdd p -n
expect 3 "$TOOL" umount --hdd top.qcow2 -n; expect 3 "$TOOL" umount --mount_point mnt -n
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --json; n=$(minor); is '.plan.steps | length' 2
expect 4 "$TOOL" mount --hdd top.qcow2 -n; says "mounted at $WORK/mnt"
sleep 300 < mnt/file & user=$!; expect 4 "$TOOL" umount --hdd top.qcow2 -n; says "sleep (process $user"; kill $user; wait $user 2> /dev/null || true
sleep 300 < "$(field "$n" node)" & user=$!; expect 4 "$TOOL" umount --hdd top.qcow2 -n; says "sleep (process $user"; kill $user; wait $user 2> /dev/null || true
expect 0 "$TOOL" umount --mount_point mnt -n; says "1. unmount $(field "$n" node) from $WORK/mnt"; says "2. stop $(field "$n" node)"; mounted mnt; [ -b "$(field "$n" node)" ] || die "a dry run stops the device"
expect 0 "$TOOL" umount --mount_point mnt --json -n; is .dry_run true; is '[.plan.steps[].kind] | join(" ")' "device.unmount device.stop"; mounted mnt
expect 0 "$TOOL" umount --mount_point mnt; nothing_left

# A dead device of the disk that is still mounted keeps a second one away; umount tells what is lost.
kill_device() { kill -KILL "$(field "$1" pid)"; soon not running "$(field "$1" pid)"; }
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --json; n=$(minor); node=$(field "$n" node); kill_device "$n"
for more in "" "--read-only" "--dry-run"; do
  # shellcheck disable=SC2086
  expect 4 "$TOOL" mount --hdd top.qcow2 --mount_point mnt $more
  says "$node, mounted at $WORK/mnt, whose process has died"; says "prl_disk_tool umount --hdd $WORK/top.qcow2"
done
[ "$(grep -c " $WORK/mnt " /proc/self/mounts)" = 1 ] || die "a second device is mounted over the dead one"
expect 0 "$TOOL" umount --hdd top.qcow2 -n; says "2. clear away $node, whose process has died"; mounted mnt
expect 0 "$TOOL" umount --hdd top.qcow2; says "The process of $node had died: what was not flushed to $WORK/top.qcow2 then is lost"; not_mounted mnt; nothing_left
# One that is not mounted goes with the next mount, which says the same; one that only read has lost nothing.
expect 0 "$TOOL" mount --hdd top.qcow2 --json; n=$(minor); kill_device "$n"
expect 0 "$TOOL" mount --hdd top.qcow2 -n; says "1. clear away $(field "$n" node)"; [ -e "$(state "$n")" ] || die "a dry run clears away"
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --json; is '.warnings | length' 1; says "had died"; expect 0 "$TOOL" umount --mount_point mnt; says_not "died"
expect 0 "$TOOL" mount --hdd top.qcow2 --mount_point mnt --read-only --json; n=$(minor); kill_device "$n"
expect 0 "$TOOL" umount --mount_point mnt; says_not "lost"; nothing_left

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

# SPDX-License-Identifier: LGPL-2.1-or-later
# Hosts that are short of something, and states that others have left: a sentence and the right code, and nothing stays behind.
source "$(dirname "$0")/common.sh"
mkdir mnt ro; mnt=$WORK/mnt
disk d; cd d
inside() { unshare -m --propagation private bash -c "$1" - "$PLOOP" "$X"; } # in a mount name space of its own

expect 2 inside 'mount --bind /dev/null /dev/fuse; "$1" mount "$2"'; says "FUSE"; closed root.hdd; nothing_left
expect 2 inside 'mount --bind /dev/null /dev/loop-control; "$1" mount "$2"'; says "loop"; closed root.hdd; nothing_left
expect 2 inside 'mount --bind /dev/null /dev/fuse; "$1" mount --fuse ../mnt "$2"'; says "FUSE"; closed root.hdd
expect 2 setpriv --reuid=65534 --clear-groups "$PLOOP" mount $X; says "--fuse"
expect 2 setpriv --reuid=65534 --clear-groups "$PLOOP" list || [ ! -d "$DISKTOOL_RUN" ]
# the host's file system is read-only
mount -t tmpfs tmp ../ro; cp root.hdd $X ../ro; mount -o remount,ro ../ro
[ "$(cd ../ro; "$PLOOP" mount $X > ../out 2> ../err; echo $?)" != 0 ] || die "a writable mount of a read-only host"
closed ../ro/root.hdd; nothing_left
expect 0 "$PLOOP" mount -r -m "$mnt" ../ro/$X; [ -d "$mnt/lost+found" ] || die "nothing is in $mnt"; expect 0 "$PLOOP" umount ../ro/$X; nothing_left
umount ../ro
# another mount name space has a copy of the mount: a passing one is waited for, one that stays is named
held() { unshare -m --propagation private sleep "$1" & HOLDER=$!; until [ "$(readlink /proc/$HOLDER/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]; do sleep 0.01; done; }
expect 0 "$PLOOP" mount -m "$mnt" $X; echo held > "$mnt/f"; held 2
expect 0 "$PLOOP" umount $X; wait $HOLDER; closed root.hdd; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" $X; [ "$(cat "$mnt/f")" = held ] || die "what was written is not there"; held 60
expect 22 "$PLOOP" umount $X; says "mounted on $mnt in another mount name space (/proc/$HOLDER/root)"; not_mounted "$mnt"; in_use root.hdd || die "the image of a mounted file system is closed"
kill $HOLDER; wait $HOLDER || true; expect 0 "$PLOOP" umount $X; closed root.hdd; nothing_left
# the images are deleted while it is mounted
cp -r --sparse=never . ../gone; (cd ../gone; "$PLOOP" mount -m "$mnt" $X > /dev/null); rm -r ../gone
echo still > "$mnt/f"; sync -f "$mnt/f"; [ "$(cat "$mnt/f")" = still ] || die "a deleted image cannot be used"
expect 0 "$PLOOP" list -a; says "gone/root.hdd $mnt"
expect 0 "$PLOOP" umount -m "$mnt"; nothing_left
# only the image
cp -r --sparse=never . ../gone; expect 0 "$PLOOP" mount ../gone/$X; rm ../gone/root.hdd; expect 0 "$PLOOP" umount ../gone/$X; nothing_left; rm -r ../gone
# what a run before a reboot has left: a state of no process and no loop device; rubbish
mkdir -p "$DISKTOOL_RUN"; chmod 700 "$DISKTOOL_RUN"
expect 0 "$PLOOP" mount -d /dev/ploop8001 $X; cp "$DISKTOOL_RUN/ploop8001.json" ../stale; expect 0 "$PLOOP" umount $X
cp ../stale "$DISKTOOL_RUN/ploop8001.json"; expect 0 "$PLOOP" list; says "ploop8001"; says "has died"
expect 0 "$PLOOP" mount $X; expect 0 "$PLOOP" umount $X; nothing_left
cp ../stale "$DISKTOOL_RUN/ploop8001.json"; expect 0 "$PLOOP" umount -d /dev/ploop8001; nothing_left
cp ../stale "$DISKTOOL_RUN/ploop8001.json"; expect 0 "$PLOOP" mount -d /dev/ploop8001 $X; expect 0 "$PLOOP" umount $X; nothing_left
echo rubbish > "$DISKTOOL_RUN/ploop8001.json"; expect 0 "$PLOOP" list; says "passed over"; expect 0 "$PLOOP" mount -d /dev/ploop8001 $X; expect 0 "$PLOOP" umount -d /dev/ploop8001
rm -f "$DISKTOOL_RUN/ploop8001.json"; nothing_left
# a node of somebody else
: > /dev/ploop8003; AT_EXIT+=("rm -f /dev/ploop8003"); expect 2 "$PLOOP" mount -d /dev/ploop8003 $X; [ -f /dev/ploop8003 ] || die "somebody's file was replaced"; rm /dev/ploop8003
closed root.hdd; nothing_left
# no program
mkdir -p ../copy/bin ../copy/lib; cp "$DISKTOOL_BIN/ploop" ../copy/bin; cp -a "$DISKTOOL_BIN"/../lib/libdisktool* ../copy/lib
expect 2 ../copy/bin/ploop mount $X; says "ploop-device"; closed root.hdd
echo ok

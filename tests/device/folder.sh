# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop mount --fuse: the disk and its partitions as files, for a user without rights.
source "$(dirname "$0")/common.sh"
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/)
nobody() { "${NOBODY[@]}" "$@"; }
disk d; mkdir mnt; chown -R 65534:65534 d mnt; mnt=$WORK/mnt; img=$WORK/d/root.hdd
nobody test -x "$PLOOP" || skip "nobody cannot reach the programs"
no_server() { for i in $(seq 50); do pgrep -f "mount --fuse $mnt" > /dev/null || return 0; sleep 0.1; done; die "the server is still there"; }

unchanged d/root.hdd d/$X -- expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X --dry-run; says "as files of $mnt"
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X; says "$mnt/disk (314572800 bytes)"; says "$mnt/p1 (312476160 bytes)"
[ "$(findmnt -no FSTYPE,SOURCE "$mnt")" = "fuse.ploop $WORK/d/$X" ] || die "$(findmnt -n "$mnt")"
in_use "$img" || die "no in-use mark"
expect 37 nobody "$PLOOP" check d/$X; says "in use"
expect 0 nobody "$PLOOP" info -s d/$X; says "614400"
# a root that may not look into it does not need to: as the user
nobody e2fsck -fn "$mnt/p1" > log 2>&1 || die "e2fsck: $(cat log)"
echo content > f; nobody debugfs -w -R "write $WORK/f f" "$mnt/p1" > /dev/null 2>&1
nobody dd if="$mnt/disk" of=d/raw bs=1M status=none; [ "$(stat -c %s d/raw)" = 314572800 ] || die "size of a copy"
cmp <(nobody dd if="$mnt/p1" bs=1M count=10 status=none) <(dd if=d/raw bs=1M skip=1 count=10 status=none) || die "p1 is another part"
expect 21 nobody "$PLOOP" mount --fuse "$mnt" d/$X; says "shows the files of $WORK/d/$X already"; expect 21 nobody "$PLOOP" mount -r --fuse "$mnt" d/$X
mkdir mnt2; chown 65534:65534 mnt2
for how in "mount --fuse $WORK/mnt2" "mount -r --fuse $WORK/mnt2" mount "mount -r"; do # a second time, also as root
  if [ "${how#*--fuse}" = "$how" ]; then expect 37 "$PLOOP" $how d/$X; else expect 37 nobody "$PLOOP" $how d/$X; fi
  says "in use by"; says "unmount"; in_use "$img"
done
expect 0 nobody "$PLOOP" umount -m "$mnt"; not_mounted "$mnt"; closed "$img"; no_server
expect 0 nobody "$PLOOP" check d/$X; cp d/root.hdd c.hdd; expect 0 "$PLOOP" check -f -c c.hdd
# by the descriptor, by the image, by fusermount3
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X
[ "$(nobody debugfs -R "cat f" "$mnt/p1" 2> /dev/null)" = content ] || die "what was written is lost"
expect 0 nobody "$PLOOP" umount d/$X; not_mounted "$mnt"; closed "$img"
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/root.hdd; expect 0 nobody "$PLOOP" umount d/root.hdd; not_mounted "$mnt"; closed "$img"
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X; nobody fusermount3 -u "$mnt"; for i in $(seq 100); do in_use "$img" || break; sleep 0.1; done; closed "$img"
# read-only, and a snapshot
expect 0 nobody "$PLOOP" mount -r --fuse "$mnt" d/$X; closed "$img"; if nobody dd if=/dev/zero of="$mnt/disk" bs=512 count=1 conv=notrunc 2> /dev/null; then die "a read-only disk is written"; fi
expect 0 nobody "$PLOOP" umount -m "$mnt"
expect 0 nobody "$PLOOP" snapshot -u $U1 d/$X; expect 38 nobody "$PLOOP" mount -u $U1 --fuse "$mnt" d/$X; expect 0 nobody "$PLOOP" mount -r -u $U1 --fuse "$mnt" d/$X
nobody e2fsck -fn "$mnt/p1" > log 2>&1 || die "the snapshot: $(cat log)"; expect 0 nobody "$PLOOP" umount -m "$mnt"
# in use: 22; killed: told
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X --json; pid=$(json .pid)
"${NOBODY[@]}" bash -c 'exec sleep 300 < "$1/disk"' - "$mnt" & user=$!; sleep 0.2
expect 22 nobody "$PLOOP" umount -m "$mnt"; says "sleep (process $user: "; kill $user; wait $user 2> /dev/null || true
[ "$(readlink "/proc/$pid/exe")" = "$(realpath "$PLOOP")" ] || die "process $pid is no ploop"; kill -KILL "$pid"; soon not running "$pid"
expect 0 nobody "$PLOOP" umount -m "$mnt"; says "had died"; not_mounted "$mnt"
expect 0 nobody "$PLOOP" mount --fuse "$mnt" d/$X; expect 0 nobody "$PLOOP" umount -m "$mnt"
# on a folder that is not his: that is the reason, not a program that is missing
mkdir -m 755 of_root; expect 2 nobody "$PLOOP" mount --fuse "$WORK/of_root" d/$X; says "User 65534 may not write to $WORK/of_root"; says_not "nstall"
mkdir -m 1777 of_all; expect 2 nobody "$PLOOP" mount --fuse "$WORK/of_all" d/$X; says "mode +t"; closed "$img"
# words
expect 38 "$PLOOP" mount --fuse "$WORK/nowhere" d/$X; expect 38 "$PLOOP" mount --fuse "$mnt" -m "$mnt" d/$X
echo ok

# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop list and info of devices, byte for byte; the low-level commands.
source "$(dirname "$0")/common.sh"
mkdir mnt "a b"
disk d; disk e; disk f
mnt=$WORK/mnt img=$WORK/d/root.hdd
same() { "$@" > out 2> err || die "$* fails: $(cat err)"; cmp out wanted || die "$*:
$(cat -A out)
instead of
$(cat -A wanted)"; }

: > wanted; same "$PLOOP" list; same "$PLOOP" list -a
expect 0 "$PLOOP" mount -d /dev/ploop7001 -m "$mnt" d/$X
expect 0 "$PLOOP" mount -d /dev/ploop770 e/$X
expect 0 "$PLOOP" mount -d /dev/ploop7002 -r -c '~bk' f/root.hdd
printf '%-12s %s %s %s\n' ploop770 "$WORK/e/root.hdd" "" "" ploop7001 "$img" "" "" ploop7002 "$WORK/f/root.hdd" "" "~bk" > wanted; same "$PLOOP" list
grep -q "^ploop770     $WORK/e/root.hdd  $" wanted || die "the test's own pattern"
printf '%-12s %s %s %s\n' ploop770 "$WORK/e/root.hdd" "" "" ploop7001 "$img" "$mnt" "" ploop7002 "$WORK/f/root.hdd" "" "~bk" > wanted; same "$PLOOP" list -a
mount --bind "$mnt" "a b"
printf '%-12s %s %s %s\n' ploop770 "$WORK/e/root.hdd" "" "" ploop7001 "$img" "$mnt" "" ploop7001 "$img" "$WORK/a b" "" ploop7002 "$WORK/f/root.hdd" "" "~bk" > wanted; same "$PLOOP" list -a
umount "a b"
expect 0 "$PLOOP" list --json; is '.devices | length' 3; is '.devices[1].mount_points[0]' "$mnt"; is '.devices[1].alive' true; is '.devices[2].read_only' true

# --- info
printf 'device:\t\t/dev/ploop7001\npartition:\t/dev/ploop7001p1\n' > wanted; same "$PLOOP" info -d d/$X
printf 'device:\t\t/dev/ploop770\npartition:\t/dev/ploop770p1\n' > wanted; same "$PLOOP" info -d e/$X
printf 'size:\t\t614400\nblocksize:\t2048\nfmt_version:\t2\n' > wanted; same "$PLOOP" info -s d/$X
printf 'size:\t\t614400\nblocksize:\t2048\nfmt_version:\t2\ndevice:\t\t/dev/ploop7001\npartition:\t/dev/ploop7001p1\n' > wanted; same "$PLOOP" info -s -d d/$X
head -c 20M /dev/urandom > "$mnt/f"; sync -f "$mnt/f"
figures() { # as the kernel tells them
  read -r bs blocks free inodes ifree < <(stat -f -c '%S %b %f %c %d' "$1")
  printf '%11s %14s %14s\n' resource Size Used 1k-blocks $((blocks * bs / 1024)) $(((blocks - free) * bs / 1024)) inodes "$inodes" $((inodes - ifree))
}
figures "$mnt" > wanted; same "$PLOOP" info d/$X
expect 0 "$PLOOP" info d/$X --json; is .filesystem.source mount
expect 0 "$PLOOP" info e/$X --json; is .filesystem.source device # it runs, and is not mounted
read -r -a numbers < <(stat -f -c '%S %b %f %c %d' "$mnt")
expect 0 "$PLOOP" umount d/$X
[ "$(od -An -tu8 -v d/.statfs | xargs)" = "${numbers[*]}" ] || die ".statfs: $(od -An -tu8 -v d/.statfs), the file system: ${numbers[*]}"
same "$PLOOP" info d/$X # the same, from .statfs
expect 0 "$PLOOP" mount -m "$mnt" d/$X; [ ! -e d/.statfs ] || die "mount leaves .statfs"
expect 0 "$PLOOP" umount -m "$mnt"; [ ! -e d/.statfs ] || die "umount -m writes .statfs"
printf 'device:\t\t\npartition:\t\n' > wanted; same "$PLOOP" info -d d/$X

# --- low level
expect 0 "$PLOOP" getdev; [[ "$OUT" =~ ^/dev/ploop[0-9]+$ ]] && [ ! -e "$OUT" ] || die "getdev: $OUT"
expect 0 "$PLOOP" stat -d /dev/ploop770; says "reads:"; says "size:"
expect 2 "$PLOOP" stat -d /dev/ploop771; expect 38 "$PLOOP" stat
expect 3 "$PLOOP" start -d /dev/ploop770; says "runs already"; expect 2 "$PLOOP" start -d /dev/ploop771; says "ploop mount"
expect 3 "$PLOOP" clear -d /dev/ploop770; expect 0 "$PLOOP" clear -d /dev/ploop771; expect 2 "$PLOOP" clear -d /dev/null
for c in delete rm; do expect 3 "$PLOOP" $c -d /dev/ploop770 -l 0; says "snapshot-delete"; done
mount /dev/ploop770p1 "$mnt"; expect 3 "$PLOOP" stop -d /dev/ploop770; umount "$mnt"
unchanged e/root.hdd -- expect 0 "$PLOOP" stop -d /dev/ploop770 --dry-run
expect 0 "$PLOOP" stop -d /dev/ploop770; closed e/root.hdd; expect 2 "$PLOOP" stop -d /dev/ploop770; expect 0 "$PLOOP" clear -d /dev/ploop770
expect 0 "$PLOOP" umount -c '~bk' f/root.hdd; nothing_left
echo ok

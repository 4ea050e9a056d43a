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

# --- who is not root cannot see devices, and is told that instead of that there is none
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/); nobody() { "${NOBODY[@]}" "$@"; }
roots() { expect 2 nobody "$PLOOP" "$@"; says "only root can see which run. Run it as root"; }
if nobody test -x "$PLOOP"; then
  expect 0 "$PLOOP" mount -d /dev/ploop7001 -m "$mnt" d/$X; cp -r --sparse=never pattern own; chown -R 65534:65534 d own; chmod 755 d
  roots list; roots umount d; roots umount d/$X; roots umount "$img"; roots umount -m "$mnt"; roots umount -d /dev/ploop7001
  roots balloon show d; roots balloon show -m "$mnt"; roots resize -b d; roots info -d d; roots tsnapshot -u $U1 -c x d; roots replace -m "$mnt" -u $U1 -i x
  roots getdev; for c in clear start stop stat "merge -l 0..1" "snapshot" "grow -s 1G"; do
    # shellcheck disable=SC2086
    roots $c -d /dev/ploop7001
  done
  roots replace -d /dev/ploop7001 -l 0 -i x; roots copy -s /dev/ploop7001; roots resize -s 1G /dev/ploop770
  # A disk of his own that is at rest is no affair of root's devices, nor is one that a device only reads; locks tell.
  expect 0 nobody "$PLOOP" info -d own; [ "$OUT" = "$(printf 'device:\t\t\npartition:\t')" ] || die "info -d at rest: $OUT"
  expect 0 nobody "$PLOOP" info own; expect 0 nobody "$PLOOP" snapshot -u $U1 own; expect 0 nobody "$PLOOP" check own
  expect 0 nobody "$PLOOP" resize -s 320M own; expect 0 nobody "$PLOOP" balloon discard own; expect 0 nobody "$PLOOP" snapshot-merge own
  for how in -r "--backend fuse"; do
    # shellcheck disable=SC2086
    expect 0 "$PLOOP" mount $how own; roots info -d own; expect 0 "$PLOOP" umount own
  done
  expect 0 "$PLOOP" umount d; chown -R 0:0 d
fi

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

# --- a state that tells nothing
echo nonsense > "$(state 771)"
expect 0 "$PLOOP" list; says "ploop clear -d /dev/ploop771"
expect 40 "$PLOOP" umount -d /dev/ploop771; says "\"ploop clear -d /dev/ploop771\" removes that file"
expect 0 "$PLOOP" clear -d /dev/ploop771 --dry-run; [ -e "$(state 771)" ] || die "a dry run removes a state"
expect 0 "$PLOOP" clear -d /dev/ploop771; says "Removed $(state 771)"; expect 0 "$PLOOP" clear -d /dev/ploop771; says "nothing to be cleared"; expect 0 "$PLOOP" list; says_not "passed over"; nothing_left
expect 0 "$PLOOP" mount -d /dev/ploop771 d/$X; cp "$(state 771)" kept; echo nonsense > "$(state 771)" # of a device that lives
expect 3 "$PLOOP" clear -d /dev/ploop771; says "A process has /dev/ploop771"; cp kept "$(state 771)"; expect 0 "$PLOOP" umount -d /dev/ploop771; nothing_left
echo ok

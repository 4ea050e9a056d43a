# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands on a disk that runs: they ask its device; those that need a disk at rest refuse.
source "$(dirname "$0")/common.sh"
mkdir mnt snap; mnt=$WORK/mnt
disk d; cd d
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor)
put() { head -c 2M /dev/urandom > "$mnt/$1"; sync -f "$mnt/$1"; sha256sum "$mnt/$1" >> ../sums; }
whole() { sha256sum --quiet -c ../sums || die "files: $1"; echo 3 > /proc/sys/vm/drop_caches; sha256sum --quiet -c ../sums || die "files, read anew: $1"; }
put one

# --- what needs a disk at rest
expect 38 "$PLOOP" convert -f preallocated $X; says "umount -d /dev/ploop$n"
expect 38 "$PLOOP" snapshot-switch -u $U1 $X; says "snapshot-switch"
expect 37 "$PLOOP" check $X; expect 37 "$PLOOP" check -f root.hdd; expect 37 "$PLOOP" grow -s 400M root.hdd; expect 37 "$PLOOP" merge root.hdd root.hdd

# --- snapshot
expect 0 "$PLOOP" snapshot --dry-run -u $U1 $X; says "1. ask the process of /dev/ploop$n"; [ "$(ls root.hdd* | wc -l)" = 1 ] || die "--dry-run makes $(ls)"
expect 0 "$PLOOP" snapshot -F -u $U1 $X; says "ploop snapshot $U1 has been successfully created"; closed root.hdd; put two
top=$(ls root.hdd.*); cp out lines # the lines of the original, in its order
[ "$(cat lines)" = "Adding snapshot $TOP
Storing $PWD/$X.tmp
Creating delta $PWD/$top bs=2048 size=614400 sectors v2
Creating snapshot dev=/dev/ploop$n img=$PWD/$top
ploop snapshot $U1 has been successfully created" ] || die "the lines of a snapshot: $(cat lines)"
rm lines
expect 0 "$PLOOP" snapshot -d "/dev/ploop$n" -u $U2 --json; is .uuid "$U2"; is .answer.uuid "$U2"; put three
expect 38 "$PLOOP" snapshot -u $U2 $X; expect 38 "$PLOOP" snapshot -d "/dev/ploop$n" root.hdd; says "exists"; expect 2 "$PLOOP" snapshot -d /dev/ploop65000
expect 0 "$PLOOP" snapshot-list -H -o uuid $X; [ "$(xargs <<< "$OUT")" = "$U1 $U2 $TOP" ] || die "snapshot-list: $OUT"
whole snapshots; [ "$(jq '.images | length' "$(state "$n")")" = 3 ] || die "the state has other images"
expect 0 "$PLOOP" list -a; says "root.hdd $mnt"

# --- tsnapshot
expect 38 "$PLOOP" tsnapshot $X
expect 0 "$PLOOP" tsnapshot -u $U3 -c backup -m "$WORK/snap" $X; cmp "$mnt/three" ../snap/three || die "tsnapshot shows another disk"
grep -q "<Temporary/>" $X || die "not temporary"
expect 0 "$PLOOP" umount -c backup $X; not_mounted ../snap
expect 0 "$PLOOP" snapshot-delete -u $U3 $X; whole tsnapshot

# --- merge, delete
expect 43 "$PLOOP" snapshot-merge -u "{44444444-4444-4444-4444-444444444444}" $X; expect 43 "$PLOOP" snapshot-delete -u "{44444444-4444-4444-4444-444444444444}" $X
expect 0 "$PLOOP" snapshot-merge --dry-run -A $X; says "merge all"
expect 0 "$PLOOP" snapshot-merge -u $U2 $X; whole snapshot-merge
expect 0 "$PLOOP" snapshot-delete -u $U2 $X; whole snapshot-delete
[ "$(ls root.hdd* | wc -l)" = 1 ] || die "files are left: $(ls)"
expect 0 "$PLOOP" snapshot -u $U1 $X; put four; expect 0 "$PLOOP" snapshot -u $U2 $X; put five; expect 0 "$PLOOP" snapshot-merge -A $X; whole "snapshot-merge -A"
[ "$(ls root.hdd* | wc -l)" = 1 ] || die "files are left: $(ls)"

# --- replace
expect 0 "$PLOOP" snapshot -u $U1 $X; cp root.hdd twin.hdd
expect 38 "$PLOOP" replace -u $U1 -i nothing.hdd $X; expect 38 "$PLOOP" replace -u $U1 -l 0 -i twin.hdd $X; expect 43 "$PLOOP" replace -u $U2 -i twin.hdd $X
expect 0 "$PLOOP" replace -l 0 -i twin.hdd $X; grep -q "<File>twin.hdd" $X || die "not replaced"; whole replace
cp twin.hdd third.hdd; expect 0 "$PLOOP" replace -d "/dev/ploop$n" -o twin.hdd -i third.hdd; grep -q "<File>third.hdd" $X || die "replace -d"
cp third.hdd fourth.hdd; expect 0 "$PLOOP" replace -m "$mnt" -k -u $U1 -i fourth.hdd; [ ! -e fourth.hdd ] && [ -e third.hdd ] || die "replace -k: $(ls)"
whole "replace -k"
# --- a plan is refused as the work would be, and changes nothing
cp $X ../before; cp third.hdd other.hdd
expect 38 "$PLOOP" snapshot --dry-run -u $U1 $X; expect 43 "$PLOOP" snapshot-merge --dry-run -u $U2 $X; expect 38 "$PLOOP" snapshot-merge --dry-run -A -n other.hdd $X; says "exists"
expect 43 "$PLOOP" snapshot-delete --dry-run -u $U2 $X; expect 43 "$PLOOP" replace --dry-run -u $U2 -i other.hdd $X; expect 38 "$PLOOP" replace --dry-run -u $U1 -i nothing.hdd $X
expect 0 "$PLOOP" snapshot-merge --dry-run --json $X; [ "$(json .bytes)" -gt 0 ] || die "a merge of nothing"
expect 0 "$PLOOP" replace --dry-run --json -u $U1 -i other.hdd $X; [ "$(json .bytes)" -gt $((2 << 20)) ] || die "nothing to compare"
expect 0 "$PLOOP" snapshot-delete --dry-run -u $U1 $X; cmp $X ../before || die "--dry-run changes the disk"; rm other.hdd
# --- interrupted: the work stops, or has been done, and the command says which
head -c 100M /dev/urandom > "$mnt/much"; sync -f "$mnt/much"; sha256sum "$mnt/much" >> ../sums
snapshots() { "$PLOOP" snapshot-list -H -o uuid $X | wc -l; }
stopped=
for delay in 0.03 0.06 0.1 0.15 0.2 0.25 0.3 0.4; do
  before=$(snapshots); rc=0; timeout --foreground --preserve-status -s INT $delay "$PLOOP" snapshot-merge $X > out 2> err || rc=$?
  case $rc-$((before - $(snapshots))) in
    130-0) ;; # before it listened
    1-0) stopped=1; grep -q "Interrupted" err || die "not told: $(cat err)" ;;
    0-1 | 130-1) "$PLOOP" snapshot -u $U1 $X > /dev/null; head -c 40M /dev/urandom > "$mnt/again"; sync -f "$mnt/again" ;;
    *) die "a merge interrupted after $delay s gave $rc, $before snapshots before it, $(snapshots) after: $(cat out err)" ;;
  esac
  [ "$("$PLOOP" stat -d "/dev/ploop$n" --json | jq -r ".. | .busy? // empty")" != true ] || die "its device is still at work"
done
[ -n "$stopped" ] || die "no merge was interrupted"
for delay in 0.02 0.04 0.06 0.1; do
  before=$(snapshots); rc=0; timeout --foreground --preserve-status -s INT $delay "$PLOOP" snapshot $X > out 2> err || rc=$?
  case $rc-$(($(snapshots) - before)) in
    0-1 | 130-1) ;; # 130: the signal came when all was done
    1-0 | 130-0) ;;
    *) die "a snapshot interrupted after $delay s gave $rc, $before before it, $(snapshots) after: $(cat out err)" ;;
  esac
done
rm -f out err; expect 0 "$PLOOP" snapshot-merge -A $X; expect 0 "$PLOOP" snapshot -u $U1 $X; whole interrupted
# --- grow: the device alone
expect 0 "$PLOOP" grow -s 400M $X; [ "$(blockdev --getsize64 "/dev/ploop$n")" = $((400 << 20)) ] || die "grow"
expect 0 "$PLOOP" grow -s 410M -d "/dev/ploop$n"; [ "$(blockdev --getsz "/dev/ploop$n")" = $((410 * 2048)) ] || die "grow -d"
expect 0 "$PLOOP" info -s $X; says "$((410 * 2048))"; whole grow
expect 0 "$PLOOP" umount $X; nothing_left; expect 0 "$PLOOP" check $X
expect 0 "$PLOOP" snapshot-merge -A $X; expect 0 "$PLOOP" mount -m "$mnt" $X; whole "at rest, and mounted again"; expect 0 "$PLOOP" umount $X

# --- without a descriptor
expect 0 "$PLOOP" mount -m "$mnt" third.hdd --json; n=$(minor)
expect 38 "$PLOOP" snapshot -d "/dev/ploop$n"; says "name the file"; expect 0 "$PLOOP" umount third.hdd
# --- a disk whose clusters happen to lie in a row is still one that can have snapshots
cd "$WORK"; mkdir row; cd row
expect 0 "$PLOOP" init -s 20M -t none root.hdd
expect 0 "$PLOOP" mount $X --json; n=$(minor); node=$(field "$n" node)
dd if=/dev/zero of="$node" bs=1M count=20 oflag=direct status=none
expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount $X --json; n=$(minor)
[ "$(field "$n" backend)" = fuse ] || die "its back end is $(field "$n" backend)"
expect 0 "$PLOOP" snapshot $X
expect 0 "$PLOOP" umount $X
# --- one with several children is marked, once
expect 0 "$PLOOP" snapshot -u $U1 $X; expect 0 "$PLOOP" snapshot -u $U2 $X; expect 0 "$PLOOP" snapshot-switch -u $U1 $X
expect 0 "$PLOOP" mount $X; expect 0 "$PLOOP" snapshot-delete --dry-run -u $U1 $X; not_marked() { ! grep -q "<Temporary" $X; }; not_marked || die "--dry-run marks it"
expect 0 "$PLOOP" snapshot-delete -u $U1 $X; ! not_marked || die "not marked"; expect 1 "$PLOOP" snapshot-delete --dry-run -u $U1 $X; expect 1 "$PLOOP" snapshot-delete -u $U1 $X
expect 0 "$PLOOP" umount $X
nothing_left
echo ok

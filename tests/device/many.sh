# SPDX-License-Identifier: LGPL-2.1-or-later
# Several devices at once: two disks and a snapshot of one; fifty; two commands that want the same.
source "$(dirname "$0")/common.sh"
mkdir a b s
disk d; disk e
expect 0 "$PLOOP" mount -m "$WORK/a" d/$X; expect 0 "$PLOOP" mount -m "$WORK/b" e/$X
head -c 3M /dev/urandom > a/f; head -c 3M /dev/urandom > b/f; sync a/f b/f; sum=$(sha256sum < a/f)
expect 0 "$PLOOP" snapshot -u $U1 d/$X; says "has been successfully created"
expect 0 "$PLOOP" mount -r -u $U1 -m "$WORK/s" d/$X
head -c 3M /dev/urandom > a/f; sync a/f
[ "$(sha256sum < s/f)" = "$sum" ] || die "the snapshot does not show what was there"
cmp -s a/f s/f && die "the snapshot changes"
expect 0 "$PLOOP" list; [ "$(wc -l <<< "$OUT")" = 3 ] || die "list: $OUT"
expect 0 "$PLOOP" umount -m "$WORK/s"; expect 0 "$PLOOP" umount -m "$WORK/b"
expect 0 "$PLOOP" umount d/$X; nothing_left
for i in d e; do expect 0 "$PLOOP" check $i/$X; done

# --- fifty
mkdir p; (cd p; "$PLOOP" init -s 16M -t none root.hdd > /dev/null)
for i in $(seq 50); do cp -r p "p$i"; expect 0 "$PLOOP" mount "p$i/$X" --json; n=$(minor); echo "disk $i" | dd of="/dev/ploop$n" bs=512 conv=sync,notrunc status=none oflag=direct; echo "$n" > "p$i/minor"; done
expect 0 "$PLOOP" list; [ "$(wc -l <<< "$OUT")" = 50 ] || die "$(wc -l <<< "$OUT") devices"
for i in $(seq 50); do [ "$(dd if="/dev/ploop$(cat "p$i/minor")" bs=512 count=1 iflag=direct status=none | tr -d '\0')" = "disk $i" ] || die "disk $i is another one"; done
for i in $(seq 50); do expect 0 "$PLOOP" umount "p$i/$X"; done; nothing_left

# --- at once: one of them gets it
"$PLOOP" mount p1/$X > o1 2>&1 & one=$!; "$PLOOP" mount p1/$X > o2 2>&1 & two=$!
r1=0 r2=0; wait $one || r1=$?; wait $two || r2=$?
[ "$r1 $r2" = "0 21" ] || [ "$r1 $r2" = "21 0" ] || die "two mounts at once: $r1, $r2: $(cat o1 o2)"
expect 0 "$PLOOP" umount p1/$X; nothing_left
pids=(); for i in $(seq 8); do "$PLOOP" mount "p$i/$X" > /dev/null & pids+=($!); done; for p in "${pids[@]}"; do wait "$p" || die "one of eight mounts at once fails"; done
expect 0 "$PLOOP" list; [ "$(wc -l <<< "$OUT")" = 8 ] || die "list: $OUT"
for i in $(seq 8); do expect 0 "$PLOOP" umount "p$i/$X"; done; nothing_left
echo ok

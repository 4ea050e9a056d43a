# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop balloon on mounted disks: discard while the disk is written to, and the actions of the balloon itself.
source "$(dirname "$0")/common.sh"
BALLOON=.balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8
MIB=$((1 << 20))
length() { stat -c %s "$1"; }
part() { echo "$(field "$1" node)p1"; }
fill() { local i; for i in $(seq "$2" "$3"); do head -c 4M /dev/urandom > "$1/f$i"; done; sync -f "$1"; } # FOLDER FROM TO
drop() { local i; for i in $(seq "$2" 2 "$3"); do rm "$1/f$i"; done; sync -f "$1"; }                      # every second one

# --- at rest, and running without a mount
mkdir a m; expect 0 "$PLOOP" init -s 600M a/root.hdd
for action in show status clear complete check repair "change -s 1M"; do
  expect 38 "$PLOOP" balloon $action a/$X; says "not mounted"
done
expect 38 "$PLOOP" balloon change a/$X
expect 1 "$PLOOP" balloon discard; expect 1 "$PLOOP" balloon discard -d /dev/ploop1 a/$X
expect 0 "$PLOOP" mount a/$X --json; N=$(minor)
expect 38 "$PLOOP" balloon discard a/$X; says "not mounted"
expect 38 "$PLOOP" balloon show -d "$(field $N node)"; says "not mounted"
expect 0 "$PLOOP" balloon discard --automount a/$X; says "TRUNCATED"
[ ! -e a/root.hdd.mnt ] || die "the mount point of --automount is left"
expect 0 "$PLOOP" umount a/$X
not_mounted m

# --- discard: what was removed goes from the image, and nothing else
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor)
fill m 1 40; (cd m && sha256sum f?*) | awk '{ n = substr($2, 2) } n % 2 == 0' > kept
before=$(length a/root.hdd); drop m 1 39
unchanged a/$X -- expect 0 "$PLOOP" balloon discard --dry-run a/$X; says FITRIM; [ "$(length a/root.hdd)" = "$before" ] || die "a dry run cuts"
expect 0 "$PLOOP" balloon discard --stat a/$X; grep -qE '^Balloon size: +0MB$' out && grep -qE '^Ploop size: +600MB$' out || die "$OUT"
expect 38 "$PLOOP" balloon discard --to-free 512K a/$X
expect 0 "$PLOOP" balloon discard --to-free 20M a/$X
cut=$((before - $(length a/root.hdd))); [ $cut -ge $((20 * MIB)) ] && [ $cut -lt $((60 * MIB)) ] || die "--to-free 20M cuts $cut bytes"
grep -qE "^TRUNCATED: $((cut / MIB)) cluster-blocks \($cut bytes\)$" out && grep -qE '^[0-9]+ clusters have been relocated$' out || die "$OUT"
expect 0 "$PLOOP" balloon discard --min-block 8M a/$X # no free piece is so long
middle=$(length a/root.hdd)
expect 0 "$PLOOP" balloon discard --defrag -m m; says "e4defrag"
[ $((before - $(length a/root.hdd))) -ge $((70 * MIB)) ] || die "discard cuts $before to $(length a/root.hdd)"
[ "$(length a/root.hdd)" -lt "$middle" ] || die "--min-block frees all"
(cd m && sha256sum --quiet -c ../kept) || die "files have changed"
expect 0 "$PLOOP" balloon discard -d "$(part $N)"; says "TRUNCATED: 0 cluster-blocks (0 bytes)"; says "
0 clusters have been relocated"
# What is freed at the end of the file is cut off, and nothing has to move; what is freed before that is filled from there.
head -c 30M /dev/urandom > m/last; sync -f m; rm m/last
expect 0 "$PLOOP" balloon discard a/$X; cut=$(grep -oP '^TRUNCATED: \K\d+' out); moved=$(grep -oP '^\d+(?= clusters have been relocated)' out)
[ "$cut" -ge 28 ] && [ "$moved" -le 5 ] || die "$cut cut off, $moved said to be relocated"
head -c 30M /dev/urandom > m/first; head -c 30M /dev/urandom > m/last; sync -f m; sha256sum m/last > last.sum; rm m/first
expect 0 "$PLOOP" balloon discard a/$X; moved=$(grep -oP '^\d+(?= clusters have been relocated)' out)
[ "$moved" -ge 25 ] || die "$moved said to be relocated"; sha256sum --quiet -c last.sum || die "what was moved has changed"; rm m/last

# --- under load, and only one at a time
fill m 41 60; drop m 41 59
fio --name=load --directory=m --size=40M --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --time_based --runtime=12 --fsync=50 \
  --verify=crc32c --verify_backlog=256 --output=fio.log > /dev/null 2>&1 & load=$!
AT_EXIT+=("kill $load")
sleep 2
# caught: a discard that is in the middle of its work, stopped. It works for some milliseconds, at a time that the machine's other work decides:
# so it is stopped later and later in its life.
caught=0
for i in $(seq 100); do
  "$PLOOP" balloon discard a/$X > first.out 2> first.err & first=$!
  sleep "$(printf 0.%03d $((10 + i * 13 % 400)))"
  kill -STOP $first 2> /dev/null || true
  [[ $("$PLOOP" balloon status a/$X) == *DISCARD* ]] && { caught=1; break; }
  kill -CONT $first 2> /dev/null || true
  wait $first || die "discard under load: $(cat first.out first.err)"
done
[ $caught = 1 ] || die "no discard could be caught at its work"
expect 17 "$PLOOP" balloon discard a/$X; says "another operation"; says DISCARD
expect 17 "$PLOOP" resize -s 400M a/$X
expect 17 "$PLOOP" balloon clear a/$X
kill -CONT $first
wait $first || die "discard under load: $(cat first.out first.err)"
wait $load || die "fio: $(cat fio.log)"
(cd m && sha256sum --quiet -c ../kept) || die "files have changed"
# Killed in the middle, it leaves a disk that goes on.
fill m 61 70; drop m 61 69
for delay in 0.05 0.2 0.5; do
  "$PLOOP" balloon discard a/$X > /dev/null 2>&1 & victim=$!
  sleep $delay; kill -KILL $victim 2> /dev/null || true; wait $victim 2> /dev/null || true
  echo x > m/after; sync -f m
done
expect 0 "$PLOOP" balloon discard a/$X
expect 0 "$PLOOP" balloon status a/$X; says OFF

# --- the balloon itself
expect 0 "$PLOOP" balloon check a/$X; says "Nothing to do: hidden balloon is empty"
expect 0 "$PLOOP" balloon repair a/$X; says "Nothing to do: hidden balloon is empty"
expect 0 "$PLOOP" balloon complete a/$X; says "Nothing to complete"
expect 0 "$PLOOP" balloon clear a/$X
# Inflated behind our back it lies on clusters that are still stored: check finds them, repair gives them back.
expect 0 "$PLOOP" balloon change -s 1M a/$X
fill m 71 80; for i in $(seq 71 80); do rm m/f$i; done; sync -f m
big=$(($(df -B1 --output=avail m | tail -1) / MIB * MIB))
chattr -i m/$BALLOON; fallocate -l $big m/$BALLOON
before=$(length a/root.hdd)
expect 0 "$PLOOP" balloon check a/$X --json; [ "$(json .clusters_stored)" -ge 20 ] || die "check: $OUT"; is .bytes_missing 0
expect 0 "$PLOOP" balloon repair a/$X; says "TRUNCATED"
[ $((before - $(length a/root.hdd))) -ge $((20 * MIB)) ] || die "repair cuts $before to $(length a/root.hdd)"
[ "$(length m/$BALLOON)" = $big ] || die "the balloon has $(length m/$BALLOON) bytes"
lsattr m/$BALLOON | grep -q '^[^ ]*i' || die "the balloon can be changed"
expect 0 "$PLOOP" balloon check a/$X --json; is .clusters_stored 0
expect 0 "$PLOOP" balloon change -s 50M -d "$(field $N node)"; says "truncated balloon from $big to 52428800"
expect 0 "$PLOOP" balloon change -s 50M a/$X; says "Nothing to do"
expect 20 "$PLOOP" balloon change -s 1G a/$X; says "no room"
expect 0 "$PLOOP" balloon show -m m; [ "$OUT" = "Current size of hidden balloon is 52428800 bytes" ] || die "$OUT"
expect 0 "$PLOOP" balloon discard --stat a/$X; grep -qE '^Balloon size: +50MB$' out && grep -qE '^Ploop size: +550MB$' out || die "$OUT"
expect 0 "$PLOOP" balloon change -s 0 a/$X
(cd m && sha256sum --quiet -c ../kept) || die "files have changed"
expect 0 "$PLOOP" umount a/$X
expect 0 "$PLOOP" check -f -c a/root.hdd
expect 2 "$PLOOP" balloon show -d /dev/ploop60000; says "no running ploop device"
expect 38 "$PLOOP" balloon show -m m
nothing_left

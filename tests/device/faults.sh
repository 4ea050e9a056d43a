# SPDX-License-Identifier: LGPL-2.1-or-later
# What the one who uses a device sees when its disk fails or waits, when file systems on it are frozen, and when its
# process is killed at work. Nothing may hang: each command has its time.
source "$(dirname "$0")/process_common.sh"
N=$FIRST
truncate -s 64M disk.img; echo start=2048 | sfdisk -q --no-tell-kernel --label gpt disk.img
config="{\"image\": \"$WORK/disk.img\", \"minor\": $N}"
mkdir m1
quick() { timeout 10 "$@"; local s=$?; [ $s != 124 ] || die "hangs: $*"; return $s; } # 124: it hung
begin() { start "$PLAIN" "$config"; pid=$(state .pid); }
freezer_of() { pgrep -P "$1"; }

echo "== errors of the disk are errors of the device"
begin
ask $N fault '{"fault": "io"}'
quick dd if=/dev/zero of=/dev/ploop$N bs=4k count=1 seek=8000 oflag=direct 2> err && die "written to a broken disk"; grep -q "Input/output error" err
quick dd if=/dev/ploop$N of=/dev/null bs=4k count=1 iflag=direct 2> err && die "read from a broken disk"; grep -q "Input/output error" err
ask $N fault '{"fault": "space"}'
quick dd if=/dev/zero of=/dev/ploop$N bs=4k count=1 seek=8000 oflag=direct 2> err && die "written to a full disk"; grep -q "No space left" err || die "$(cat err)"
ask $N status; [ "$(json .counters.errors)" -ge 3 ] || die "$OUT"; is .first_error "a fault on demand"
ask $N fault '{"fault": ""}'
quick dd if=/dev/zero of=/dev/ploop$N bs=4k count=1 seek=8000 oflag=direct status=none || die "it does not go on"
mkfs.ext4 -q /dev/ploop${N}p1

echo "== frozen until thawed, or until who froze it has gone"
mount /dev/ploop${N}p1 m1
mkfifo until; "$CLIENT" keep $N freeze < until > frozen & client=$!; exec 8> until
soon grep -qs mount_point frozen; [ "$(jq -r '.filesystems[0].mount_point' < frozen)" = "$WORK/m1" ] || die "$(cat frozen)"
(echo x > m1/written; touch done) 8>&- & writer=$! # else it would keep the other end open
sleep 0.5; [ ! -e done ] || die "written while frozen"
expect 2 "$CLIENT" ask $N thaw; says "has not frozen" # another connection
expect 4 "$CLIENT" ask $N stop; says "mounted"
exec 8>&-; wait $client; soon test -e done; wait $writer
"$CLIENT" keep $N freeze < until > frozen & client=$!; exec 8> until
soon grep -qs mount_point frozen; kill -9 $client; wait $client 2> /dev/null || true
quick touch m1/after || die "frozen by one who has been killed"
exec 8>&-

echo "== killed while they are frozen"
"$CLIENT" keep $N freeze < until > frozen & client=$!; exec 8> until
soon grep -qs mount_point frozen
helper=$(freezer_of "$pid"); [ -n "$helper" ] || die "no freezer"
kill -9 "$pid"; soon not running "$helper"
quick sh -c 'echo x > m1/f; sync -f m1' 2> /dev/null || true
exec 8>&-; wait $client || true
quick umount m1 || die "not unmounted"
expect 0 "$CLIENT" remove $N; gone $N || die "left over"

echo "== the freezer killed: an error, and the device goes on"
begin; mount /dev/ploop${N}p1 m1
kill -9 "$(freezer_of "$pid")"; sleep 0.2
expect 1 "$CLIENT" ask $N freeze; says "has died"
quick touch m1/goes-on; quick umount m1; ask $N stop

echo "== killed under load, with requests on their way"
for round in 1 2 3 4 5 6; do
  begin; mount /dev/ploop${N}p1 m1
  (while dd if=/dev/zero of=m1/load bs=64k count=200 conv=fsync 2> /dev/null; do :; done) & load=$!
  (while dd if=/dev/ploop${N} of=/dev/null bs=1M count=20 iflag=direct 2> /dev/null; do :; done) & reader=$!
  sleep "0.$((RANDOM % 10))"
  # In half of the rounds the requests hang in the process when it is killed.
  [ $((round % 2)) = 0 ] || { ask $N fault '{"fault": "hold"}'; sleep 0.3; }
  kill -9 "$pid"
  soon not running "$pid"
  for job in $load $reader; do soon not running $job; done; wait $load $reader 2> /dev/null || true
  quick dd if=/dev/ploop$N of=/dev/null bs=4k count=1 iflag=direct 2> err && die "a dead device is read"
  grep -q "Input/output error" err || die "$(cat err)"
  alive $N && die "it is said to live"
  expect 1 "$CLIENT" remove $N # mounted
  quick umount m1 || die "not unmounted"
  # Whoever wants the number clears it away.
  begin; quick e2fsck -fp /dev/ploop${N}p1 > fsck || [ $? -le 1 ] || die "the file system is damaged: $(cat fsck)"
  ask $N stop; gone $N || die "left over"
done

echo "== killed while it freezes, under load"
for round in 1 2 3 4; do
  begin; mount /dev/ploop${N}p1 m1
  (while dd if=/dev/zero of=m1/load bs=64k count=200 2> /dev/null; do :; done) & load=$!
  sleep 0.3
  "$CLIENT" keep $N freeze < /dev/null > /dev/null & client=$!
  sleep "0.0$((RANDOM % 10))"; kill -9 "$pid"
  soon not running "$pid"; wait $client || true; soon not running $load; wait $load 2> /dev/null || true
  soon quick umount m1 # the freezer lets go a moment later
  expect 0 "$CLIENT" remove $N; gone $N || die "left over"
done
no_reports

# SPDX-License-Identifier: LGPL-2.1-or-later
# The life of a device's process: words and configuration, what is there while it runs, who is refused, how it ends.
source "$(dirname "$0")/process_common.sh"
N=$FIRST
truncate -s 64M disk.img; sgdisk -n 1:2048:+20M -n 3:0:+10M disk.img > /dev/null
config() { echo "{\"image\": \"$WORK/disk.img\", \"minor\": $N${1:+, $1}}"; }

echo "== words and configuration"
expect 2 "$PLAIN"; says Usage
expect 2 "$PLAIN" --config-fd 0 --ready-fd 1
expect 2 "$PLAIN" --config-fd 77 --ready-fd 78
for bad in '' 'x' '[]' '{"image": "relative"}' '{"image": 7}' "$(config '"unknown": 1')" "$(config '"backend": "nbd"')" \
    "$(config '"threads": 0')" "$(config '"threads": -1')" "$(config '"sector_size": 513')" "$(config '"minor": "x"')" \
    "$(config '"version": 2')" "$(config '"read_only": "no"')"; do
  expect 2 "$CLIENT" start "$PLAIN" "$bad"
done
expect 3 "$CLIENT" start "$PLAIN" "{\"image\": \"/nowhere/disk.img\", \"minor\": $N}"
gone $N || die "something is left of a device that was not there"

echo "== what is there while it runs"
exec 9> lock; flock -n 9
start "$PLAIN" "$(config)"
exec 9>&-; flock -n lock true || die "the daemon keeps its starter's descriptors"
[ "$(head -n 1 out)" = "{\"say\":\"opened $WORK/disk.img\"}" ] || die "says $(head -n 1 out)"
pid=$(state .pid) loop=$(state .loop)
[ "$(state .node)" = /dev/ploop$N ] && [ "$(state .backend)" = fuse ] || die "$(cat state)"
[ "$(stat -c %t:%T "$loop")" = "$(stat -c %t:%T /dev/ploop$N)" ] || die "the node is another device"
[ "$(stat -c %a /dev/ploop$N)" = 600 ] || die "mode of the node"
[ "$(state '.partitions | map(.node) | join(" ")')" = "/dev/ploop${N}p1 /dev/ploop${N}p3" ] || die "$(cat state)"
[ "$(blockdev --getsize64 /dev/ploop$N) $(blockdev --getsize64 /dev/ploop${N}p1) $(blockdev --getsize64 /dev/ploop${N}p3)" = "$((64 << 20)) $((20 << 20)) $((10 << 20))" ] || die sizes
[ "$(blockdev --getss /dev/ploop$N)" = 512 ] || die "sector size"
queue() { cat "/sys/block/${loop#/dev/}/queue/$1"; }
[ "$(queue max_sectors_kb)" = 1024 ] && [[ "$(queue scheduler)" = *"[none]"* || "$(queue scheduler)" = none ]] && [ "$(queue read_ahead_kb)" = 1024 ] || die queue
[ "$(queue discard_max_bytes)" -gt 0 ] && [ "$(queue write_cache)" = "write back" ] || die "discard or flush"
[ "$(cat "/sys/block/${loop#/dev/}/loop/dio")" = 1 ] || die "no direct I/O"
[ "$(readlink /proc/$pid/cwd)" = / ] && [ "$(readlink /proc/$pid/fd/0 /proc/$pid/fd/1 /proc/$pid/fd/2 | sort -u)" = /dev/null ] || die "not a daemon"
[ "$(ps -o sid= -p $pid | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ] && [ "$(ps -o tty= -p $pid | tr -d ' ')" = '?' ] || die "our session"
grep -q '^Umask:.0077' /proc/$pid/status || die umask
# One that is killed must not wait for itself.
for fd in /proc/$pid/fd/*; do [ ! -b "$fd" ] || die "keeps $(readlink "$fd") open"; done
# SIGTERM and SIGINT are looked at by one thread; no other is interrupted by them.
(( (16#$(sed -n 's/^SigBlk:.//p' /proc/$pid/status) & 0x4002) == 0x4002 )) || die "signals"
if ! sanitized; then
  locked=$(sed -n 's/^VmLck:.* \([0-9]*\) kB/\1/p' /proc/$pid/status)
  [ "$locked" -gt 10000 ] || die "only $locked KiB of its memory are locked"
  (( $(sed -n 's/^VmLck:.* \([0-9]*\) kB/\1/p' /proc/$pid/status) < 300000 )) || die "$locked KiB are locked"
fi
ask $N status
is .size $((64 << 20)); is .counters.errors 0; is .backend fuse; is .node /dev/ploop$N

echo "== the bytes are those of the file"
dd if=/dev/urandom of=random bs=1M count=20 status=none
dd if=random of=/dev/ploop${N}p1 bs=1M oflag=direct conv=fsync status=none
cmp -n $((20 << 20)) random <(dd if=disk.img bs=1M skip=1 count=20 status=none) || die "written elsewhere"
ask $N status; [ "$(json .counters.written_bytes)" -ge $((20 << 20)) ] && [ "$(json .counters.flushes)" -ge 1 ] || die "$OUT"
[ "$(json '.counters.written_bytes / .counters.writes')" = 1048576 ] || echo "note: requests of $(json '.counters.written_bytes / .counters.writes') bytes"
blkdiscard -o 0 -l 1M /dev/ploop${N}p1
cmp -n $((1 << 20)) /dev/zero /dev/ploop${N}p1 || die "discarded, and not zeros"

echo "== who is refused"
expect 4 "$CLIENT" start "$PLAIN" "$(config)"; says "/dev/ploop$N cannot be used" ; says "process $pid"
expect 3 "$CLIENT" ask $((N + 1)) status
expect 6 "$CLIENT" ask $N "no such request"
ln -s loop77 /dev/ploop$((N + 1)); AT_EXIT+=("rm -f /dev/ploop$((N + 1))")
expect 4 "$CLIENT" start "$PLAIN" "{\"image\": \"$WORK/disk.img\", \"minor\": $((N + 1))}"; says "another program has made"
[ "$(readlink /dev/ploop$((N + 1)))" = loop77 ] || die "somebody's node was changed"
rm /dev/ploop$((N + 1))

echo "== partitions that change"
sgdisk -d 3 -n 5:0:+4M disk.img > /dev/null # past the device, as any other program of the guest would by it
blockdev --flushbufs /dev/ploop$N
ask $N partitions; is '.partitions | map(.node) | join(" ")' "/dev/ploop${N}p1 /dev/ploop${N}p5"
[ -b /dev/ploop${N}p5 ] && [ ! -e /dev/ploop${N}p3 ] || die "nodes: $(ls /dev/ploop$N*)"
[ "$(jq -r '.partitions | length' "$DISKTOOL_RUN/ploop$N.json")" = 2 ] || die "the state"
sleep 20 < /dev/ploop${N}p5 & user=$!
sgdisk -d 5 -n 5:100352:+4M disk.img > /dev/null; blockdev --flushbufs /dev/ploop$N
expect 4 "$CLIENT" ask $N partitions; says "it is in use"
[ -b /dev/ploop${N}p5 ] && [ "$(jq -r '.partitions | length' "$DISKTOOL_RUN/ploop$N.json")" = 2 ] || die "it was taken away"
kill $user; wait $user 2> /dev/null || true
ask $N partitions; is '.partitions[1].offset' $((100352 * 512))

echo "== in use it does not stop"
mkfs.ext4 -q /dev/ploop${N}p1; mkdir m1; mount /dev/ploop${N}p1 m1
expect 4 "$CLIENT" ask $N stop; says "mounted on $WORK/m1"
kill -TERM $pid; sleep 0.5; kill -INT $pid; kill -HUP $pid; sleep 0.5
alive $N || die "SIGTERM ended a device in use"
echo kept > m1/file; umount m1
sleep 20 < /dev/ploop${N}p5 & user=$!
begin=$(date +%s%N); expect 4 "$CLIENT" ask $N stop; says "open in sleep (process $user)"
(( $(date +%s%N) - begin > 2500000000 )) || die "nobody is given time to close"
kill $user; wait $user 2> /dev/null || true
[ -b /dev/ploop${N}p5 ] && [ -b /dev/ploop${N}p1 ] || die "partitions are missing after a refusal"
sleep 1 < /dev/ploop${N}p1 & # as udev does
ask $N stop; wait
gone $N || die "left: $(ls "$DISKTOOL_RUN" /dev/ploop$N* 2> /dev/null)"; soon not running "$pid"
expect 3 "$CLIENT" ask $N status

echo "== unused, SIGTERM stops it"
start "$PLAIN" "$(config)"; pid=$(state .pid)
mount /dev/ploop${N}p1 m1; [ "$(cat m1/file)" = kept ] || die "a file is lost"; umount m1
kill -TERM $pid; soon not running "$pid"; gone $N || die "left over"

echo "== read-only"
start "$PLAIN" "$(config '"read_only": true')"
[ "$(blockdev --getro /dev/ploop$N)$(blockdev --getro /dev/ploop${N}p1)" = 11 ] || die "it can be written to"
mount -o ro,noload /dev/ploop${N}p1 m1; [ "$(cat m1/file)" = kept ] || die "a file is lost"; umount m1
unchanged disk.img -- ask $N stop

echo "== sectors of 4096 bytes, and the starter's own lock"
truncate -s 16M other.img
expect 0 "$CLIENT" locked $N "$PLAIN" "{\"image\": \"$WORK/other.img\", \"sector_size\": 4096, \"threads\": 1, \"component\": \"c\"}"
[ "$(blockdev --getss /dev/ploop$N)" = 4096 ] || die "sector size"
"$CLIENT" states > out; is '.[0].component' c; is '.[0].alive' true
ask $N stop

echo "== growth"
start "$PLAIN" "$(config)"
ask $N grow "{\"sectors\": $((96 << 11))}"; is .size $((96 << 20))
[ "$(blockdev --getsize64 /dev/ploop$N)" = $((96 << 20)) ] || die "the kernel does not know"
dd if=random of=/dev/ploop$N bs=1M seek=80 count=10 oflag=direct conv=fsync status=none
cmp -n $((10 << 20)) random <(dd if=disk.img bs=1M skip=80 status=none) || die "written elsewhere"
ask $N stop

echo "== straight on the file"
expect 6 "$CLIENT" start "$PLAIN" "$(config '"backend": "loop"')"; says "use the back end fuse"
start "$PLAIN" "$(config '"whole": true, "backend": "fuse"')"; [ "$(state .backend)" = fuse ] || die "not as asked"; ask $N stop
start "$PLAIN" "$(config '"whole": true')"; loop=$(state .loop); pid=$(state .pid)
if [ "$(state .backend)" = loop ]; then
  [ "$(cat "/sys/block/${loop#/dev/}/loop/backing_file")" = "$WORK/disk.img" ] || die "not on the file"
  [ "$(queue discard_max_bytes)" = 0 ] || die "holes may be punched"
  dd if=random of=/dev/ploop$N bs=1M seek=70 count=5 oflag=direct conv=fsync status=none
  cmp -n $((5 << 20)) random <(dd if=disk.img bs=1M skip=70 status=none) || die "written elsewhere"
  ask $N grow "{\"sectors\": $((128 << 11))}"; is .size $((128 << 20))
else
  echo "note: no direct I/O here"
fi
ask $N stop

echo "== nobody wants it any more"
expect 0 "$CLIENT" leave "$PLAIN" "$(config)"
soon gone $N; sleep 1 # and its process with it

echo "== an image that cannot be closed"
start "$PLAIN" "$(config '"fail_close": true')"; pid=$(state .pid)
expect 1 "$CLIENT" ask $N stop; says "was not closed: it was told not to close"
gone $N || die "left over"; soon not running "$pid"
no_reports

# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop copy: a device that is written to all the time, sent to our receiver, and what it refuses.
source "$(dirname "$0")/common.sh"
command -v fio > /dev/null || skip "no fio"
frozen() { grep -q . <(timeout 1 touch "$1/probe" 2>&1) && return 0; rm -f "$1/probe"; return 1; } # writing hangs
lively() { timeout 10 sh -c "echo alive > $1/probe && sync -f $1" || die "$1 is frozen: $2"; rm "$1/probe"; }
load() { # FOLDER SECONDS: writes there as long as it is not stopped
  fio --name=load --directory="$1" --size=48M --rw=randwrite --bs=4k-64k --direct=1 --ioengine=libaio --iodepth=4 --rate=8m --time_based \
    --runtime="$2" --output=fio.log > /dev/null 2>&1 & LOAD=$!
  AT_EXIT+=("kill $LOAD")
}
fifos() { rm -f data answer; mkfifo data answer; }

mkdir a m; expect 0 "$PLOOP" init -s 400M a/root.hdd
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor) DEV=$(field "$N" node)
head -c 60M /dev/urandom > m/big; (cd m && sha256sum big) > kept

# --- words
expect 38 "$PLOOP" copy; says "Either -s or -d"
expect 2 "$PLOOP" copy -s /dev/ploop60000
expect 38 "$PLOOP" copy -s "$DEV" -f x
"$PLOOP" copy -s "$DEV" -F false --dry-run > out; grep -q "a/root.hdd" out || die "dry run: $(cat out)"
status=0; "$PLOOP" copy -s "$DEV" > /dev/null 2> err || status=$?
[ $status = 38 ] && grep -q "neither a pipe nor a socket" err || die "to a device: $status $(cat err)"
status=0; "$PLOOP" copy -s "$DEV" -f 7 2> err 7< kept | cat > /dev/null || status=${PIPESTATUS[0]}
[ $status = 38 ] || die "a file for the answers: $status $(cat err)"

# --- under load, with feedback. The stop command looks at the disk as the sender does after it: what is in the copy is what the frozen
# file system held.
load m 300
for i in $(seq 100); do [ "$(stat -c %b m/load.0.0 2> /dev/null || echo 0)" -lt 20000 ] || break; sleep 0.1; done # it has begun
fifos
cat > stop.sh << 'STOP'
echo "this goes to standard error, not into the stream"
kill $1; while kill -0 $1 2> /dev/null; do sleep 0.1; done
(cd m && sha256sum load*) > loads
touch stopped
STOP
# The sender's standard output is the data channel.
"$PLOOP" copy -s "$DEV" -F "bash stop.sh $LOAD" -f 9 > data 2> sender.err 9< answer & sender=$!
"$PLOOP" copy -d copy.hdd -f 8 < data 8> answer 2> receiver.err & receiver=$!
wait $sender || die "sender: $(cat sender.err)"
wait $receiver || die "receiver: $(cat receiver.err)"
wait $LOAD || true
[ -e stopped ] && grep -q "Sending $WORK/a/root.hdd" sender.err && grep -q "standard error" sender.err || die "sender: $(cat sender.err)"
grep -q "^Round 1: [1-9]" sender.err || die "nothing was sent again: $(cat sender.err)"
lively m "after a copy"
expect 0 "$PLOOP" umount a/$X
# As the file system was frozen, the copy's is clean; the mount's journal has gone on since, so files are compared.
closed copy.hdd
expect 0 "$PLOOP" check -f -c copy.hdd
mkdir c; mv copy.hdd c/root.hdd; expect 0 "$PLOOP" restore-descriptor c c/root.hdd
expect 0 "$PLOOP" mount -r -m m c/$X
(cd m && sha256sum --quiet -c ../kept ../loads) || die "files of the copy"
expect 0 "$PLOOP" umount c/$X
rm -r c
nothing_left
echo ok

# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop copy when something goes wrong: whoever is killed, and whenever, the file system is thawed and the device goes on. And a copy of a
# device that nobody writes to is the image, byte for byte.
source "$(dirname "$0")/common.sh"
lively() { timeout 20 sh -c "echo alive > m/probe && sync -f m" || die "the file system is frozen: $1"; rm m/probe; }
whole() { (cd m && sha256sum --quiet -c ../kept) || die "files: $1"; }
# try_write: someone writes, for as long as that takes; stands_still: he has not come to it within a second.
try_write() { rm -f wrote; (touch m/try && touch wrote) & }
stands_still() { try_write; sleep 1; [ ! -e wrote ]; }
goes_on() { local i; for ((i = 0; i < 200; i++)); do [ ! -e wrote ] || return 0; sleep 0.1; done; die "writing does not go on: $1"; }
copy_is() { # CODE COMMAND...: of a sender or receiver that runs in the background
  local code=$1 status=0; shift; wait "$@" || status=$?
  [ $status = "$code" ] || die "exit status $status instead of $code: $(cat sender.err receiver.err 2> /dev/null)"
}

mkdir a m; expect 0 "$PLOOP" init -s 400M a/root.hdd
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor) DEV=$(field "$N" node)
head -c 20M /dev/urandom > m/big; (cd m && sha256sum big) > kept; sync -f m

# --- the sender is killed while the file system is frozen: the reader takes nothing any more once the stop command has run, and there is more
# to be sent than a pipe holds
cat > stop.sh << 'STOP'
head -c 8M /dev/urandom > m/last; sync -f m; touch stopped
STOP
mkfifo data
(while [ ! -e stopped ]; do head -c 1M > /dev/null || exit; done; exec sleep 600) < data & reader=$!
AT_EXIT+=("kill $reader")
"$PLOOP" copy -s "$DEV" -F "bash stop.sh" > data 2> sender.err & sender=$!
AT_EXIT+=("kill -KILL $sender")
for ((i = 0; i < 300; i++)); do [ ! -e stopped ] || break; sleep 0.1; done; [ -e stopped ] || die "the stop command was not run: $(cat sender.err)"
for ((i = 0; i < 20; i++)); do ! stands_still || break; done
[ ! -e wrote ] || die "the file system was not frozen: $(cat sender.err)"
kill -KILL $sender
goes_on "the sender was killed"
copy_is 137 $sender; kill $reader; wait $reader || true
lively "the sender was killed"; whole "the sender was killed"
[ "$(field "$N" node)" = "$DEV" ] && grep -q " $WORK/m " /proc/self/mounts || die "the mount is gone"

# --- two at once: the second is refused, and so is what would change the image
rm sender.err # it tells of the first one
sleep 600 < data & reader=$!
AT_EXIT+=("kill $reader")
"$PLOOP" copy -s "$DEV" > data 2> sender.err & sender=$!
AT_EXIT+=("kill -KILL $sender")
soon grep -qs "^Sending" sender.err
expect 17 "$PLOOP" copy -s "$DEV" -d second.hdd; says "copied"
[ ! -e second.hdd ] || die "the second copy leaves a file"
expect 17 "$PLOOP" snapshot a/$X; expect 17 "$PLOOP" balloon discard a/$X
lively "two copies"
# --- the reader goes away: an error like others, and the next copy can be made
kill $reader; wait $reader || true
copy_is 7 $sender
expect 0 "$PLOOP" copy -s "$DEV" -d whole.hdd; says "Freezing"
expect 0 "$PLOOP" check -f -c whole.hdd; rm whole.hdd
lively "the reader has gone"

# --- a stop command that fails
for stop in "exit 3" 'kill -KILL $$' "/nowhere/at/all"; do
  expect 12 "$PLOOP" copy -s "$DEV" -F "$stop" -d failed.hdd; says "$stop"; says "the disk goes on"
  [ ! -e failed.hdd ] || die "a copy whose stop command failed leaves a file"
  lively "$stop"
done

# --- the receiver is killed by the stop command: the sender learns of it when the file system is frozen
"$PLOOP" copy -d copy.hdd < data 2> receiver.err & receiver=$!
status=0; "$PLOOP" copy -s "$DEV" -F "kill -KILL $receiver" > data 2> sender.err || status=$?
[ $status = 7 ] || die "the receiver was killed: $status $(cat sender.err)"
copy_is 137 $receiver
lively "the receiver was killed"; rm copy.hdd
# --- the receiver's host is full, or the sender goes: no half file stays
"$PLOOP" copy -d copy.hdd < data 2> receiver.err & receiver=$!
rm sender.err
"$PLOOP" copy -s "$DEV" -F "sleep 20" > data 2> sender.err & sender=$!
soon grep -qs "^Round\|^Sending" sender.err
kill -KILL $sender; copy_is 137 $sender
copy_is 6 $receiver; [ ! -e copy.hdd ] || die "the receiver leaves half a copy"
lively "the sender was killed early"
expect 0 "$PLOOP" snapshot a/$X # nothing is tracked any more
whole "at the end"
expect 0 "$PLOOP" umount a/$X; expect 0 "$PLOOP" snapshot-merge -A a/$X; expect 0 "$PLOOP" check -f -c a/root.hdd

# --- a device that nobody writes to: its file system is mounted read-only, since a mounted one writes when it is frozen
for way in file stream; do
  expect 0 "$PLOOP" mount a/$X --json; N=$(minor) DEV=$(field "$N" node)
  mount -o ro "${DEV}p1" m; whole "read-only"
  if [ $way = file ]; then
    expect 0 "$PLOOP" copy -s "$DEV" -d copy.hdd
  else
    "$PLOOP" copy -d copy.hdd < data 2> receiver.err & receiver=$!
    "$PLOOP" copy -s "$DEV" > data 2> sender.err || die "sender: $(cat sender.err)"
    copy_is 0 $receiver
  fi
  umount m; expect 0 "$PLOOP" umount a/$X
  cmp a/root.hdd copy.hdd || die "the copy by a $way differs"
  rm copy.hdd
done
nothing_left
echo ok

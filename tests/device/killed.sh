# SPDX-License-Identifier: LGPL-2.1-or-later
# The process of a device is killed under a mount: errors, no hang; umount clears away; check finds a dirty but sound image with
# every flushed byte; mount goes on.
source "$(dirname "$0")/common.sh"
mkdir mnt; mnt=$WORK/mnt
disk d; cd d
kill_device() { # and waits until it is gone
  local pid; pid=$(field "$1" pid)
  [ "$(readlink "/proc/$pid/exe")" = "$(realpath "$DISKTOOL_BIN/../libexec/disktool/ploop-device")" ] || die "process $pid is no device"
  kill -KILL "$pid"; soon not running "$pid"
}

for case in "umount $X" "umount -m $mnt" "umount -d @" "umount(8)"; do
  expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor)
  head -c 5M /dev/urandom > "$mnt/flushed"; sync "$mnt/flushed"; sha256sum < "$mnt/flushed" > ../flushed.sum
  (while :; do head -c 1M /dev/urandom > "$mnt/load" && sync "$mnt/load" || exit 0; done 2> /dev/null) & load=$!
  sleep 0.3; kill_device "$n"
  timeout 30 bash -c 'while kill -0 "$1" 2> /dev/null; do sleep 0.1; done' - $load || die "a writer hangs"; wait $load || true
  if timeout 30 dd if=/dev/urandom of="$mnt/x" bs=1M count=4 oflag=direct 2> err; then die "writing goes on without a process"; fi
  timeout 30 "$PLOOP" list -a > out 2> err || die "list: $(cat err)"
  grep -q "^ploop$n .*root.hdd $mnt " out || die "list -a: $(cat out)"; grep -q "umount -d /dev/ploop$n" err || die "list does not tell that it is dead"
  expect 2 "$PLOOP" snapshot $X; says "has died"
  expect 21 "$PLOOP" mount $X; says "died"; expect 37 "$PLOOP" check $X
  if [ "$case" = "umount(8)" ]; then
    timeout 60 umount "$mnt"; expect 0 "$PLOOP" umount $X
  else
    # shellcheck disable=SC2086
    expect 0 timeout 60 "$PLOOP" ${case/@/\/dev\/ploop$n}
  fi
  says "had died"; says "$PWD/root.hdd bears the in-use mark"; says "\"ploop check $PWD/$X\" repairs it, and so does the next mount"
  not_mounted "$mnt"; nothing_left; [ ! -e "/dev/ploop$n" ] || die "nodes are left"; [ -z "$(losetup -n -O NAME -j root.hdd)" ] || die "a loop device is left"
  in_use root.hdd || die "not dirty: the test is none"; [ ! -e .statfs ] || die ".statfs of a dead device"
  cp root.hdd ../copy.hdd; expect 37 "$PLOOP" check ../copy.hdd; says "\"ploop check -d ../copy.hdd\" repairs it"
  expect 37 "$PLOOP" mount ../copy.hdd; says "\"ploop check -d $WORK/copy.hdd\" repairs it"; expect 0 "$PLOOP" check -d -f -c ../copy.hdd
  expect 0 "$PLOOP" mount -m "$mnt" $X
  [ "$(sha256sum < "$mnt/flushed")" = "$(cat ../flushed.sum)" ] || die "a flushed file is lost ($case)"
  expect 0 "$PLOOP" umount $X; closed root.hdd; expect 0 "$PLOOP" check -f root.hdd
done

# --- only what is so is said of the image: one that is closed, one that has no place for a mark, one that the kernel writes by itself
expect 0 "$PLOOP" mount $X --json; n=$(minor); cp "$(state "$n")" ../state; expect 0 "$PLOOP" umount $X; cp ../state "$(state "$n")"
expect 0 "$PLOOP" umount $X; says "$PWD/root.hdd is closed in order"; says_not "in-use mark"; says_not "lost"; nothing_left; closed root.hdd
mkdir ../raw; cd ../raw; expect 0 "$PLOOP" init -s 300M -f raw root.hdd
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor); [ "$(field "$n" backend)" = loop ] || die "backend: $(field "$n" backend)"
kill_device "$n"; echo later > "$mnt/later"; sync "$mnt/later"
expect 0 "$PLOOP" umount $X; says "nothing is lost"; says_not "in-use mark"; nothing_left
expect 0 "$PLOOP" mount --backend fuse -m "$mnt" $X --json; n=$(minor); [ "$(cat "$mnt/later")" = later ] || die "what was written after the kill is lost"
kill_device "$n"; expect 0 "$PLOOP" umount $X; says "what was not flushed then is lost"; says_not "in-use mark"; nothing_left; cd ../d

# --- a dead device that nobody has mounted: the next mount clears it away by itself
expect 0 "$PLOOP" mount $X --json; n=$(minor); kill_device "$n"
expect 0 "$PLOOP" mount -m "$mnt" $X; expect 0 "$PLOOP" umount $X; nothing_left
# --- and by clear
expect 0 "$PLOOP" mount $X --json; n=$(minor); mount "/dev/ploop${n}p1" "$mnt"; kill_device "$n"
expect 3 "$PLOOP" clear -d "/dev/ploop$n"; says "still in use"; expect 2 "$PLOOP" stop -d "/dev/ploop$n"; umount "$mnt"
expect 0 "$PLOOP" clear -d "/dev/ploop$n"; nothing_left
# --- and where someone looks at it for a moment: as of one that lives
expect 0 "$PLOOP" mount $X --json; n=$(minor); kill_device "$n"; sleep 2 < "/dev/ploop$n" & user=$!; sleep 0.1
expect 0 "$PLOOP" umount $X; nothing_left; wait $user
# --- killed after umount has looked at it
expect 0 "$PLOOP" mount $X --json; n=$(minor); pid=$(field "$n" pid); kill -STOP "$pid"
"$PLOOP" umount $X > umount.log 2>&1 & user=$!; sleep 0.5; kill -KILL "$pid"
wait $user || die "umount: exit status $?: $(cat umount.log)"; grep -q "had died" umount.log || die "umount says nothing of it: $(cat umount.log)"; nothing_left
# --- in use: 22 with the name of who it is, after six tries
expect 0 "$PLOOP" mount -m "$mnt" $X; sleep 300 < "$mnt/flushed" & user=$!
start=$SECONDS; expect 22 "$PLOOP" umount $X; says "sleep (process $user: has $mnt/flushed open)"; [ $((SECONDS - start)) -ge 5 ] || die "gave up after $((SECONDS - start)) s"
mounted "$mnt"; kill $user; wait $user 2> /dev/null || true
(cd "$mnt"; exec sleep 300) & user=$!; sleep 0.1
expect 22 "$PLOOP" umount -m "$mnt"; says "sleep (process $user: working folder)"; kill $user; wait $user 2> /dev/null || true
mkdir "$mnt/sub"; mount -t tmpfs none "$mnt/sub"; expect 22 "$PLOOP" umount $X; says "$mnt/sub"; umount "$mnt/sub"
# what is mounted over it is not touched
mount -t tmpfs over "$mnt"; expect 22 "$PLOOP" umount $X; says "mounted over it"; umount "$mnt"
# one who leaves meanwhile
sleep 2 < "$mnt/flushed" & expect 0 "$PLOOP" umount $X; nothing_left
expect 0 "$PLOOP" mount $X --json; n=$(minor); sleep 300 < "/dev/ploop$n" & user=$!
expect 22 "$PLOOP" umount $X; says "sleep (process $user)"; kill $user; wait $user 2> /dev/null || true; expect 0 "$PLOOP" umount $X; nothing_left
# --- a journal that waits to be replayed keeps a read-only mount away: the ways around it are named, and they work
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor); echo x > "$mnt/synced"; sync -f "$mnt"; kill_device "$n"; expect 0 "$PLOOP" umount $X
expect 21 "$PLOOP" mount -r -m "$mnt" $X; says "-o noload"; says "once without -r"; nothing_left
expect 0 "$PLOOP" mount -r -m "$mnt" -o noload $X; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -m "$mnt" $X; expect 0 "$PLOOP" umount $X; expect 0 "$PLOOP" mount -r -m "$mnt" $X; [ "$(cat "$mnt/synced")" = x ] || die "a synced file is lost"; expect 0 "$PLOOP" umount $X; nothing_left
echo ok

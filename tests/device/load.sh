# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything at once on a mounted disk: fio writes and verifies while snapshots are made, mounted, merged and deleted, space is
# given back, and the disk grows; then it is unmounted and checked. `SECONDS_OF_LOAD=3600 tests/device/load.sh` is the soak.
source "$(dirname "$0")/common.sh"
long=${SECONDS_OF_LOAD:-$(often 15 40)}
mkdir d mnt snap; cd d
expect 0 "$PLOOP" init -s 900M root.hdd
expect 0 "$PLOOP" mount -m "$WORK/mnt" $X
head -c 10M /dev/urandom > "$WORK/mnt/still"; sha256sum "$WORK/mnt/still" > "$WORK/sums"; sync -f "$WORK/mnt"
end=$(($(date +%s) + long))
writer() { # NAME OPTION...: until the time is over
  local name=$1; shift
  while [ "$(date +%s)" -lt $end ]; do
    fio --name="$name" --directory="$WORK/mnt" --size=48M --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --output="$WORK/$name.log" "$@" || return 1
  done
}
# Before the disk goes: what they open later by its name would lie in the folder below.
AT_EXIT=('pkill -P $a; pkill -P $b; pkill -P $c; kill $a $b $c' "${AT_EXIT[@]}")
writer random --rw=randwrite --bs=4k-64k --iodepth=16 --fsync=64 & a=$!
writer rows --rw=write --bs=1M --iodepth=4 --end_fsync=1 & b=$!
# Reads of what was written just before, in so few regions that the host's cache is to hold them.
writer again --rw=randwrite --bs=4k --iodepth=8 --verify_backlog=64 --verify_backlog_batch=64 --size=8M --loops=4 & c=$!
rounds=0 sectors=1843200
while [ "$(date +%s)" -lt $end ]; do
  u={0000000$((rounds % 9))-1111-2222-3333-$(printf %012d $rounds)}
  expect 0 "$PLOOP" snapshot -u "$u" $X
  expect 0 "$PLOOP" mount -r -c look -u "$u" -m "$WORK/snap" $X
  sha256sum --quiet -c <(sed "s#$WORK/mnt#$WORK/snap#" "$WORK/sums") || die "a file of a snapshot differs"
  expect 0 "$PLOOP" umount -m "$WORK/snap"
  sha256sum --quiet -c "$WORK/sums" || die "a file differs"
  if ((rounds % 3 == 2)); then expect 0 "$PLOOP" snapshot-merge -A $X; elif ((rounds % 2)); then expect 0 "$PLOOP" snapshot-delete -u "$u" $X; fi
  expect 0 "$PLOOP" balloon discard $X
  sectors=$((sectors + 20480)); expect 0 "$PLOOP" grow -s $sectors $X
  rounds=$((rounds + 1))
  kill -0 $a 2> /dev/null && kill -0 $b 2> /dev/null && kill -0 $c 2> /dev/null || break
done
wait $a || die "random: $(cat "$WORK/random.log")"
wait $b || die "rows: $(cat "$WORK/rows.log")"
wait $c || die "again: $(cat "$WORK/again.log")"
[ "$rounds" -gt 0 ] || die "no round was finished"
"$PLOOP" snapshot-merge -A $X > /dev/null 2>&1 || true # where there is anything to merge
sha256sum --quiet -c "$WORK/sums" || die "a file differs at the end"
expect 0 "$PLOOP" umount $X
closed root.hdd
expect 0 "$PLOOP" check -f -c root.hdd
qemu-img check -q -f parallels root.hdd || die "QEMU finds faults"
off=$((2048 * 512)); qemu-img convert -f parallels -O raw root.hdd "$WORK/raw"
e2fsck -fn "$WORK/raw?offset=$off" > "$WORK/e2fsck.log" 2>&1 || die "$(cat "$WORK/e2fsck.log")"
echo "$rounds rounds"
nothing_left

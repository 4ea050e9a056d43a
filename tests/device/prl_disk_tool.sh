# SPDX-License-Identifier: LGPL-2.1-or-later
# prl_disk_tool resize, compact and merge of ploop disks that are mounted: they work through the running device.
source "$(dirname "$0")/common.sh"
BALLOON=.balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8
sectors() { blockdev --getsz "$1"; }
part() { echo "$(field "$1" node)p1"; }
may_grow_ext4() { capsh --has-p=cap_sys_resource 2> /dev/null; }
length() { stat -c %s "$1"; }
top_of() { jq -r '.images[-1].path' "$(state "$1")"; }
sound_ext4() { # FOLDER: at rest, in the eyes of others
  expect 0 "$PLOOP" check -f -c "$1/root.hdd"
  qemu-img convert -f parallels -O raw "$1/root.hdd" content
  sgdisk -v content | grep -q "No problems found" || die "sgdisk -v of $1: $(sgdisk -v content)"
  e2fsck -fn "content?offset=1048576" > log 2>&1 || die "e2fsck of $1: $(cat log)"
  rm content
}
same_files() { sha256sum --quiet -c sums || die "files have changed"; }
# A disk at rest is no other than before: the words of the verbs are those of a disk at rest.
disk a; mkdir m
expect 0 "$TOOL" resize --hdd a --info --json; is .device null

# --- named by its folder, its descriptor and its image: figures of the mounted file system
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor); NODE=$(field $N node)
head -c 20M /dev/urandom > m/keep; head -c 80M /dev/urandom > m/gone; sync -f m
sha256sum m/keep > sums
for name in a a/$X a/root.hdd; do
  expect 0 "$TOOL" resize --hdd $name --info --json
  is .device.node "$NODE"; is .device.mount_point "$(realpath m)"; is .resize.size $((300 << 20)); is .resize.dirty false
done
is .disk.contents[0].usage.free $(($(stat -f -c '%f * %S' m)))
minimum=$(json .resize.minimum)
[ "$minimum" -gt $((200 << 20)) ] && [ "$minimum" -lt $((280 << 20)) ] || die "the minimum is $minimum"
expect 0 "$TOOL" resize --hdd a --info; says "Minimum:"; says "runs as $NODE and is mounted at"
rm m/gone; sync -f m
expect 0 "$TOOL" compact --hdd a --info; says "Can be freed:"; says "upper bound"
expect 0 "$TOOL" compact --hdd a --info --json
freeable=$(json .compact.estimate.reclaimable)
[ "$freeable" -ge $((60 << 20)) ] || die "only $freeable bytes of 80 MiB could be freed"
is .compact.allocated $(($(stat -c '%b * 512' a/root.hdd)))

# --- compact
before=$(host_kib a/root.hdd) long=$(length a/root.hdd)
expect 0 "$TOOL" compact --hdd a --dry-run; says "FITRIM"; says "a/root.hdd"
expect 0 "$TOOL" compact --hdd a --dry-run --json; is .dry_run true; is '.plan.steps | length' 2
[ "$(length a/root.hdd)" = "$long" ] && [ -z "$(ls m | grep -v keep | grep -v lost+found)" ] || die "a dry run changes something"
expect 4 "$TOOL" convert --hdd a --plain; says "$NODE"; says "mounted at $(realpath m)"; says "ploop umount -d $NODE"
expect 4 "$TOOL" convert --hdd a --format qcow2 --output out.qcow2 --json; is .error.code locked; [ ! -e out.qcow2 ] || die "out.qcow2 is there"
expect 4 "$TOOL" convert --hdd a --expanding --dry-run; says "works on a disk at rest"
expect 0 "$TOOL" compact --hdd a --progress=3 3> progress; says "given back to the host"; says "$NODE"
jq -es 'length > 0' progress > /dev/null || die "no progress: $(cat progress)"
[ "$(host_kib a/root.hdd)" -lt $((before - 60 * 1024)) ] || die "the image has $(host_kib a/root.hdd) KiB after $before"
[ "$(length a/root.hdd)" -lt $((long - (60 << 20))) ] || die "the file is $(length a/root.hdd) long, after $long"
same_files
expect 0 "$TOOL" compact --hdd a/$X --quiet; [ -z "$OUT$ERR" ] || die "quiet, but: $OUT$ERR"
expect 0 "$TOOL" compact --hdd a --json; is .verb compact; is '.result | has("freed")' true
expect 6 "$TOOL" compact --hdd a --engine appliance; says "appliance"

# --- another command at work on the device: refused, or waited for
fsfreeze -f m; "$PLOOP" balloon change -s 10M a/$X > first.log 2>&1 & first=$! # which cannot go on
soon eval 'grep -q "(process $first)" "$DISKTOOL_RUN/ploop$N.work.lock"'
expect 4 "$TOOL" compact --hdd a; says "another operation is in progress"; says "(process $first)"
expect 4 "$TOOL" compact --hdd a --wait=1; says "(process $first)"
"$TOOL" compact --hdd a --wait=60 --json > second.json 2> second.log & second=$!
sleep 0.5; running $second || die "it does not wait: $(cat second.log)"
fsfreeze -u m; wait $first || die "$(cat first.log)"
wait $second || die "$(cat second.json second.log)"; jq -e '.result | has("freed")' second.json > /dev/null || die "$(cat second.json)"
expect 0 "$PLOOP" balloon change -s 0 a/$X
same_files

# --- resize: smaller is the balloon, and says so
expect 0 "$TOOL" resize --hdd a --size 200M --dry-run; says "balloon"; [ ! -s m/$BALLOON ] || die "a dry run inflates the balloon"
expect 0 "$TOOL" resize --hdd a --size 200M; says "the disk and its file system keep their size"
[ "$(length m/$BALLOON)" -gt $((60 << 20)) ] || die "the balloon has $(length m/$BALLOON) bytes"
[ "$(sectors "$NODE")" = $((300 * 2048)) ] || die "the device has $(sectors "$NODE") sectors"
expect 8 "$TOOL" resize --hdd a --size 20M; says "minimal size is"
minimum=$(json . 2> /dev/null || true; "$TOOL" resize --hdd a --info --json 2> /dev/null | jq .resize.minimum)
expect 0 "$TOOL" resize --hdd a --size $((minimum >> 20))M # what --info has said can be done
expect 0 "$TOOL" resize --hdd a --size 300M; [ "$(length m/$BALLOON)" = 0 ] || die "the balloon is left"
# What cannot be done to a disk that runs.
expect 6 "$TOOL" resize --hdd a --size 400M --discard-tail; says "ploop umount -d $NODE"
expect 6 "$TOOL" resize --hdd a --size 400M --resize_partition --partition 2; says "partition 1"; says "ploop umount"
[ "$(sectors "$NODE")" = $((300 * 2048)) ] || die "the device has $(sectors "$NODE") sectors"

# --- larger: device, table, and the file system where the kernel lets us, else the way out
if may_grow_ext4; then
  expect 0 "$TOOL" resize --hdd a --size 500M --resize_partition --partition 1
else
  expect 9 "$TOOL" resize --hdd a --size 500M --resize_partition --partition 1
  says "have the new size"; says "CAP_SYS_RESOURCE"; says "ploop umount"
fi
[ "$(sectors "$NODE")" = $((500 * 2048)) ] || die "the device has $(sectors "$NODE") sectors"
[ "$(sectors "$(part $N)")" = $((498 * 2048)) ] || die "the partition has $(sectors "$(part $N)") sectors"
same_files
expect 0 "$PLOOP" umount a/$X
expect 0 "$PLOOP" resize -s 500M a/$X # the way out
sound_ext4 a

# --- merge of all while somebody writes
expect 0 "$PLOOP" mount -m m a/$X --json; N=$(minor); NODE=$(field $N node)
for u in "$U1" "$U2" "$U3"; do
  head -c 8M /dev/urandom > "m/of$u"; expect 0 "$PLOOP" snapshot -u "$u" a/$X
done
sha256sum m/keep m/of* > sums
images=$(ls a)
expect 0 "$TOOL" merge --hdd a --dry-run; says "merge the 4 images"; [ "$(ls a)" = "$images" ] || die "a dry run merges"
expect 6 "$TOOL" merge --hdd a --external; says "without --external"
expect 6 "$TOOL" merge --hdd a/root.hdd; says "Name the disk" # the base, below the top
( trap 'exit 0' TERM; i=0; while :; do head -c 1M /dev/urandom > m/w$((i % 8)); sha256sum m/w$((i % 8)) > w$((i % 8)).sum; i=$((i + 1)); done ) & writer=$!
AT_EXIT+=('[ -z "$writer" ] || kill $writer')
sleep 0.5
expect 0 "$TOOL" merge --hdd a/$X --json; is .result.changed true; is '.plan.steps[0].kind' ploop.merge
kill $writer; wait $writer || true; writer=
[ "$(jq '.images | length' "$(state $N)")" = 1 ] || die "not all is merged: $(jq -c .images "$(state $N)")"
same_files
expect 0 "$TOOL" merge --hdd a; says "nothing to do"
sync -f m; echo 3 > /proc/sys/vm/drop_caches 2> /dev/null || true
written=0 other=0
for sum in w?.sum; do sha256sum --quiet -c "$sum" > /dev/null 2>&1 && written=$((written + 1)) || other=$((other + 1)); done
[ "$written" -ge 1 ] && [ "$other" -le 1 ] || die "$written files written meanwhile are right, $other are not" # one may have been cut short
same_files
expect 0 "$PLOOP" umount a/$X
sound_ext4 a
closed a/root.hdd
expect 0 "$PLOOP" mount -m m a/$X; same_files; expect 0 "$PLOOP" umount a/$X

# --- a device that is not mounted; one that only reads; another user; none
expect 0 "$PLOOP" mount a/$X --json; NODE=$(field "$(minor)" node)
expect 6 "$TOOL" compact --hdd a; says "not mounted"; says "$NODE"
expect 0 "$TOOL" resize --hdd a --info --json; is .device.mount_point null; minimum=$(json .resize.minimum)
[ "$minimum" -lt $((500 << 20)) ] || die "the minimum is $minimum"
expect 0 "$TOOL" resize --hdd a --size 550M; [ "$(sectors "$NODE")" = $((550 * 2048)) ] || die "$NODE has $(sectors "$NODE") sectors"
if command -v setpriv > /dev/null; then
  chmod 644 a/root.hdd a/$X; chmod 755 a
  expect 3 setpriv --reuid=65534 --regid=65534 --clear-groups "$TOOL" resize --hdd a --size 600M --json
  is .error.code not_found; says "Permission denied"
fi
expect 0 "$PLOOP" umount a/$X
expect 0 "$PLOOP" mount -r -m m a/$X --json; NODE=$(field "$(minor)" node)
expect 4 "$TOOL" compact --hdd a; says "$NODE"; says "ploop umount -d $NODE"
expect 4 "$TOOL" resize --hdd a --size 600M; says "$NODE"
expect 0 "$PLOOP" umount a/$X
expect 0 "$TOOL" compact --hdd a # at rest again
sound_ext4 a

# --- XFS and btrfs: grow the whole way
for type in xfs btrfs; do
  command -v mkfs.$type > /dev/null || continue
  if [ $type = xfs ]; then checker="xfs_repair -n"; else checker="btrfs check --readonly"; fi
  mkdir -p x; expect 0 "$PLOOP" init -s 400M -t none x/root.hdd
  expect 0 "$PLOOP" mount x/$X --json; N=$(minor); sgdisk -n 1:2048:0 "$(field $N node)" > /dev/null
  expect 0 "$PLOOP" umount x/$X; expect 0 "$PLOOP" mount x/$X --json; N=$(minor)
  mkfs.$type -q "$(part $N)"; mount -t $type "$(part $N)" m
  head -c 30M /dev/urandom > m/keep; head -c 60M /dev/urandom > m/gone; sync -f m; sha256sum m/keep > sums
  size=$(df -B1M --output=size m | tail -1)
  expect 0 "$TOOL" resize --hdd x --size 600M --json; is .old_size $((400 << 20)); is .new_size $((600 << 20)); is .result.changed true
  [ "$(df -B1M --output=size m | tail -1)" -gt $((size + 180)) ] || die "$type has $(df -B1M m) after $size"
  rm m/gone; sync -f m
  long=$(length x/root.hdd)
  expect 0 "$TOOL" compact --hdd x/root.hdd
  [ "$(length x/root.hdd)" -lt $((long - (40 << 20))) ] || die "the file is $(length x/root.hdd) long, after $long"
  expect 0 "$TOOL" resize --hdd x --info --json; is .resize.size $((600 << 20)); is .resize.dirty false
  same_files
  umount m; $checker "$(part $N)" > log 2>&1 || die "$checker: $(cat log)"
  expect 0 "$PLOOP" umount x/$X
  expect 0 "$PLOOP" check -f -c x/root.hdd; rm -rf x
done
nothing_left

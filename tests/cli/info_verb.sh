# SPDX-License-Identifier: LGPL-2.1-or-later
# The verb info: all of an image on one page, in JSON too; whatever is damaged on the disk is told; nothing is changed.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 table=gpt fs=ext4 size=128 big=2 small=20
offset=$(cat d.qcow2.offset)
page() { grep -qP "$1" out || die "no line like $1 in: $OUT"; }

unchanged d.qcow2 -- expect 0 "$TOOL" info --hdd d.qcow2
[ -z "$ERR" ] || die "unasked words: $ERR"
page "^  Path: +$(realpath d.qcow2)$"
page '^  Format: +qcow2$'; page '^  Virtual size: +128 MiB \(134217728 bytes\)$'; page '^  Cluster size: +64 KiB$'
page '^  Allocation: +expanding$'; page '^  State: +in order$'; page '^  compat: +1\.1$'
page "^  On the host: +.*\($(($(stat -c %b d.qcow2) * 512)) bytes\)"
page '^Partition table: gpt, [0-9A-F-]{36}$'
page '^  1 +1048576 +134200832 +127 MiB +Linux filesystem "data" +ext4 +data +\S+ \S+ +\S+ \S+ +\S+ \S+ +clean$'
says_not "Backing chain"; says_not "snapshots"; says_not "Job:"; says_not "To know"

expect 0 "$TOOL" info --hdd d.qcow2 --json
is .verb info; is .image.allocation expanding; is .in_use false; is '.writers | length' 0
is .disk.table.type gpt; is '.disk.table.partitions[0].name' data; is '.disk.contents[0].usage.label' data
is '.warnings | length' 0
qemu-img convert -O raw d.qcow2 raw
free=$(dumpe2fs -h "raw?offset=$offset" 2> /dev/null | awk -F: '/^Free blocks/{print $2*4096}')
is '.disk.contents[0].usage.free' "$free"; [ "$(json '.disk.contents[0].minimum.bytes')" -gt 0 ] || die "no minimum"
expect 0 "$TOOL" info --hdd d.qcow2 --quiet; [ -z "$OUT$ERR" ] || die "quiet is not"

# A raw disk, and one on which nothing is known.
unchanged raw -- expect 0 "$TOOL" info --hdd raw; page '^  Format: +raw$'; page ' ext4 +data '
qemu-img create -q -f qcow2 blank.qcow2 1G
expect 0 "$TOOL" info --hdd blank.qcow2; says "Partition table: none"; says "No partitions found"
expect 0 "$TOOL" info --hdd blank.qcow2 --json; is '.warnings[0]' "No partitions found"

# Logical partitions; a whole-disk file system.
make_disk l.qcow2 table=logical fs=ext3 size=64 big=2 small=20
expect 0 "$TOOL" info --hdd l.qcow2; page '^  1 .*unknown'; page '^  2 .*Extended'; page '^  5 .*ext3'
make_disk w.qcow2 table=none fs=ext2 size=64 big=2 small=20
expect 0 "$TOOL" info --hdd w.qcow2; says "Partition table: none"; page '^  disk +0 +67108864 .*ext2'

# A chain, snapshots, bitmaps.
cp d.qcow2 base.qcow2; qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
expect 0 "$TOOL" info --hdd top.qcow2; says "Backing chain, top first"; page "^  $(realpath base.qcow2) +qcow2 +128 MiB +"
page '^  backing_name: +base.qcow2$'
qemu-img snapshot -c before-update base.qcow2; qemu-img bitmap --add base.qcow2 backup
expect 0 "$TOOL" info --hdd base.qcow2
page '^  1 +before-update +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC +128 MiB$'; page '^  backup +64 KiB +recording$'
rm base.qcow2; expect 3 "$TOOL" info --hdd top.qcow2 --json; is .error.code not_found

# What the guest wrote into a label does not reach the terminal as it is.
cp raw evil; debugfs -w -R 'set_super_value volume_name x' "evil?offset=$offset" > /dev/null 2>&1
printf 'a\033[31mb\377\302\233c' | dd of=evil bs=1 seek=$((offset + 1024 + 120)) conv=notrunc status=none
tune2fs -O ^metadata_csum "evil?offset=$offset" > /dev/null 2>&1 || true
expect 0 "$TOOL" info --hdd evil
! grep -q $'\033' out || die "an escape sequence of the guest's"

# Damage on the disk is told, and is no error.
poke() { printf "$(echo "$3" | sed 's/../\\x&/g')" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
cp raw r; poke r $((offset + 1024 + 1020)) deadbeef
unchanged r -- expect 0 "$TOOL" info --hdd r; says "checksum"; page 'filesystem damaged$'
cp raw r; poke r 528 ffffffff
expect 0 "$TOOL" info --hdd r; says "primary GPT"; page ' ext4 +data '
poke r $(((128 << 20) - 512 + 16)) ffffffff
expect 0 "$TOOL" info --hdd r; page '^  Virtual size:'; says "GPT"; says_not "Partition table:"
expect 0 "$TOOL" info --hdd r --json; is .disk.problem.code damaged; is .disk.problem.reason table_damaged
cp d.qcow2 c.qcow2; poke c.qcow2 32 00000001
expect 0 "$TOOL" info --hdd c.qcow2; page '^  State: +encrypted$'; expect 6 "$TOOL" map --hdd c.qcow2
cp d.qcow2 c.qcow2; poke c.qcow2 72 0000000000000002
expect 0 "$TOOL" info --hdd c.qcow2; page '^  State: +corrupt$'; says "marked corrupt"
# An image that cannot be read is one.
head -c 100 d.qcow2 > short.qcow2; expect 7 "$TOOL" info --hdd short.qcow2
: > empty.qcow2; expect 6 "$TOOL" info --hdd empty.qcow2; expect 3 "$TOOL" info --hdd nowhere

# An interrupted job is told of and left alone, also one whose record nobody can read.
echo nonsense > d.qcow2.disktool-job
unchanged d.qcow2 d.qcow2.disktool-job -- expect 0 "$TOOL" info --hdd d.qcow2; says "d.qcow2.disktool-job"; page '^  Job:'
expect 0 "$TOOL" info --hdd d.qcow2 --json; [ "$(json .interrupted_job)" != null ] || die "the job is not in the JSON"
expect 0 "$TOOL" map --hdd d.qcow2; rm d.qcow2.disktool-job

# A running VM is told of; another reader is no hindrance; a writer of ours is.
if command -v qemu-storage-daemon > /dev/null; then
  qemu-storage-daemon --blockdev driver=file,filename=d.qcow2,node-name=f --blockdev driver=qcow2,file=f,node-name=q \
    --nbd-server addr.type=unix,addr.path="$WORK/s" --export type=nbd,id=e,node-name=q,writable=on > vm.log 2>&1 &
  vm=$!; AT_EXIT+=("kill $vm"); for _ in $(seq 100); do [ -S s ] && break; sleep 0.1; done
  expect 0 "$TOOL" info --hdd d.qcow2; page "^  In use by: +pid $vm \(qemu-storage-da"
  expect 0 "$TOOL" info --hdd d.qcow2 --json; is .in_use true; is '.writers[0].pid' $vm
  kill $vm; wait $vm || true
fi
flock -s d.qcow2 "$TOOL" info --hdd d.qcow2 > /dev/null || die "a shared lock keeps info out"
expect 4 flock -x d.qcow2 "$TOOL" info --hdd d.qcow2; says "locked"
expect 2 "$TOOL" info --hdd d.qcow2 --dry-run; expect 2 "$TOOL" info --info --hdd d.qcow2

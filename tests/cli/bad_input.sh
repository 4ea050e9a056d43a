# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input: a clear sentence, the right exit status, nothing changed; no crash (this runs under ASan and UBSan).
source "$(dirname "$0")/common.sh"

# refuses CODE WORDS IMAGE: all four verbs answer with CODE, or an --info verb answers with 0 and a warning when the question
# can be answered without what is damaged.
refuses() {
  local code=$1 words=$2 image=$3
  for verb in "compact" "compact --dry-run" "resize --size 900M" "resize --size 900M -n"; do
    unchanged "$image" -- expect "$code" "$TOOL" $verb --hdd "$image"; says "$words"
  done
}
info_refuses() {
  for verb in resize compact; do
    unchanged "$3" -- expect "$1" "$TOOL" $verb --info --hdd "$3"; says "$2"
  done
}
both() { refuses "$@"; info_refuses "$@"; }
# poke FILE OFFSET HEX: overwrites bytes.
poke() { printf "$(echo "$3" | sed 's/../\\x&/g')" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

make_disk good.qcow2 size=64 big=2 small=20
fresh() { cp good.qcow2 bad.qcow2; }

# --- files
for verb in "compact" "compact --info" "resize --info" "resize --size 900M"; do
  expect 3 "$TOOL" $verb --hdd nowhere.qcow2; says "nowhere.qcow2"
  mkdir -p folder; expect 3 "$TOOL" $verb --hdd folder; says "folder"
  [ -p fifo ] || mkfifo fifo
  expect 3 timeout 20 "$TOOL" $verb --hdd fifo; says "fifo"
done
: > empty.qcow2; refuses 6 "empty.qcow2" empty.qcow2
head -c 100 good.qcow2 > short.qcow2; both 7 "short.qcow2" short.qcow2
head -c 200000 good.qcow2 > cut.qcow2; refuses 7 "cut.qcow2" cut.qcow2
head -c 1000000 /dev/urandom > noise; refuses 6 'unsupported format "raw". Only "qcow2" is supported.' noise
mkdir ploop; echo '<Parallels_disk_image/>' > ploop/DiskDescriptor.xml; expect 7 "$TOOL" compact --hdd ploop; says "DiskDescriptor.xml"
ln -s nowhere dangling; expect 3 "$TOOL" compact --hdd dangling
ln -s loop2 loop1; ln -s loop1 loop2; expect 3 "$TOOL" compact --hdd loop1

# --- qcow2 headers
fresh; poke bad.qcow2 4 00000001; both 6 "version 1" bad.qcow2
fresh; poke bad.qcow2 4 00000007; both 6 "version 7" bad.qcow2
fresh; poke bad.qcow2 20 00000005; both 7 "cluster" bad.qcow2
fresh; poke bad.qcow2 20 0000001f; both 7 "cluster" bad.qcow2
fresh; poke bad.qcow2 40 7fffffffffff0000; both 7 "L1" bad.qcow2         # past EOF
fresh; poke bad.qcow2 40 0000000000030001; both 7 "L1" bad.qcow2         # misaligned
fresh; poke bad.qcow2 40 0000000000000000; both 7 "L1" bad.qcow2         # over the header
fresh; poke bad.qcow2 24 8000000000000000; for v in compact "compact --info"; do
  status=0; "$TOOL" $v --hdd bad.qcow2 > out 2> err || status=$?; [[ $status = 6 || $status = 7 ]] || die "size 2^63: $status"; done
fresh; poke bad.qcow2 72 0000000000000002; info_refuses 0 corrupt bad.qcow2; refuses 7 "corrupt" bad.qcow2
fresh; poke bad.qcow2 72 0000000000000020; both 6 "bit 5" bad.qcow2
fresh; poke bad.qcow2 72 0000000000000001; refuses 7 "dirty" bad.qcow2; says "qemu-img check"; info_refuses 0 dirty bad.qcow2
l1=$(od -An -j40 -N8 -tx1 good.qcow2 | tr -d ' \n'); l1=$((16#$l1))
fresh; poke bad.qcow2 $l1 8000ffffffff0000; both 7 "L2" bad.qcow2        # past EOF
fresh; poke bad.qcow2 $l1 8000000000050200; both 7 "L2" bad.qcow2        # misaligned
fresh; poke bad.qcow2 48 7fffffffffff0000; refuses 7 "refcount" bad.qcow2

# --- backing files
qemu-img create -q -f qcow2 -b good.qcow2 -F qcow2 top.qcow2
mkdir elsewhere; cp good.qcow2 elsewhere/base.qcow2
qemu-img create -q -f qcow2 -b elsewhere/base.qcow2 -F qcow2 under.qcow2
both 6 "--allow-backing" under.qcow2                                      # below the own folder is not in it
mkdir inner; qemu-img create -q -f qcow2 -b ../good.qcow2 -F qcow2 inner/out.qcow2
both 6 "--allow-backing" inner/out.qcow2
expect 0 "$TOOL" compact --info --hdd inner/out.qcow2 --allow-backing "$WORK"
qemu-img rebase -u -f qcow2 -F qcow2 -b loop.qcow2 top.qcow2; cp top.qcow2 loop.qcow2; both 7 "loop" loop.qcow2
qemu-img create -q -f qcow2 -u -b gone.qcow2 -F qcow2 orphan.qcow2 64M; both 3 "gone.qcow2" orphan.qcow2
for name in 'json:{"driver":"null-co"}' nbd://localhost/x nbd:localhost:10809; do
  qemu-img create -q -f qcow2 -u -b "$name" -F raw proto.qcow2 64M; both 6 "${name%%:*}" proto.qcow2
done

# --- encryption
# (qemu-img's own LUKS creation fails at random on machines that cannot time it)
fresh; poke bad.qcow2 32 00000001; cp bad.qcow2 crypt.qcow2
both 6 "encrypt" crypt.qcow2

# --- tables
raw_disk() { qemu-img convert -O raw good.qcow2 disk.raw; }
again() { qemu-img convert -O qcow2 disk.raw "$1"; }
raw_disk; poke disk.raw 528 ffffffff; poke disk.raw $(( (64 << 20) - 512 + 16 )) ffffffff; again gpt-crc.qcow2; both 7 "GPT" gpt-crc.qcow2
raw_disk; poke disk.raw 528 ffffffff; again gpt-one.qcow2
expect 0 "$TOOL" compact --info --hdd gpt-one.qcow2
expect 0 "$TOOL" resize --info --hdd gpt-one.qcow2; says "primary GPT"; says "damaged"
truncate -s 64M mbr.raw; echo 'start=2048,size=40000,type=83' | sfdisk -q --no-tell-kernel --label dos mbr.raw
cp mbr.raw m; poke m 458 ffffff7f; qemu-img convert -O qcow2 m beyond.qcow2; both 7 "beyond" beyond.qcow2
cp mbr.raw m; poke m 462 0000830000000000 ; poke m 466 0000000000100000 ; poke m 470 0010000000900000
printf '\x00\x00\x00\x00\x83\x00\x00\x00\x00\x10\x00\x00\x00\x90\x00\x00' | dd of=m bs=1 seek=462 conv=notrunc status=none
qemu-img convert -O qcow2 m overlap.qcow2; both 7 "overlap" overlap.qcow2
truncate -s 64M ext.raw; printf 'start=2048,size=8192,type=83\ntype=5\nsize=8192,type=83\n' | sfdisk -q --no-tell-kernel --label dos ext.raw
ebr=$(sfdisk -J ext.raw | jq '.partitiontable.partitions[1].start * 512')
printf '\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00' | dd of=ext.raw bs=1 seek=$((ebr + 462)) conv=notrunc status=none
qemu-img convert -O qcow2 ext.raw ebrloop.qcow2; both 7 "extended" ebrloop.qcow2

# --- ext4: compact refuses, --info counts it as used and says so.
damaged_ext4() { # NAME WORDS
  again "$1"
  unchanged "$1" -- expect 7 "$TOOL" compact --hdd "$1"; says "$2"
  unchanged "$1" -- expect 7 "$TOOL" compact -n --hdd "$1"; says "$2"
  unchanged "$1" -- expect 0 "$TOOL" compact --info --hdd "$1"; says "$2"
  unchanged "$1" -- expect 0 "$TOOL" resize --info --hdd "$1"; says "$2"; says "Warning! The last partition cannot be resized"
}
sb=$((1048576 + 1024))
raw_disk; poke disk.raw $((sb + 1020)) deadbeef; damaged_ext4 ext4-sum.qcow2 checksum
raw_disk; debugfs -w -R "set_super_value blocks_count 99999999" "disk.raw?offset=1048576" > /dev/null 2>&1; damaged_ext4 ext4-long.qcow2 "partition 1"
raw_disk; debugfs -w -R "set_block_group 0 block_bitmap 88888888" "disk.raw?offset=1048576" > /dev/null 2>&1; damaged_ext4 ext4-group.qcow2 "partition 1"
raw_disk; debugfs -w -R "set_super_value state 2" "disk.raw?offset=1048576" > /dev/null 2>&1; damaged_ext4 ext4-errors.qcow2 e2fsck
# Growing the disk needs nothing of the file system.
expect 0 "$TOOL" resize --size 100M --hdd ext4-errors.qcow2

# --- the host
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
  chmod 755 "$WORK"; install -m 600 good.qcow2 secret.qcow2
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
  # nobody must reach the program itself
  if as_nobody test -x "$TOOL"; then
    expect 3 as_nobody "$TOOL" compact --hdd secret.qcow2; says "ermission"
    chmod 644 secret.qcow2
    unchanged secret.qcow2 -- expect 3 as_nobody "$TOOL" compact --hdd secret.qcow2; says "ermission"
    expect 0 as_nobody "$TOOL" compact --info --hdd secret.qcow2
  fi
fi

# SPDX-License-Identifier: LGPL-2.1-or-later
# The two --info verbs: the original's lines to the letter, everything else in JSON, nothing changed.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 table=gpt fs=ext4 size=256
offset=$(cat d.qcow2.offset)

unchanged d.qcow2 -- expect 0 "$TOOL" resize --hdd d.qcow2 --info
printf 'Disk information:\n\tSize:\t\t\t\t\t\t           256M\n' > wanted
head -2 out | cmp - wanted || die "the first lines are not the original's"
[ "$(wc -l < out)" = 4 ] || die "not four lines"
sed -n 3p out | grep -qP '^\tMinimum:\t\t\t\t\t {10,13}\d{2,4}M$' || die "line 3: $(sed -n 3p out)"
sed -n 4p out | grep -qP '^\tMinimum without resizing the last partition:\t           256M$' || die "line 4: $(sed -n 4p out)"
[ -z "$ERR" ] || die "unasked words: $ERR"
expect 0 "$TOOL" resize --hdd d.qcow2 --info --units K; says "        262144K"
expect 0 "$TOOL" resize --hdd d.qcow2 --info --units G; says "             1G"
expect 0 "$TOOL" resize --hdd d.qcow2 --info --units b; says "     268435456b"
expect 0 "$TOOL" resize --hdd d.qcow2 --info --units s; says "        524288s"

unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 --info
printf '        Block size:                     8\n        Total blocks:               65536\n' > wanted
head -2 out | cmp - wanted || die "the first lines are not the original's"
sed -n 3p out | grep -qP '^        Allocated blocks: {5,15}\d+$' || die "line 3"
sed -n 4p out | grep -qP '^        Used blocks: {5,20}\d+$' || die "line 4"
[ "$(sed -n 3p out | wc -c)" = 42 ] || die "columns"
allocated=$(awk '/Allocated/{print $3}' out) used=$(awk '/Used/{print $3}' out)
[ $((allocated * 4)) = "$(host_kib d.qcow2)" ] || die "allocated blocks differ from du"

# Used blocks, as dumpe2fs counts them.
qemu-img convert -O raw d.qcow2 raw
free=$(dumpe2fs -h "raw?offset=$offset" 2> /dev/null | awk -F: '/^Free blocks/{print $2+0}')
[ "$used" = $((65536 - free)) ] || die "used $used, but dumpe2fs says $((65536 - free))"

# JSON has it all.
expect 0 "$TOOL" resize --hdd d.qcow2 --info --json
is .image.virtual_size 268435456; is .image.format qcow2; is .image.cluster_size 65536
is .disk.engine native; is .disk.table.type gpt; is '.disk.contents[0].type' ext4
is '.disk.contents[0].usage.free' $((free * 4096)); is '.disk.contents[0].usage.label' data
is '.image.chain | length' 1; is .resize.size 268435456
minimum=$(json '.disk.contents[0].minimum.bytes')
[ "$(json '.disk.contents[0].minimum.because')" != null ] || die "no reason for the minimum"
# It is a size that resize2fs accepts.
dd if=raw of=part bs=1M skip=1 status=none conv=sparse; truncate -s $((254 << 20)) part
e2fsck -fy part > /dev/null 2>&1 || true
resize2fs part $((minimum / 4096)) > log 2>&1 || die "resize2fs refuses the minimum: $(cat log)"

# Nothing known on it; and neither minimum is ever above the size (the original printed 2051M of 2048M).
qemu-img create -q -f qcow2 blank.qcow2 1G
expect 0 "$TOOL" resize --hdd blank.qcow2 --info; says "No partitions found"
is_max=$(grep -c '          1024M' out); [ "$is_max" = 3 ] || die "minima of a blank disk: $OUT"
expect 0 "$TOOL" compact --hdd blank.qcow2 --info; says "No partitions found"

# A file system that no plugin knows: counted as used, and said.
truncate -s 40M x.raw; mkfs.minix -3 x.raw > /dev/null; qemu-img convert -O qcow2 x.raw x.qcow2
expect 0 "$TOOL" resize --hdd x.qcow2 --info; says "Warning! The last partition cannot be resized"; says "Unsupported partition"
expect 0 "$TOOL" compact --hdd x.qcow2 --info; is_used=$(awk '/Used/{print $3}' out)
[ "$is_used" = 10240 ] || die "unknown content must count as used"

# A raw file can be looked at.
expect 0 "$TOOL" compact --hdd raw --info --json; is .image.format raw; is '.disk.contents[0].type' ext4

# Refcounts that lag behind, as those of a running VM may: the figures stand, the estimate is missing, and it is said.
cp d.qcow2 lag.qcow2; block=$(qemu-io -f raw -c 'read -v 65536 8' d.qcow2 | awk '/^0001/{print $2$3$4$5$6$7$8$9; exit}')
dd if=/dev/zero of=lag.qcow2 bs=1 seek=$((16#$block + 12)) count=64 conv=notrunc status=none
expect 0 "$TOOL" compact --hdd lag.qcow2 --info; says "Used blocks"; says "refcount"; says_not "Can be freed"

# A chain, and a symbolic link.
qemu-img create -q -f qcow2 -b d.qcow2 -F qcow2 top.qcow2; ln -s top.qcow2 link
expect 0 "$TOOL" resize --hdd link --info --json; is '.image.chain | length' 2; is '.image.chain[1].path' "$(realpath d.qcow2)"
is '.disk.contents[0].type' ext4

# Snapshots and bitmaps are named.
qemu-img snapshot -c first d.qcow2; qemu-img bitmap --add d.qcow2 backup
expect 0 "$TOOL" compact --hdd d.qcow2 --info --json; is '.image.snapshots[0].name' first; is '.image.bitmaps[0].name' backup

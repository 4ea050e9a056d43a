# SPDX-License-Identifier: LGPL-2.1-or-later
# The verb map: its figures agree with compact and with qemu-img, no use is hidden, the picture is valid SVG.
source "$(dirname "$0")/common.sh"
unset NO_COLOR CLICOLOR_FORCE COLUMNS
make_disk d.qcow2 table=gpt fs=ext4 size=256

unchanged d.qcow2 -- expect 0 "$TOOL" map --hdd d.qcow2
[ -z "$ERR" ] || die "unasked words: $ERR"
[[ $(sed -n 1p out) =~ ^1-{79}$ ]] || die "marks: $(sed -n 1p out)"
line=$(sed -n 2p out)
[[ $line =~ ^[T#+._=]{80}$ ]] || die "cells: $line"
for sign in T '#' + . _; do
  [[ $line == *"$sign"* ]] || die "the line hides $sign: $line"
  grep -qF "$sign  " out || die "no legend for $sign"
done
[[ $line != *=* ]] || die "a backing image that there is not"
! grep -q $'\033' out || die "colours where there is no terminal"

# Every byte is something; free is what compact would give back; what is stored is what qemu-img says.
expect 0 "$TOOL" map --hdd d.qcow2 --json; cp out map.json
is '.map.bytes | add' 268435456; is '[.map.segments[].length] | add' 268435456; is .map.resolution 1
is '[.map.segments[] | select(.use == "free") | .length] | add' "$(json .map.bytes.free)"
stored=$(json '.map.bytes | .data + .free'); free=$(json .map.bytes.free)
expect 0 "$TOOL" compact --hdd d.qcow2 --info --json; is .compact.estimate.reclaimable "$free"
[ "$free" -gt 1000000 ] || die "hardly anything free: $free"
mapped=$(qemu-img map --output=json d.qcow2 | jq '[.[] | select(.data and .start >= 1048576 and .start < 267386880) | .length] | add')
[ $((stored - mapped)) -ge -1048576 ] && [ $((stored - mapped)) -le 1048576 ] || die "stored $stored, qemu-img map says $mapped"
cp d.qcow2 c.qcow2; expect 0 "$TOOL" compact --hdd c.qcow2
expect 0 "$TOOL" map --hdd c.qcow2 --json; is .map.bytes.free 0
is .map.bytes.data "$(jq .map.bytes.data map.json)"

# Width and colours.
columns() { COLUMNS=$1 expect 0 "$TOOL" map --hdd d.qcow2; [ "$(sed -n 2p out | tr -d '\n' | wc -c)" = "$2" ] || die "COLUMNS=$1"; }
columns 40 40; columns 200 200; columns 1 20; columns 99999 1000; columns nonsense 80; columns 0 80
CLICOLOR_FORCE=1 expect 0 "$TOOL" map --hdd d.qcow2; grep -q $'\033\\[' out || die "no colours though forced"
CLICOLOR_FORCE=0 expect 0 "$TOOL" map --hdd d.qcow2; ! grep -q $'\033' out || die "forced by 0"
NO_COLOR=1 CLICOLOR_FORCE=1 expect 0 "$TOOL" map --hdd d.qcow2; ! grep -q $'\033' out || die "NO_COLOR"
if command -v script > /dev/null; then
  tty() { env TERM="$1" script -qec "$TOOL map --hdd d.qcow2" /dev/null < /dev/null > tty.out 2>&1 || die "on a terminal"; }
  tty xterm; grep -q $'\033\\[' tty.out || die "no colours on a terminal"
  tty dumb; ! grep -q $'\033\\[' tty.out || die "colours on a dumb terminal"
fi
# Without the colours it is the same line.
CLICOLOR_FORCE=1 expect 0 "$TOOL" map --hdd d.qcow2
[ "$(sed -n 2p out | sed 's/\x1b\[[0-9;]*m//g')" = "$line" ] || die "the coloured line is another"

# A picture: valid, without scripts, no word of the guest or of a file name as markup, and never over an image.
svg() { xmllint --noout "$1" || die "$1 is not well-formed"; }
expect 0 "$TOOL" map --hdd d.qcow2 --svg d.svg; svg d.svg
for word in '<title>' 'not allocated' 'free, still held' 'partition 1 (ext4)'; do grep -qF "$word" d.svg || die "no $word"; done
! grep -qiE '<script|onload|href|javascript' d.svg || die "not only a picture"
widths=$(grep -oP '^<rect x="\d+" y="72" width="\K\d+(?=" height="36" fill="#)' d.svg | paste -sd+ | bc)
[ "$widths" = 960 ] || die "the disk's bar is $widths wide"
cp d.qcow2 '<b>&"x'; expect 0 "$TOOL" map --hdd '<b>&"x' --svg e.svg; svg e.svg; grep -qF '&lt;b&gt;&amp;&quot;x' e.svg || die "not escaped"
expect 0 "$TOOL" map --hdd d.qcow2 --svg d.svg; svg d.svg # again, over the old one
: > void.svg; expect 0 "$TOOL" map --hdd d.qcow2 --svg void.svg; svg void.svg
printf '<?xml version="1.0"?><svg/>' > x.svg; expect 0 "$TOOL" map --hdd d.qcow2 --svg x.svg; svg x.svg
unchanged d.qcow2 c.qcow2 -- expect 2 "$TOOL" map --hdd d.qcow2 --svg c.qcow2; says "not overwritten"
unchanged d.qcow2 -- expect 2 "$TOOL" map --hdd d.qcow2 --svg d.qcow2; says "not overwritten"
ln -s c.qcow2 link.svg; unchanged c.qcow2 -- expect 2 "$TOOL" map --hdd d.qcow2 --svg link.svg
expect 2 "$TOOL" map --hdd d.qcow2 --svg .; expect 3 "$TOOL" map --hdd d.qcow2 --svg nowhere/x.svg
[ ! -e d.svg.new ] || die "left behind"

# Several partitions, of which the small ones are not hidden either; an overlay; snapshots.
truncate -s 1G m.raw
printf 'start=2048,size=4M\nsize=500M\nsize=2M\n' | sfdisk -q --no-tell-kernel --label gpt m.raw
mkfs.ext4 -q -F -E offset=$((2048 * 512 + (4 << 20))) m.raw 500M
qemu-img convert -O qcow2 m.raw m.qcow2
expect 0 "$TOOL" map --hdd m.qcow2; [[ $(sed -n 1p out) =~ ^1\ 2-+3$ ]] || die "marks: $(sed -n 1p out)"
says "partition 3"; says "nothing that is recognised"
qemu-img create -q -f qcow2 -b d.qcow2 -F qcow2 top.qcow2; qemu-io -c 'write -q 200M 1M' top.qcow2
expect 0 "$TOOL" map --hdd top.qcow2; says "in backing image"; [[ $(sed -n 2p out) == *=* ]] || die "no backing"
expect 0 "$TOOL" map --hdd top.qcow2 --json; is .map.bytes.free 1048576
expect 0 "$TOOL" compact --hdd top.qcow2 --info --json; is .compact.estimate.reclaimable 1048576
qemu-img snapshot -c s c.qcow2; qemu-io -c 'write -q 200M 1M' c.qcow2
expect 0 "$TOOL" map --hdd c.qcow2; says "snapshots share"

# Raw, blank, a damaged table, a damaged file system: what is held counts as in use, and it is said.
qemu-img convert -O raw d.qcow2 raw; expect 0 "$TOOL" map --hdd raw --json; is '.map.bytes | add' 268435456
qemu-img create -q -f qcow2 blank.qcow2 10T
expect 0 "$TOOL" map --hdd blank.qcow2 --json; is .map.bytes.unallocated $((10 << 40)); is '.map.segments | length' 1
expect 0 "$TOOL" map --hdd blank.qcow2; [[ $(sed -n 1p out) =~ ^\.{80}$ ]] || die "a blank disk: $OUT"; says "No partitions"
dd if=/dev/urandom of=raw bs=1 seek=528 count=4 conv=notrunc status=none
dd if=/dev/urandom of=raw bs=1 seek=$(((256 << 20) - 512 + 16)) count=4 conv=notrunc status=none
expect 0 "$TOOL" map --hdd raw --json; is .map.bytes.free 0; [ "$(json '.warnings | length')" -gt 0 ] || die "no word of the damage"
qemu-img convert -O raw d.qcow2 raw; dd if=/dev/urandom of=raw bs=1 seek=$((1048576 + 1024 + 1020)) count=4 conv=notrunc status=none
expect 0 "$TOOL" map --hdd raw; says "checksum"; says_not "still held  "
head -c 100 d.qcow2 > short.qcow2; expect 7 "$TOOL" map --hdd short.qcow2
expect 2 "$TOOL" info --hdd d.qcow2 --svg x.svg; says "does not take --svg"

# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGKILL of the tool and of all that it has started, at random moments of every long verb: the image as it lies is the old
# disk or the new one with all its files (leaked clusters apart), recover tidies up, and the verb then does its work. The
# moments are spread over the time that a run takes here: 5 a verb, 20 with DISKTOOL_LONG=1.
source "$(dirname "$0")/../cli/common.sh"
RANDOM=20261123
rounds=${DISKTOOL_KILL_ROUNDS:-$(often 5 20)}
killed_inside=0 total=0

# Every process below this one, and itself; a child may start others while it is looked for, so the tool is stopped first.
kill_tree() {
  local children
  kill -STOP "$1" 2> /dev/null || return 1
  children=$(pgrep -P "$1" || true)
  kill -9 "$1" 2> /dev/null
  local child; for child in $children; do kill_tree "$child" || true; done
}
# What a dead tool has mounted must not keep anybody waiting, and the next run takes it away.
no_view_hangs() {
  timeout -k 1 20 bash -c 'grep -o "/[^ ]*disktool-view[^ ]*" /proc/self/mounts | while read -r place; do stat "$place" > /dev/null 2>&1 || true; done' ||
    die "a view of the killed tool hangs"
}
# Views of processes that are no more; other tests may have living ones.
dead_views() {
  local place pid
  grep -o "/[^ ]*disktool-view-[0-9]*[^ ]*" /proc/self/mounts | while read -r place; do
    pid=${place##*disktool-view-}; kill -0 "${pid%%-*}" 2> /dev/null || echo "$place"
  done
}

# try NAME WORDS...: the verb on a copy of $WORK/NAME (all its files), whose image is disk.qcow2.
try() {
  local name=$1 duration start round microseconds pid; shift
  fresh() { rm -rf d; cp -a "$name" d; }
  whole() { "$IMAGES/check-disk.sh" "d/$1" "$WORK/$name.sha256" "$(cat "$WORK/$name.offset")" "${2:-}"; }
  fresh; start=$(date +%s%N); expect 0 "$TOOL" "$@" --hdd d/disk.qcow2; duration=$((($(date +%s%N) - start) / 1000))
  ls d > after
  for ((round = 0; round < rounds; round++)); do
    fresh
    "$TOOL" "$@" --hdd d/disk.qcow2 > /dev/null 2>&1 & pid=$!
    microseconds=$(((RANDOM * 32768 + RANDOM) % duration))
    sleep "$(printf '%d.%06d' $((microseconds / 1000000)) $((microseconds % 1000000)))"
    kill_tree $pid && killed_inside=$((killed_inside + 1)); total=$((total + 1))
    wait $pid 2> /dev/null || true
    no_view_hangs
    whole disk.qcow2 leaks || die "$name: $* killed after $microseconds us"
    [ ! -e d/copy.qcow2 ] || whole copy.qcow2 || die "$name: the output of $* killed after $microseconds us"
    expect 0 "$TOOL" recover --hdd d/disk.qcow2
    whole disk.qcow2 || die "$name: $* killed after $microseconds us, and recovered"
    [ -z "$(ls d | grep disktool)" ] || die "$name: recover leaves $(ls d)"
    rm -f d/copy.qcow2
    expect 0 "$TOOL" "$@" --hdd d/disk.qcow2
    whole disk.qcow2 || die "$name: $* once more, after a kill at $microseconds us"
    [ ! -e d/copy.qcow2 ] || whole copy.qcow2 || die "$name: the output of $* once more"
    cmp -s <(ls d) after || die "$name: $* leaves $(ls d)"
  done
  [ -z "$(dead_views)" ] || die "$name: views of killed tools stay mounted: $(dead_views)"
}
# image NAME KEYS...: a folder with one disk.
image() {
  local name=$1; shift; mkdir "$name"
  make_disk "$name.qcow2" "$@"; mv "$name.qcow2" "$name/disk.qcow2"
  mv "$name.qcow2.sha256" "$name.sha256"; mv "$name.qcow2.offset" "$name.offset"
}
write() { qemu-io -f qcow2 -c "write -P $2 $3 $4" "$1" > /dev/null; }

image gpt size=128 big=8 small=100
try gpt resize --size 192 --resize_partition
try gpt resize --size 72 --resize_partition

image snapshots size=128 big=8 small=100
for i in 1 2 3; do qemu-img snapshot -c s$i snapshots/disk.qcow2; write snapshots/disk.qcow2 $i 120M 3M; done
try snapshots merge

# Little above a large base, and a lot above a small one.
image into_base table=mbr size=96 big=8 small=100
mv into_base/disk.qcow2 into_base/base.qcow2
(cd into_base
 qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 -o cluster_size=4k middle.qcow2 100M; write middle.qcow2 17 97M 2M
 qemu-img create -q -f qcow2 -F qcow2 -b middle.qcow2 disk.qcow2 112M; write disk.qcow2 18 101M 6M)
try into_base merge --external
image into_top table=none size=96 big=8 small=100
(cd into_top
 qemu-img convert -O raw disk.qcow2 ../whole; truncate -s 4M ../first; dd if=../whole of=../first bs=1M count=4 status=none
 rm disk.qcow2; qemu-img convert -f raw -O qcow2 ../first base.qcow2
 qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 -o cluster_size=4k middle.qcow2 100M; write middle.qcow2 17 97M 2M
 qemu-img create -q -f qcow2 -F qcow2 -b middle.qcow2 disk.qcow2 112M
 tail -c +$((4 * 1024 * 1024 + 1)) ../whole > ../rest; qemu-io -f qcow2 -c "write -s ../rest 4M 92M" disk.qcow2 > /dev/null)
try into_top merge --external

try gpt convert --plain
image full size=128 big=8 small=100 options=preallocation=falloc
write full/disk.qcow2 0 100M 20M
try full convert --expanding
try gpt convert --format qcow2 --output d/copy.qcow2 --verify
[ $((killed_inside * 3)) -ge $((total * 2)) ] || die "only $killed_inside of $total kills hit a running tool"

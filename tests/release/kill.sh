# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGKILL at random moments of compact and of resize (12 each, 50 with DISKTOOL_LONG=1): the image as it lies is whole (leaked clusters apart), and the
# next run finishes and tidies up. The moments are spread over the time that a run takes here.
source "$(dirname "$0")/../cli/common.sh"
RANDOM=20261122
rounds=${DISKTOOL_KILL_ROUNDS:-$(often 12 50)}
make_disk disk.qcow2 table=gpt size=128 big=12 small=200
offset=$(cat disk.qcow2.offset)
killed_inside=0
check() { "$IMAGES/check-disk.sh" d.qcow2 disk.qcow2.sha256 "$offset" "${1:-}"; }
for verb in compact "resize --size 3000"; do
  cp disk.qcow2 d.qcow2; start=$(date +%s%N); "$TOOL" $verb --hdd d.qcow2 > /dev/null; duration=$((($(date +%s%N) - start) / 1000))
  for ((round = 0; round < rounds; round++)); do
    cp disk.qcow2 d.qcow2
    "$TOOL" $verb --hdd d.qcow2 > /dev/null 2>&1 & pid=$!
    microseconds=$((RANDOM * 32768 + RANDOM)); microseconds=$((microseconds % duration))
    sleep "$(printf '%d.%06d' $((microseconds / 1000000)) $((microseconds % 1000000)))"
    kill -9 $pid 2> /dev/null && killed_inside=$((killed_inside + 1))
    wait $pid 2> /dev/null || true
    check leaks || die "$verb killed after $microseconds us"
    expect 0 "$TOOL" $verb --hdd d.qcow2
    [ ! -e d.qcow2.disktool-job ] || die "the record stays"
    # Whatever the first run left, the second one has put right, leaks too.
    expect 0 "$TOOL" compact --hdd d.qcow2
    check || die "$verb after a kill at $microseconds us and a second run"
  done
done
[ $((killed_inside * 5)) -ge $((rounds * 4)) ] || die "only $killed_inside of $((rounds * 2)) kills hit a running tool"

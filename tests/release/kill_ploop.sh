# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGKILL of ploop and of all that it has started, at random moments of every long verb: the next run that opens the disk for
# writing finds or makes the old disk or the new one with all its snapshots, and leaves nothing beside it; then the verb does
# its work. The moments are spread over the time that a run takes here: 2 a verb, 8 with DISKTOOL_LONG=1.
source "$(dirname "$0")/../cli/common.sh"
source "$DISKTOOL_SOURCE/tests/release/ploop_disk.sh"
RANDOM=20261128
rounds=${DISKTOOL_KILL_ROUNDS:-$(often 2 8)}
killed_inside=0 total=0 old_ones=0 new_ones=0

# Every process below this one, and itself; a child may start others while it is looked for, so each is stopped first.
kill_tree() {
  local children child
  kill -STOP "$1" 2> /dev/null || return 1
  children=$(pgrep -P "$1" || true)
  kill -9 "$1" 2> /dev/null
  for child in $children; do kill_tree "$child" || true; done
}
# kill_within MICROSECONDS WORDS...: ploop WORDS, killed at some moment of that time; $AT says at which.
kill_within() {
  local duration=$1 pid; shift
  "$PLOOP" "$@" > /dev/null 2>&1 & pid=$!
  AT=$(((RANDOM * 32768 + RANDOM) % duration))
  sleep "$(printf '%d.%06d' $((AT / 1000000)) $((AT % 1000000)))"
  kill_tree $pid && killed_inside=$((killed_inside + 1)); total=$((total + 1))
  wait $pid 2> /dev/null || true
}

declare -A looks # of what each folder holds before
# try LOOK NAME WORDS...: ploop WORDS on a copy of folder NAME, whose descriptor takes the place of @. LOOK tells what the
# disk is.
try() {
  local look=$1 name=$2 start duration round old new now; shift 2
  local words=("${@//@/d/$X}")
  rm -rf d; cp -a "$name" d; : "${looks[$name]:=$($look d)}"; old=${looks[$name]}
  start=$(date +%s%N); expect 0 "$PLOOP" "${words[@]}"; duration=$((($(date +%s%N) - start) / 1000)); new=$($look d)
  for ((round = 0; round < rounds; round++)); do
    rm -rf d; cp -a "$name" d
    kill_within $duration "${words[@]}"
    next_run d
    now=$($look d)
    if [ "$now" = "$new" ]; then new_ones=$((new_ones + 1))
    elif [ "$now" = "$old" ]; then old_ones=$((old_ones + 1))
    else die "$name: $* killed after $AT us: neither old nor new but
$now
old:
$old
new:
$new"
    fi
    tidy d "$name: $* killed after $AT us"
    if [ "$now" != "$new" ]; then
      expect 0 "$PLOOP" "${words[@]}"
      [ "$($look d)" = "$new" ] || die "$name: $* once more, after a kill at $AT us"
      tidy d "$name: $* once more"
    fi
  done
}

# Base, three snapshots and what they share.
plain_disk chain 32M 256; write chain/root.hdd 1 0 12M
for i in 1 2 3; do
  uuid=U$i; expect 0 "$PLOOP" snapshot -u "${!uuid}" chain/$X
  write "$(top chain)" $((i + 1)) $((i * 6))M 10M
done
try state chain snapshot-merge -A @
try state chain snapshot-merge -u $U2 @
try state chain snapshot-merge -u $U1 -U $U3 @
try state chain snapshot-delete -u $U2 @
try state chain snapshot-switch -u $U1 @
try state chain snapshot -u $U4 @
try state chain grow -s 20G @
try state chain convert -v 1 @

plain_disk plain 64M 256; write plain/root.hdd 1 0 10M; write plain/root.hdd 2 40M 12M
try state plain convert -f raw @
try state plain convert -v 1 @
try state plain convert -f preallocated @
cp -a plain raw; expect 0 "$PLOOP" convert -f raw raw/$X
try state raw convert -f ploop1 @

files_disk files 300M 20
try files_state files resize -s 400M @
try files_state files balloon discard @

# A new disk: whole, or not there; and init does its work where one was killed.
start=$(date +%s%N); mkdir new; expect 0 "$PLOOP" init -s 300M new/root.hdd; duration=$((($(date +%s%N) - start) / 1000))
for ((round = 0; round < rounds; round++)); do
  rm -rf d; mkdir d
  kill_within $duration init -s 300M d/root.hdd
  if [ -e d/$X ]; then next_run d
  else
    rm -f d/root.hdd # as the manual says of an image without a descriptor
    expect 0 "$PLOOP" init -s 300M d/root.hdd
  fi
  rm -f d/root.hdd.disktool-part # a second name of the image
  [[ "$(files_state d)" == "614400 "* ]] || die "init killed after $AT us: $(files_state d)"
  tidy d "init killed after $AT us"
done
[ $((killed_inside * 2)) -ge $total ] || die "only $killed_inside of $total kills hit a running program"
[ $old_ones -gt 0 ] && [ $new_ones -gt 0 ] || die "$old_ones old disks and $new_ones new ones: the kills do not reach both"
echo "$killed_inside of $total kills hit a running program; $old_ones old disks, $new_ones new ones"

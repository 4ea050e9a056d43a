# SPDX-License-Identifier: LGPL-2.1-or-later
# A device's process killed in each step of its start and of its stop: what is left is found, cleared away, and the number
# can be had again. The steps are system calls, which strace counts.
source "$(dirname "$0")/process_common.sh"
N=$FIRST
truncate -s 16M disk.img; printf 'start=2048,size=4M\nsize=4M\n' | sfdisk -q --no-tell-kernel --label gpt disk.img
config="{\"image\": \"$WORK/disk.img\", \"minor\": $N, \"threads\": 2}"
export LSAN_OPTIONS=detect_leaks=0 # which cannot be where another program traces
strace -o /dev/null true 2> err || { echo "no strace here: $(cat err)"; exit 77; }

# cleared WHAT: after a kill.
cleared() {
  local state; state=$("$CLIENT" states | jq -c ".[] | select(.minor == $N)")
  if [ -n "$state" ]; then
    soon not alive $N
    soon "$CLIENT" remove $N
  fi
  gone $N || die "$1: left: $(ls "$DISKTOOL_RUN" /dev/ploop$N* 2> /dev/null; "$CLIENT" loops)"
}

# How many steps are taken at a time, and how many of their kills there must have been. The release tree takes all of them; with
# sanitizers, which make each start slow, each third one shows what they say.
stride=1
! sanitized || stride=$(often 3 1)
starts=0
for call in mkdir openat fcntl rename fsmount clone3 ioctl mknod socket bind poll; do
  for ((k = 1; k <= 60; k += stride)); do
    # Of openat most are the program's own libraries and /sys: every fifth will do.
    [ $call != openat ] || k=$((k + 4))
    status=0; : > ready
    timeout 60 strace -o trace -e trace=$call -e inject=$call:signal=SIGKILL:when=$k -- \
      "$PLAIN" --config-fd 3 --ready-fd 4 --foreground 3< <(echo "$config") 4> ready 2> err & tracer=$!
    while kill -0 $tracer 2> /dev/null && ! grep -q '"ok"' ready; do sleep 0.02; done
    if grep -q '"ok"' ready; then # it came through: this call was not made so often
      sleep 0.1; "$CLIENT" ask $N stop > /dev/null || true # it may be killed in its next step
      wait $tracer 2> /dev/null || true; cleared "$call $k, stopped"
      break
    fi
    { wait $tracer || status=$?; } 2> /dev/null
    [ $status = 137 ] || die "$call $k: ends with $status: $(cat err ready)"
    starts=$((starts + 1))
    cleared "start, $call $k"
  done
done
echo "killed in $starts steps of the start"
[ $((starts * stride)) -gt 40 ] || die "too few of the steps were hit"

stops=0
for call in openat ioctl unlink close munmap; do
  for ((k = 1; k <= 40; k += stride)); do
    [ $call != openat ] && [ $call != close ] || k=$((k + 3))
    start "$PLAIN" "$config"; pid=$(state .pid); : > attached
    strace -f -o trace -p "$pid" -e trace=$call -e inject=$call:signal=SIGKILL:when=$k 2> attached & tracer=$!
    soon grep -qs attached attached
    status=0; "$CLIENT" ask $N stop > out 2>&1 || status=$?
    soon not running "$pid"; wait $tracer 2> /dev/null || true
    if [ $status = 0 ] && ! grep -q SIGKILL trace; then gone $N || die "left after a stop"; break; fi
    stops=$((stops + 1))
    cleared "stop, $call $k"
  done
done
echo "killed in $stops steps of the stop"
[ $((stops * stride)) -gt 20 ] || die "too few of the steps were hit"
start "$PLAIN" "$config"; ask $N stop; gone $N
no_reports

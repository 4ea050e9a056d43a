# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the tests of devices. States lie in a folder of the test's own; whatever is left at its end is unmounted
# and taken away. Needs root, FUSE and loop devices; skips without.
[ "$(id -u)" = 0 ] && [ -w /dev/fuse ] && [ -w /dev/loop-control ] || { echo "no root, no /dev/fuse or no loop devices"; exit 77; }
source "$(dirname "$0")/../cli/common.sh"
export DISKTOOL_RUN=$WORK/run
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$WORK/asan" # a daemon has no standard error
CLIENT=$DISKTOOL_BUILD/tests/device-client
PLAIN=$DISKTOOL_BUILD/tests/plain-device
# Numbers of our own, so that tests beside this one may have theirs.
FIRST=$((20000 + RANDOM % 40000))
sanitized() { grep -q 'DISKTOOL_SANITIZE:BOOL=ON' "$DISKTOOL_BUILD/CMakeCache.txt"; }

clear_devices() {
  local m n p
  for m in "$WORK"/m*; do mountpoint -q "$m" && { fsfreeze -u "$m"; umount -l "$m"; }; done
  "$CLIENT" states | jq -r '.[] | "\(.minor) \(.pid) \(.alive)"' | while read -r n p alive; do
    "$CLIENT" ask "$n" stop > /dev/null || { [ "$alive" = true ] && kill -9 "$p" && sleep 0.3; "$CLIENT" remove "$n"; }
  done
}
AT_EXIT+=(clear_devices)
no_reports() { # of sanitizers
  local f; for f in "$WORK"/asan*; do [ -e "$f" ] && die "$(cat "$f")"; done; return 0
}

start() { expect 0 "$CLIENT" start "$@"; tail -n 1 out > state; } # PROGRAM CONFIG [WORD...]
state() { jq -r ".state$1" < state; }
ask() { expect 0 "$CLIENT" ask "$@"; }
alive() { [ "$("$CLIENT" states | jq -r ".[] | select(.minor == $1) | .alive")" = true ]; }
# gone MINOR: nothing is left of it. Another test may have its loop device by now, so that is known by its name.
gone() {
  [ ! -e "$DISKTOOL_RUN/ploop$1.json" ] && [ ! -e "$DISKTOOL_RUN/ploop$1.sock" ] && ! compgen -G "/dev/ploop$1" > /dev/null &&
    ! compgen -G "/dev/ploop$1p*" > /dev/null && ! "$CLIENT" loops | grep -q "^/dev/ploop$1 "
}

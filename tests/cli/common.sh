# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every script test. $DISKTOOL_BIN is the folder of the programs, $DISKTOOL_SOURCE the checkout; both come from
# ctest. Gives $WORK, an empty folder that goes away at the end.
set -euo pipefail
: "${DISKTOOL_BIN:?run by ctest}" "${DISKTOOL_SOURCE:?run by ctest}"
TOOL=$DISKTOOL_BIN/prl_disk_tool
IMAGES=$DISKTOOL_SOURCE/tests/images
export DISKTOOL_CONFIG=/dev/null LC_ALL=C
WORK=$(mktemp -d "${TMPDIR:-/tmp}/disktool-test.XXXXXX")
AT_EXIT=()
cleanup() { local c; for c in "${AT_EXIT[@]}"; do eval "$c" 2> /dev/null || true; done; rm -rf "$WORK"; }
trap cleanup EXIT
cd "$WORK"

# How often something random is tried: $1 times, and $2 times with DISKTOOL_LONG=1 (docs/crash-tests.md).
often() { if [ "${DISKTOOL_LONG:-0}" = 0 ]; then echo "$1"; else echo "$2"; fi; }
die() { echo "FAILED: $*" >&2; exit 1; }

# expect CODE COMMAND...: runs it; its streams are in $WORK/out and $WORK/err (and $OUT, $ERR); any other exit status fails.
expect() {
  local code=$1 status=0; shift
  "$@" > out 2> err || status=$?
  OUT=$(tr -d '\0' < out) ERR=$(tr -d '\0' < err)
  [ "$status" = "$code" ] || die "exit status $status instead of $code: $*
--- standard output
$OUT
--- standard error
$ERR"
}
says() { [[ "$OUT$ERR" == *"$1"* ]] || die "does not say \"$1\" but: $OUT$ERR"; }
says_not() { [[ "$OUT$ERR" != *"$1"* ]] || die "says \"$1\": $OUT$ERR"; }
# json FILTER: of the last output. is FILTER VALUE: and compares.
json() { jq -r "$1" < out; }
is() { local value; value=$(json "$1"); [ "$value" = "$2" ] || die "$1 is $value instead of $2 in: $OUT"; }

# running PID: one of its threads is; the first may be a zombie while another still holds what the process has open.
running() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/task/"*/status; }
not() { ! "$@"; }
soon() { local end=$((SECONDS + 11)); while [ $SECONDS -lt $end ]; do "$@" && return; sleep 0.02; done; die "not within 10 s: $*"; }

# Everything by which a file could have changed.
fingerprint() { stat -c '%i %s %b %Y %Z %a %u %g' "$@"; sha256sum "$@"; }
# unchanged FILE... -- COMMAND...: the command must change neither bytes nor times nor leave anything beside them.
unchanged() {
  local files=() before after
  while [ "$1" != -- ]; do files+=("$1"); shift; done; shift
  sync "${files[@]}" # a host allocates late: blocks must not come by themselves in between
  before=$(fingerprint "${files[@]}"; ls "$(dirname "${files[0]}")" | grep -vxE "out|err")
  "$@"
  after=$(fingerprint "${files[@]}"; ls "$(dirname "${files[0]}")" | grep -vxE "out|err")
  [ "$before" = "$after" ] || die "something changed by: $*
$(diff <(echo "$before") <(echo "$after"))"
}
unmount() { "$IMAGES/unmount.sh" "$1" || die "umount $1"; }
make_disk() { "$IMAGES/make-disk.sh" "$@"; }
check_disk() { "$IMAGES/check-disk.sh" "$1" "$1.sha256" "$(cat "$1.offset")" "${2:-}"; }
host_kib() { du -k "$1" | cut -f1; }

# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line itself: help, version, every refusal in the original's words with exit status 2.
source "$(dirname "$0")/common.sh"

expect 0 "$TOOL" --version; says "prl_disk_tool (disktool)"
expect 0 "$TOOL" --help; says "Exit codes"; says "resize"; says "compact"
for verb in resize compact; do
  expect 0 "$TOOL" $verb --help; says "prl_disk_tool $verb --hdd IMAGE"; says "--dry-run"
  expect 0 "$TOOL" $verb --usage; says "Usage: prl_disk_tool $verb"
done
expect 0 "$TOOL" --usage; says "Usage:"

expect 2 "$TOOL"; says "No operation specified"
expect 2 "$TOOL" --hdd x; says "No operation specified"
expect 2 "$TOOL" frobnicate --hdd x; says "Unknown action: frobnicate "
expect 2 "$TOOL" compact --hdd x --bogus; says "unrecognised option '--bogus'"
expect 2 "$TOOL" compact --hd x; says "unrecognised option '--hd'"
expect 2 "$TOOL" compact; says "Invalid disk path"
expect 2 "$TOOL" compact --hdd ""; says "Invalid disk path"
expect 2 "$TOOL" compact --hdd x y; says 'unexpected word "y"'
expect 2 "$TOOL" resize --hdd x; says "Target size not found"
expect 2 "$TOOL" compact --hdd x --size 5G; says "does not take --size"
expect 2 "$TOOL" compact --info --hdd x --dry-run; says "does not take --dry-run"
expect 2 "$TOOL" resize --hdd x --size 5G --units M; says "does not take --units"
expect 2 "$TOOL" compact --hdd x --engine steam; says "Unknown engine"
expect 2 "$TOOL" compact --hdd x --wait=soon; says "--wait takes a whole number"
expect 2 "$TOOL" resize --hdd x --info --units Q; says "Cannot parse units"
while IFS='|' read -r size sentence; do
  expect 2 "$TOOL" resize --hdd x --size="$size"; says "$sentence"
done <<'END'
1.5G|Cannot parse size
-5M|Cannot parse size
M|Cannot parse size
5m|Unknown size unit
5GB|Unknown size unit
abc|Unknown size unit
5P|Unknown size unit
99999999999999999999999|Size too big
9999999999999T|Size too big
END
expect 2 "$TOOL" resize --hdd x --size ""; says "Non-ascii size"
expect 2 "$TOOL" resize --hdd x --size "5Гб"; says "Non-ascii size"

# In JSON the error has code, exit code and message, and is the only document.
expect 2 "$TOOL" compact --json; is .error.code usage; is .error.exit_code 2
expect 3 "$TOOL" compact --hdd missing.qcow2 --json; is .error.code not_found; is .error.exit_code 3
[ "$(json .error.message)" != null ] || die "no message"

# What the original accepts and ignores, in any order and both spellings.
make_disk d.qcow2 size=64 big=2 small=20
expect 0 "$TOOL" --comm=me compact --force -v --hdd=d.qcow2 -n
expect 0 "$TOOL" --hdd d.qcow2 --comm me -i compact; says "Block size:"
expect 0 "$TOOL" resize --hdd d.qcow2 --size 1G --resize_partition -n; says "resize2fs"
# The default unit is MiB.
expect 0 "$TOOL" resize --hdd d.qcow2 --size 65 --dry-run --json; is .new_size 68157440

# An output that cannot be written is not a success.
status=0; "$TOOL" --help > /dev/full 2> /dev/null || status=$?
[ "$status" = 1 ] || die "a full standard output went unnoticed"

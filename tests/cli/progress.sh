# SPDX-License-Identifier: LGPL-2.1-or-later
# Progress in its forms, verbosity, and being interrupted.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 size=256 big=16 small=400
cp d.qcow2 copy.qcow2; for f in sha256 offset; do cp d.qcow2.$f copy.qcow2.$f; done

expect 0 "$TOOL" compact --hdd d.qcow2 -v
says "Operation progress"; grep -q '^Operation progress 100 %$' err || die "no 100 %"; says "discard"
cp copy.qcow2 d.qcow2
"$TOOL" compact --hdd d.qcow2 --progress=5 5> lines > /dev/null
tail -1 lines | jq -e '.finished == true' > /dev/null || die "last line"
jq -es 'all(.[:-1][]; .total > 0 and .done <= .total and .percent <= 100) and length > 1' lines > /dev/null || die "lines: $(cat lines)"
cp copy.qcow2 d.qcow2
"$TOOL" compact --hdd d.qcow2 -q --progress 2> lines; head -1 lines | jq -e .step > /dev/null || die "progress on standard error"
# A reader that goes away does not end the job.
cp copy.qcow2 d.qcow2
"$TOOL" compact --hdd d.qcow2 --progress=5 5> >(exec true) > /dev/null
check_disk d.qcow2

# On a terminal: a bar; without colour when NO_COLOR says so.
cp copy.qcow2 d.qcow2
script -qec "'$TOOL' compact --hdd d.qcow2" bar < /dev/null > /dev/null; grep -q ' %' bar || die "no bar"; grep -q $'\x1b\\[32m' bar || die "no colour"
cp copy.qcow2 d.qcow2
NO_COLOR=1 script -qec "'$TOOL' compact --hdd d.qcow2" bar < /dev/null > /dev/null; grep -q ' %' bar || die "no bar"; ! grep -q $'\x1b\\[32m' bar || die "colour"

# Interrupted: 130, the image whole, nothing left beside it, and a second run finishes. The tool is stopped at its first
# punched hole, signalled, and let go on.
cp copy.qcow2 d.qcow2
cat > interrupt.sh <<'END'
ASAN_OPTIONS=detect_leaks=0 strace -f -qq -e trace=fallocate -e inject=fallocate:delay_enter=200000 -o /dev/null "$1" compact --hdd d.qcow2 > out 2> err &
tracer=$!
for ((i = 0; i < 200; i++)); do child=$(pgrep -P $tracer || true); [ -n "$child" ] && [ -e d.qcow2.disktool-job ] && break; sleep 0.05; done
sleep 0.3; [ "$2" != USR1 ] || { kill -USR1 $child; wait $tracer; exit; }; kill -"$2" $child; status=0; wait $tracer || status=$?; echo $status
END
# SIGUSR1 tells where it is, and the work goes on.
cp copy.qcow2 d.qcow2; bash interrupt.sh "$TOOL" USR1
grep -qE '^discard .*: [0-9.]+ [KMG]iB of .* %\), .* left$' err || die "SIGUSR1: $(cat err)"
check_disk d.qcow2
for signal in INT TERM; do
  cp copy.qcow2 d.qcow2
  status=$(bash interrupt.sh "$TOOL" $signal)
  [ "$status" = 130 ] || die "SIG$signal: exit status $status: $(cat err)"
  [ ! -e d.qcow2.disktool-job ] || die "the job record stays"
  check_disk d.qcow2
done
expect 0 "$TOOL" compact --hdd d.qcow2; check_disk d.qcow2
[ "$(host_kib d.qcow2)" -lt $(( $(host_kib copy.qcow2) - 20000 )) ] || die "the second run did not finish the work"

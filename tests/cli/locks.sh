# SPDX-License-Identifier: LGPL-2.1-or-later
# Locks: ours against ours, QEMU's against ours, ours against QEMU's; who holds it; waiting.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 size=64
# Looks without opening the image, which could be in the way of the one that is waited for.
wait_for_locks() { # PID
  local i; for ((i = 0; i < 300; i++)); do grep -qs 'lock:' /proc/"$1"/fdinfo/* && return; sleep 0.1; done; die "no lock by $1"
}

# A "running VM": QEMU has the image open for writing.
qemu-io -f qcow2 d.qcow2 < <(exec sleep 60 2> /dev/null) > /dev/null 2>&1 & VM=$!
AT_EXIT+=("kill $VM")
wait_for_locks $VM
for verb in compact "compact -n" "resize --size 100" "resize --size 100 --dry-run"; do
  unchanged d.qcow2 -- expect 4 "$TOOL" $verb --hdd d.qcow2
  says "The specified disk image \"d.qcow2\" is locked by another process"; says "$VM"; says "qemu-io"
done
unchanged d.qcow2 -- expect 4 "$TOOL" compact --hdd d.qcow2 --json; is .error.code locked
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 --info; says "in use"; says "$VM"
unchanged d.qcow2 -- expect 0 "$TOOL" resize --hdd d.qcow2 --info; says "in use"
# Waiting in vain, and until it is free.
start=$SECONDS; expect 4 "$TOOL" compact --hdd d.qcow2 --wait=1; [ $((SECONDS - start)) -ge 1 ] || die "did not wait"
( sleep 1; kill $VM ) &
expect 0 "$TOOL" compact --hdd d.qcow2 --wait=30
check_disk d.qcow2

# flock, as the original and other disktools take it.
flock -x d.qcow2 sleep 60 & HOLDER=$!
AT_EXIT+=("pkill -P $HOLDER; kill $HOLDER")
wait_for_locks $HOLDER
expect 4 "$TOOL" compact --hdd d.qcow2 --info; says "locked by another process"
expect 4 "$TOOL" compact --hdd d.qcow2
pkill -P $HOLDER; wait $HOLDER 2> /dev/null || true
flock -s d.qcow2 sleep 5 & HOLDER=$!
wait_for_locks $HOLDER
expect 0 "$TOOL" compact --hdd d.qcow2 --info                             # many readers
expect 4 "$TOOL" compact --hdd d.qcow2 -n                                 # one writer, also to look
pkill -P $HOLDER; wait $HOLDER 2> /dev/null || true

# A base that a VM writes to is nothing to compact an overlay on; reading is said to be of a moment.
make_disk base.qcow2 size=64
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-io -f qcow2 base.qcow2 < <(exec sleep 60 2> /dev/null) > /dev/null 2>&1 & VM=$!
AT_EXIT+=("kill $VM")
wait_for_locks $VM
expect 4 "$TOOL" compact --hdd top.qcow2; says "base.qcow2"
kill $VM; wait $VM 2> /dev/null || true
expect 0 "$TOOL" compact --hdd top.qcow2 --info

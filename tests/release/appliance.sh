# SPDX-License-Identifier: LGPL-2.1-or-later
# The appliance as cross-check of the native way, and for a journal that must be replayed. Three boots, 15-40 s each without KVM.
source "$(dirname "$0")/../cli/common.sh"
make_disk d.qcow2 size=256 big=16; cp d.qcow2 native.qcow2; cp d.qcow2.sha256 native.qcow2.sha256; cp d.qcow2.offset native.qcow2.offset

expect 0 "$TOOL" compact --hdd d.qcow2 --info --json; native_used=$(json .compact.used)
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 --info --engine appliance --json
is .disk.engine appliance; is '.disk.contents[0].type' ext4
appliance_used=$(json .compact.used)
# The kernel's statfs leaves a few reserved blocks out of "free".
difference=$(((appliance_used - native_used) / 1024)); [ ${difference#-} -le 20480 ] || die "used: native $native_used, appliance $appliance_used"

expect 0 "$TOOL" compact --hdd native.qcow2
expect 0 "$TOOL" compact --hdd d.qcow2 --engine appliance -v; says "appliance"
check_disk d.qcow2; check_disk native.qcow2
[ $(( $(host_kib native.qcow2) * 100 )) -le $(( $(host_kib d.qcow2) * 101 )) ] || die "native left $(host_kib native.qcow2) KiB, the appliance $(host_kib d.qcow2)"

# A journal to replay: refused natively, done by the appliance otherwise, and the plan says so.
qemu-img convert -O raw d.qcow2 dirty.raw
mkdir m; mount -o loop,offset=$(cat d.qcow2.offset) dirty.raw m
dd if=/dev/urandom of=m/more bs=1M count=20 status=none; sync -f m; rm m/more; touch m/unclean; sync -f m
cp --sparse=always dirty.raw copy.raw; unmount m
qemu-img convert -O qcow2 copy.raw dirty.qcow2; cp d.qcow2.offset dirty.qcow2.offset; cp d.qcow2.sha256 dirty.qcow2.sha256
unchanged dirty.qcow2 -- expect 7 "$TOOL" compact --hdd dirty.qcow2 --engine native; says "journal"
unchanged dirty.qcow2 -- expect 0 "$TOOL" compact --hdd dirty.qcow2 --dry-run; says "appliance"; says "journal"
unchanged dirty.qcow2 -- expect 0 "$TOOL" compact --hdd dirty.qcow2 --info; says "Filesystem is dirty. The estimates may be inaccurate"
before=$(host_kib dirty.qcow2)
expect 0 "$TOOL" compact --hdd dirty.qcow2
[ "$(host_kib dirty.qcow2)" -lt $((before - 15000)) ] || die "the appliance freed nothing"
check_disk dirty.qcow2

# SPDX-License-Identifier: LGPL-2.1-or-later
# compact on real disks: plan, act, nothing left to do, nothing lost.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 table=gpt fs=ext4 size=256

# The plan, under the same lock, changes nothing.
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 --dry-run; says "discard"; says "native"
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 -n --json
is .dry_run true; is '.plan.steps | length' 1; is '.plan.steps[0].kind' qcow2.free-clusters; is '.plan.steps[0].engine' native
planned=$(json .estimate.reclaimable)

before=$(host_kib d.qcow2)
expect 0 "$TOOL" compact --hdd d.qcow2 --json
is .result.changed true
after=$(host_kib d.qcow2)
[ "$(json .result.freed)" = $(((before - after) * 1024)) ] || die "freed is not what du says"
[ "$planned" = "$(json .result.freed)" ] || die "planned $planned, freed $(json .result.freed)"
# 12 MiB of big files and half of the small ones are gone.
[ $((before - after)) -ge 12000 ] || die "only $((before - after)) KiB came back"
check_disk d.qcow2
[ ! -e d.qcow2.disktool-job ] || die "the job record stays"

# Twice frees nothing the second time, and does not even touch the file.
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2; says "nothing to give back"
unchanged d.qcow2 -- expect 0 "$TOOL" compact --hdd d.qcow2 --json; is .result.changed false; is '.plan.steps | length' 0
expect 0 "$TOOL" compact --hdd d.qcow2 -q; [ -z "$OUT$ERR" ] || die "not quiet"

# Owner, mode and the inode stay; a link stays a link.
make_disk e.qcow2 size=64; chmod 640 e.qcow2; chown 1234:4321 e.qcow2; ln -s e.qcow2 link.qcow2
inode=$(stat -c '%i %a %u %g' e.qcow2)
expect 0 "$TOOL" compact --hdd link.qcow2
[ "$(stat -c '%i %a %u %g' e.qcow2)" = "$inode" ] || die "the file is another one"
[ -L link.qcow2 ] || die "the link was replaced"
check_disk e.qcow2

# A chain: only the top's own clusters, the base is not touched, what the guest reads in files stays.
make_disk base.qcow2 size=64
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img convert -O raw base.qcow2 r; debugfs -w -R "rm big/f0.bin" "r?offset=$(cat base.qcow2.offset)" > /dev/null 2>&1
debugfs -w -R "rm big/f2.bin" "r?offset=$(cat base.qcow2.offset)" > /dev/null 2>&1
qemu-img rebase -u -f qcow2 -b "" top.qcow2; qemu-img convert -O qcow2 -B base.qcow2 -F qcow2 r top.qcow2
grep -v 'big/f[02]' base.qcow2.sha256 > top.qcow2.sha256; cp base.qcow2.offset top.qcow2.offset
# Old data in the top where files were: discarding it must not bring the base's back into files.
qemu-io -f qcow2 -c 'write -P 7 40M 8M' top.qcow2 > /dev/null
"$TOOL" compact --hdd top.qcow2 --info > /dev/null
unchanged base.qcow2 -- true
sum=$(sha256sum base.qcow2)
expect 0 "$TOOL" compact --hdd top.qcow2
[ "$sum" = "$(sha256sum base.qcow2)" ] || die "the base changed"

# Internal snapshots: what they share stays, and is said.
make_disk s.qcow2 size=64
qemu-img convert -O raw s.qcow2 r2; virtual=$(sha256sum < r2)
qemu-img snapshot -c keep s.qcow2
expect 0 "$TOOL" compact --hdd s.qcow2 --json; is .result.freed 0
[ "$(json .estimate.shared_with_snapshots)" -gt 0 ] || die "shared clusters are not counted"
check_disk s.qcow2
qemu-img snapshot -a keep s.qcow2; qemu-img convert -O raw s.qcow2 r3
[ "$(sha256sum < r3)" = "$virtual" ] || die "the snapshot lost something"

# Bitmaps and other options stay.
make_disk b.qcow2 size=64; qemu-img bitmap --add b.qcow2 backup
expect 0 "$TOOL" compact --hdd b.qcow2
qemu-img info --output=json b.qcow2 | jq -e '."format-specific".data.bitmaps[0].name == "backup"' > /dev/null || die "the bitmap is lost"
check_disk b.qcow2

# Nothing that is understood on it: an error, not a success that did nothing.
qemu-img create -q -f qcow2 blank.qcow2 64M
unchanged blank.qcow2 -- expect 6 "$TOOL" compact --hdd blank.qcow2; says "No partitions found"
truncate -s 40M x.raw; mkfs.minix -3 x.raw > /dev/null; qemu-img convert -O qcow2 x.raw x.qcow2
unchanged x.qcow2 -- expect 6 "$TOOL" compact --hdd x.qcow2; says "minix"; says "--engine appliance"

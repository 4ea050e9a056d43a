# SPDX-License-Identifier: LGPL-2.1-or-later
# What a command does not need is not loaded: the loader itself says so.
source "$(dirname "$0")/common.sh"
make_disk d.qcow2 size=64
loaded() { LD_DEBUG=libs LD_DEBUG_OUTPUT=$WORK/ld "$TOOL" "$@" > out 2> err || die "$* failed: $(cat err)"; cat ld.*; rm -f ld.*; }
for verb in "compact --info" "resize --info" "compact -n" "compact" "resize --size 100"; do
  loaded $verb --hdd d.qcow2 > libraries
  ! grep -q guestfs libraries || die "$verb loads libguestfs"
  ! grep -q 'engines/appliance' libraries || die "$verb loads the appliance engine"
  grep -q 'plugins/qcow2/qcow2.so' libraries || die "$verb does not load qcow2"
  ! grep -q 'plugins/raw/' libraries || die "$verb loads raw"
done
loaded --version > libraries; ! grep -q 'plugins/' libraries || die "--version loads plugins"
loaded --list-plugins > libraries; ! grep -q 'plugins/.*\.so' libraries || die "--list-plugins loads plugins"
loaded resize --info --hdd d.qcow2 > libraries; grep -q 'plugins/fs-ext4/fs-ext4.so' libraries || die "fs-ext4 is not loaded"
qemu-img create -q -f qcow2 blank.qcow2 1M
loaded resize --info --hdd blank.qcow2 > libraries; ! grep -q 'fs-ext4.so' libraries || die "fs-ext4 is loaded for a disk without one"
check_disk d.qcow2

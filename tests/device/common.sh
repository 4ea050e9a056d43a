# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of devices: as root, with real loop devices and mounts. What a test has started is taken down at its end,
# however that comes: mounts below $WORK, devices of its own run folder, their processes.
source "$(dirname "$0")/../cli/common.sh"
PLOOP=$DISKTOOL_BIN/ploop
X=DiskDescriptor.xml
U1={11111111-1111-1111-1111-111111111111} U2={22222222-2222-2222-2222-222222222222} U3={33333333-3333-3333-3333-333333333333}
TOP={5fbaabe3-6958-40ff-92a7-860e329aab41}
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
[ -w /dev/loop-control ] && [ -w /dev/fuse ] || skip "no loop devices, or no FUSE"
[ -x "$DISKTOOL_BIN/../libexec/disktool/ploop-device" ] || skip "ploop-device is not built"
chmod 755 "$WORK"
export DISKTOOL_RUN=$WORK/run # others may run devices at the same time

mounts_below() { awk -v w="$1/" '{ gsub(/\\040/, " ", $2); if (index($2 "/", w) == 1) print $2 }' /proc/self/mounts | tac; }
take_down() {
  local point state pid loop
  cd /
  # A file system that is frozen would stay in the kernel, with its device, when nobody can name it any more.
  while read -r point; do fsfreeze -u "$point"; umount -l "$point"; done < <(mounts_below "$WORK")
  for state in "$DISKTOOL_RUN"/ploop*.json; do
    [ -e "$state" ] || continue
    "$PLOOP" stop -d "$(jq -r .node "$state")" && continue
    pid=$(jq -r .pid "$state") loop=$(jq -r .loop "$state")
    [ "$(readlink "/proc/$pid/exe" 2> /dev/null)" = "$(realpath "$DISKTOOL_BIN/../libexec/disktool/ploop-device")" ] && kill -KILL "$pid"
    losetup -d "$loop"
    rm -f "$(jq -r .node "$state")" $(jq -r '.partitions[].node' "$state")
  done
}
AT_EXIT+=(take_down)

# device_of DISK: the number of the device that was mounted last of that disk or image; its state file is $(state N).
state() { echo "$DISKTOOL_RUN/ploop$1.json"; }
field() { jq -r ".$2" "$(state "$1")"; }
minor() { json .device | tr -dc 0-9; } # of the last --json output
# disk NAME: a folder with an ext4 disk of 300 MiB; quick, since it is made once.
disk() {
  [ -d "$WORK/pattern" ] || (mkdir "$WORK/pattern"; cd "$WORK/pattern"; "$PLOOP" init -s 300M root.hdd > /dev/null)
  cp -r --sparse=never "$WORK/pattern" "$1" # check takes holes for damage
}
# mounted FOLDER, and not.
mounted() { mountpoint -q "$1" || die "$1 is not mounted"; }
not_mounted() { ! mountpoint -q "$1" || die "$1 is mounted"; }
nothing_left() { # of any device
  expect 0 "$PLOOP" list -a; [ -z "$OUT" ] || die "devices are left: $OUT"
  [ -z "$(ls "$DISKTOOL_RUN" 2> /dev/null | grep -v '\.lock$')" ] || die "left in the run folder: $(ls "$DISKTOOL_RUN")"
}
in_use() { [ "$(od -An -tx4 -j44 -N4 "$1" | tr -d ' ')" = 746f6e59 ]; }
closed() { ! in_use "$1" || die "$1 bears the in-use mark"; }

# SPDX-License-Identifier: LGPL-2.1-or-later
# File systems that must not be interpreted as they lie, and encrypted ones: refused at once, by name, with nothing changed.
source "$(dirname "$0")/common.sh"
refused() { # CODE WORDS IMAGE
  local verb; for verb in "compact --engine native" "resize --size 100 --resize_partition" "resize --size 600 --resize_partition"; do
    unchanged "$3" -- expect "$1" timeout 20 "$TOOL" $verb --hdd "$3"; says "$2"
  done
}

# --- NTFS that ntfsresize has marked for chkdsk
"$IMAGES/make-fs-disk.sh" ntfs.qcow2 ntfs gpt 300
expect 0 "$TOOL" resize --hdd ntfs.qcow2 --size 200 --resize_partition; says "Windows"
refused 7 "partition 2 (ntfs)" ntfs.qcow2
expect 0 "$TOOL" resize --hdd ntfs.qcow2 --info; says "Filesystem is dirty. The estimates may be inaccurate"
"$IMAGES/check-fs-disk.sh" ntfs.qcow2 ntfs.qcow2.sha256 ntfs || die "ntfs is damaged"

# --- XFS and ext4 as a VM that was cut off leaves them: copied while they are mounted
for fs in xfs ext4; do
  truncate -s 400M $fs.raw; mkfs.$fs -q $fs.raw; mkdir -p m
  mount -o loop $fs.raw m; AT_EXIT+=("umount $WORK/m")
  head -c 3000000 /dev/urandom > m/file; sync -f m
  cp --sparse=always $fs.raw live.raw; unmount m
  qemu-img convert -O qcow2 live.raw live-$fs.qcow2
  for verb in "compact --engine native" "resize --size 300 --resize_partition"; do
    unchanged live-$fs.qcow2 -- expect 7 timeout 20 "$TOOL" $verb --hdd live-$fs.qcow2; says "$fs"
  done
  # Without interpreting it: larger is safe.
  expect 0 "$TOOL" resize --hdd live-$fs.qcow2 --size 500
  expect 0 "$TOOL" info --hdd live-$fs.qcow2
done

# --- LUKS: at once, where the original hangs for minutes
"$IMAGES/make-fs-disk.sh" luks.qcow2 none gpt 64
qemu-img convert -O raw luks.qcow2 luks.raw
truncate -s 40M crypt; echo secret | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 crypt -
dd if=crypt of=luks.raw bs=1M seek=10 conv=notrunc status=none; qemu-img convert -O qcow2 luks.raw luks.qcow2
unchanged luks.qcow2 -- expect 6 timeout 5 "$TOOL" compact --hdd luks.qcow2; says LUKS
unchanged luks.qcow2 -- expect 8 timeout 5 "$TOOL" resize --hdd luks.qcow2 --size 40 --resize_partition; says LUKS
expect 0 timeout 5 "$TOOL" resize --hdd luks.qcow2 --size 128 --resize_partition; says "the disk alone is resized"
expect 0 timeout 5 "$TOOL" resize --hdd luks.qcow2 --info; says "Unsupported partition"

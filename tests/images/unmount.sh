#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# unmount.sh FOLDER: umount, and back when the file system has really ended and all of it is in the file under its loop
# device, or under ntfs-3g. umount(8) is back before where another namespace holds a copy of the mount, which every
# sandbox does for a moment while bubblewrap makes it; the superblock is written after that, over what a test put there.
set -euo pipefail
source=$(findmnt -no SOURCE --mountpoint "$1")
source=${source%%\[*} # of btrfs with its subvolume
file=
case $source in /dev/loop*) [ "$(losetup -nO AUTOCLEAR "$source" | tr -d " ")" = 0 ] || file=$(losetup -nO BACK-FILE "$source") ;; esac
held() {
  [ -e "/sys/fs/ext4/${source##*/}" ] || [ -e "/sys/fs/xfs/${source##*/}" ] && return
  if [ -n "$file" ]; then losetup -j "$file" | grep -q "^$source:"
  elif [ -f "$source" ]; then [ -n "$(find /proc/[0-9]*/fd -lname "$source" -print -quit 2> /dev/null)" ]
  else false; fi
}
umount "$1"
end=$((SECONDS + 60))
while held; do
  [ $SECONDS -lt $end ] || { echo "unmount.sh: $source is held by somebody for a minute after umount $1" >&2; exit 1; }
  sleep 0.02
done

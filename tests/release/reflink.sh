# SPDX-License-Identifier: LGPL-2.1-or-later
# On a host's file system that can share blocks between files (XFS), a merge shares them: into new clusters of the lower
# image, over old ones, and into a raw base. The child stays under another name, so that what is shared can be told.
source "$(dirname "$0")/../cli/common.sh"
PLOOP=$DISKTOOL_BIN/ploop
X=DiskDescriptor.xml
truncate -s 2G xfs.raw; mkfs.xfs -q -m reflink=1 xfs.raw
mkdir host; mount -o loop xfs.raw host; AT_EXIT+=("umount $WORK/host")
mkdir host/d; AT_EXIT=("cd $WORK" "${AT_EXIT[@]}"); cd host/d
# MiB of the file that it shares with another
shared() { filefrag -v "$1" | awk '/shared/ { sub(":", "", $6); blocks += $6 } END { printf "%d\n", blocks / 256 }'; }
write() { qemu-io -f parallels -c "write -P $2 $3 $4" "$1" > /dev/null; sync "$1"; }
sum() { "$TOOL" convert -q --hdd . --format raw --output "$WORK/content" > /dev/null; sha256sum < "$WORK/content"; rm "$WORK/content"; }

merge() { # WHAT
  local content child
  expect 0 "$PLOOP" snapshot $X
  child=$("$PLOOP" snapshot-list -H -o fname $X | tail -1 | tr -d ' ')
  write "$child" 2 50M 150M # 50 MiB that the base has, 100 MiB that it has not
  ln "$child" ../child
  content=$(sum)
  expect 0 "$PLOOP" snapshot-merge $X
  [ "$(sum)" = "$content" ] || die "$1: the merge changes the disk"
  sync root.hdd
  [ "$(shared root.hdd)" -ge 149 ] || die "$1: the merge has copied: $(shared root.hdd) of 150 MiB are shared"
  rm ../child
  [ "$(sum)" = "$content" ] || die "$1: the disk needs the child still"
}
expect 0 "$PLOOP" init -s 256M -t none root.hdd; write root.hdd 1 0 100M
merge "into an image"
expect 0 "$PLOOP" check -f -c root.hdd
expect 0 "$PLOOP" convert -f raw $X
merge "into a raw base"
cd "$WORK"

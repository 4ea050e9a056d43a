# SPDX-License-Identifier: LGPL-2.1-or-later
# File system x table x work: compact, grow with the partition, shrink to the printed minimum with the partition, and a size
# 1 MiB below that refused; every state checked by qemu-img, sgdisk, sfdisk, the file system's own checker and the sha256 of
# every file. What a file system cannot do must be refused by name. docs/matrix.md has the table.
source "$(dirname "$0")/../cli/common.sh"
SIZE=${MATRIX_SIZE:-400}
check() { "$IMAGES/check-fs-disk.sh" d.qcow2 d.qcow2.sha256 "$fs" || die "$fs on $table: after $1"; }
virtual() { qemu-img info --output=json d.qcow2 | jq '."virtual-size" / 1048576'; }
partition_end() { # of the last one, MiB
  qemu-img convert -O raw d.qcow2 raw; sfdisk -J raw 2> /dev/null | jq '.partitiontable.partitions[-1] | (.start + .size) / 2048'; rm raw
}

minimum() { # the "Minimum" of resize --info in MiB
  expect 0 "$TOOL" resize --hdd d.qcow2 --info --json; json '.resize.minimum / 1048576'
}

one() { # FS TABLE: everything
  fs=$1 table=$2
  "$IMAGES/make-fs-disk.sh" d.qcow2 "$fs" "$table" "$SIZE" > /dev/null 2> make.log || die "make $fs $table: $(cat make.log)"
  cp d.qcow2 first.qcow2
  local before; before=$(host_kib d.qcow2)
  case $fs in
    swap) ;; # all of it is free already
    *) expect 0 "$TOOL" compact --hdd d.qcow2
      [ "$(host_kib d.qcow2)" -lt $((before - 8000)) ] || die "$fs $table: compact frees only $((before - $(host_kib d.qcow2))) KiB"
      check compact ;;
  esac
  cp first.qcow2 d.qcow2
  case $fs in
    vfat) # cannot follow: the disk alone does, and that is said
      expect 0 "$TOOL" resize --hdd d.qcow2 --size $((SIZE * 2)) --resize_partition; says "the disk alone is resized"; check "growing the disk"
      expect 0 "$TOOL" resize --hdd d.qcow2 --size $((SIZE + 2)) --resize_partition; check "shrinking the disk again"
      expect 8 "$TOOL" resize --hdd d.qcow2 --size $((SIZE / 2)) --resize_partition; says "minimum:"; check "a refused shrink"
      return ;;
  esac
  expect 0 "$TOOL" resize --hdd d.qcow2 --size $((SIZE * 2)) --resize_partition; check "growing"
  [ "$(virtual)" = $((SIZE * 2)) ] || die "$fs $table: the disk has $(virtual) MiB"
  case $table in
    gpt) [ "$(partition_end)" = $((SIZE * 2 - 1)) ] || die "$fs $table: the partition ends at $(partition_end) MiB" ;;
    mbr|logical) [ "$(partition_end)" = $((SIZE * 2)) ] || die "$fs $table: the partition ends at $(partition_end) MiB" ;;
  esac
  cp first.qcow2 d.qcow2
  local least; least=$(minimum)
  case $fs in
    xfs) [ "$least" = "$SIZE" ] || die "xfs $table: minimum $least"
      expect 8 "$TOOL" resize --hdd d.qcow2 --size $((SIZE - 1)) --resize_partition; says "cannot be made smaller"; check "a refused shrink"
      return ;;
  esac
  [ "$least" -lt "$SIZE" ] || die "$fs $table: minimum $least of $SIZE"
  expect 8 "$TOOL" resize --hdd d.qcow2 --size $((least - 1)) --resize_partition
  says "minimum: $((least * 1048576))"
  cmp -s first.qcow2 d.qcow2 || die "$fs $table: a refused resize changed the image"
  expect 0 "$TOOL" resize --hdd d.qcow2 --size "$least" --resize_partition; check "shrinking to the minimum"
  [ "$(virtual)" = "$least" ] || die "$fs $table: the disk has $(virtual) MiB instead of $least"
  case $fs in
    ntfs) return ;; # marked for chkdsk by ntfsresize, so nothing more is done to it before Windows has looked
  esac
  # Again: nothing to do.
  expect 0 "$TOOL" resize --hdd d.qcow2 --size "$least" --resize_partition; check "the same once more"
}

count=0
for pair in ${MATRIX:-ext2/gpt ext3/mbr ext4/gpt ext4/mbr ext4/logical ext4/none ntfs/gpt ntfs/mbr ntfs/logical ntfs/none \
    swap/gpt swap/logical vfat/gpt vfat/mbr}; do
  one "${pair%/*}" "${pair#*/}"; count=$((count + 1))
done
[ "$count" -ge 1 ] || die "nothing was tried"

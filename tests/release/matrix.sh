# SPDX-License-Identifier: LGPL-2.1-or-later
# ext2, ext3, ext4 x MBR, GPT, logical, whole disk x 1 KiB, 4 KiB blocks x 64 KiB, 2 MiB clusters: compacted and grown, with
# qemu-img check, e2fsck -fn, sgdisk -v clean and every file's sha256 the same; and the free map proven by filling it. Every
# second combination, in which each pair of properties occurs; all of them with DISKTOOL_LONG=1.
source "$(dirname "$0")/../cli/common.sh"
count=0 every=$(often 2 1)
for fs in ext2 ext3 ext4; do for table in mbr gpt logical none; do for block in 1024 4096; do for cluster in 65536 2097152; do
  # The sum of the four numbers is even.
  case $fs in ext3) parity=1 ;; *) parity=0 ;; esac
  case $table in gpt|none) parity=$((parity + 1)) ;; esac
  [ $block = 1024 ] || parity=$((parity + 1)); [ $cluster = 65536 ] || parity=$((parity + 1))
  [ $((parity % every)) = 0 ] || continue
  make_disk d.qcow2 fs=$fs table=$table block=$block cluster=$cluster size=96 big=6 small=60
  before=$(host_kib d.qcow2)
  expect 0 "$TOOL" compact --hdd d.qcow2
  [ $cluster != 65536 ] || [ "$(host_kib d.qcow2)" -lt $((before - 10000)) ] || die "$fs $table $block $cluster: frees $((before - $(host_kib d.qcow2))) KiB"
  check_disk d.qcow2 || die "after compact: $fs $table $block $cluster"
  expect 0 "$TOOL" resize --hdd d.qcow2 --size 300
  check_disk d.qcow2 || die "after resize: $fs $table $block $cluster"
  expect 0 "$TOOL" compact --hdd d.qcow2
  check_disk d.qcow2 || die "after the second compact: $fs $table $block $cluster"
  count=$((count + 1))
done; done; done; done
[ $count = $((48 / every)) ] || die "only $count combinations"

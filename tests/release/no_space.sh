# SPDX-License-Identifier: LGPL-2.1-or-later
# A host that is nearly full, at 8 levels (20 with DISKTOOL_LONG=1), on ext4 and on tmpfs: each verb either fits, and does its work, or ends with exit
# code 5 and leaves the image as it was, sound, with nothing beside it. Between the two nothing is allowed.
source "$(dirname "$0")/../cli/common.sh"
levels=${DISKTOOL_SPACE_LEVELS:-$(often 8 20)}
mkdir host images
mounted() { AT_EXIT+=("umount -l $WORK/host"); }

image() { # NAME KEYS...
  local name=$1; shift; mkdir "images/$name"
  make_disk "$name.qcow2" "$@"; mv "$name.qcow2" "images/$name/disk.qcow2"
  mv "$name.qcow2.sha256" "$name.sha256"; mv "$name.qcow2.offset" "$name.offset"
}
available() { echo $(($(stat -f -c '%a * %S' host))); }
# Fills the host until so many bytes are left. A file of many blocks takes a few for its own map.
leave() {
  local excess
  rm -f host/filler; sync -f host
  excess=$(($(available) - $1)); [ $excess -gt 0 ] || die "the host file system is too small for this test"
  fallocate -l $excess host/filler 2> /dev/null || head -c $excess /dev/zero > host/filler 2> /dev/null || true
  while [ "$(available)" -gt $(($1 + 65536)) ]; do head -c $(($(available) - $1)) /dev/zero 2> /dev/null >> host/filler || break; done
}
state() { (cd host/d && for f in *; do echo "$f $(stat -c %i "$f")"; done; for f in *.qcow2; do qemu-img check -q "$f" || echo "$f unsound"; done); }
content() { qemu-img convert -O raw "$1" now; openssl dgst -sha256 now; } # five times as fast as sha256sum

# try NAME MOST WORDS...: with 0 to MOST MiB of room.
try() {
  local name=$1 most=$2 level before sum status fits=0 refused=0; shift 2
  sum=$(content "images/$name/disk.qcow2")
  for ((level = 0; level < levels; level++)); do
    rm -rf host/d host/filler; cp -a --sparse=always "images/$name" host/d
    before=$(state)
    leave $((most * 1048576 * level / (levels - 1)))
    status=0; "$TOOL" "$@" --hdd host/d/disk.qcow2 > out 2> err || status=$?
    rm -f host/filler
    case $status in
      0) fits=$((fits + 1))
         "$IMAGES/check-disk.sh" host/d/disk.qcow2 "$WORK/$name.sha256" "$(cat "$WORK/$name.offset")" || die "$kind, level $level: $* is done, but $(cat err)" ;;
      5) refused=$((refused + 1))
         [ "$(state)" = "$before" ] || die "$kind, level $level: $* leaves $(state) instead of $before: $(cat err)"
         [ "$(content host/d/disk.qcow2)" = "$sum" ] || die "$kind, level $level: $* has changed the disk: $(cat err)" ;;
      *) die "$kind, level $level: $* ends with $status: $(cat err)" ;;
    esac
    [ -z "$(ls host/d | grep disktool)" ] || die "$kind, level $level: $* leaves $(ls host/d)"
  done
  [ $fits -gt 0 ] && [ $refused -gt 0 ] || die "$kind: $*: $fits fit, $refused were refused: the levels do not reach both"
}
write() { qemu-io -f qcow2 -c "write -P $2 $3 $4" "$1" > /dev/null; }

image gpt size=64 big=8 small=100
image chain table=mbr size=48 big=4 small=100
(cd images/chain; mv disk.qcow2 base.qcow2
 qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 middle.qcow2 56M; write middle.qcow2 17 49M 6M
 qemu-img create -q -f qcow2 -F qcow2 -b middle.qcow2 disk.qcow2 64M; write disk.qcow2 18 57M 5M)

for kind in ext4 tmpfs; do
  if [ $kind = ext4 ]; then
    truncate -s 220M host.raw; mkfs.ext4 -q -F -m 0 -O ^has_journal host.raw; mount -o loop host.raw host
  else
    mount -t tmpfs -o size=200M tmpfs host
  fi
  mounted
  try gpt 60 resize --size 34 --resize_partition
  try gpt 2 resize --size 200
  try gpt 60 resize --size 400 --resize_partition
  try chain 60 merge --external
  try gpt 60 convert --plain
  umount host
done

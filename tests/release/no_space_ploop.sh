# SPDX-License-Identifier: LGPL-2.1-or-later
# A host that is nearly full, at 5 levels (10 with DISKTOOL_LONG=1), on ext4 and on tmpfs: each verb of ploop either fits, and does its work, or says
# that there is no room and leaves the disk with all its snapshots as it was, with nothing beside it.
source "$(dirname "$0")/../cli/common.sh"
source "$DISKTOOL_SOURCE/tests/release/ploop_disk.sh"
levels=${DISKTOOL_SPACE_LEVELS:-$(often 5 10)}
mkdir host images

available() { echo $(($(stat -f -c '%a * %S' host))); }
# Fills the host until so many bytes are left. A file of many blocks takes a few for its own map.
leave() {
  local excess
  rm -f host/filler; sync -f host
  excess=$(($(available) - $1)); [ $excess -gt 0 ] || die "the host file system is too small for this test"
  fallocate -l $excess host/filler 2> /dev/null || head -c $excess /dev/zero > host/filler 2> /dev/null || true
  while [ "$(available)" -gt $(($1 + 65536)) ]; do head -c $(($(available) - $1)) /dev/zero 2> /dev/null >> host/filler || break; done
}

declare -A looks # of what each folder holds before
# try LOOK NAME MOST WORDS...: as in kill_ploop.sh, with 0 to MOST MiB of room.
try() {
  local look=$1 name=$2 most=$3 level old new now status fits=0 refused=0; shift 3
  local words=("${@//@/host/d/$X}")
  rm -rf host/d host/filler; cp -a --sparse=never "images/$name" host/d; : "${looks[$name]:=$($look host/d)}"; old=${looks[$name]}
  expect 0 "$PLOOP" "${words[@]}"; new=$($look host/d)
  for ((level = 0; level < levels; level++)); do
    rm -rf host/d host/filler; cp -a --sparse=never "images/$name" host/d
    leave $((most * 1048576 * level / (levels - 1)))
    status=0; "$PLOOP" "${words[@]}" > out 2> err || status=$?
    cp err said
    rm -f host/filler
    next_run host/d
    now=$($look host/d)
    if [ $status = 0 ]; then
      fits=$((fits + 1)); [ "$now" = "$new" ] || die "$kind, level $level: $* is done, but there is $now"
    else
      refused=$((refused + 1))
      grep -qiE "space|room|full" said || die "$kind, level $level: $* ends with $status and does not say why: $(cat said)"
      [ "$now" = "$old" ] || [ "$now" = "$new" ] ||
        die "$kind, level $level: $* ends with $status ($(cat said)) and leaves
$now
instead of
$old"
    fi
    tidy host/d "$kind, level $level: $*"
  done
  [ $fits -gt 0 ] && [ $refused -gt 0 ] || die "$kind: $*: $fits fit, $refused were refused: the levels do not reach both"
}

# init has no disk before.
try_init() {
  local most=$1 level status fits=0 refused=0; shift
  for ((level = 0; level < levels; level++)); do
    rm -rf host/d host/filler; mkdir host/d
    leave $((most * 1048576 * level / (levels - 1)))
    status=0; "$PLOOP" init "$@" host/d/root.hdd > out 2> err || status=$?
    if [ $status = 0 ]; then
      fits=$((fits + 1)); rm -f host/filler; tidy host/d "$kind, level $level: init $*"
    else
      refused=$((refused + 1)); [ -z "$(ls host/d)" ] || die "$kind, level $level: init $* ends with $status ($(cat err)) and leaves $(ls host/d)"
    fi
  done
  [ $fits -gt 0 ] && [ $refused -gt 0 ] || die "$kind: init $*: $fits fit, $refused were refused: the levels do not reach both"
}

plain_disk images/chain 64M 256; write images/chain/root.hdd 1 0 6M
expect 0 "$PLOOP" snapshot -u $U1 images/chain/$X; write "$(top images/chain)" 2 4M 8M
expect 0 "$PLOOP" snapshot -u $U2 images/chain/$X; write "$(top images/chain)" 3 10M 8M
plain_disk images/plain 48M 256; write images/plain/root.hdd 1 0 10M
cp -a images/plain images/raw; expect 0 "$PLOOP" convert -f raw images/raw/$X
files_disk images/files 280M 8

for kind in ext4 tmpfs; do
  if [ $kind = ext4 ]; then
    truncate -s 400M host.raw; mkfs.ext4 -q -F -m 0 -O ^has_journal host.raw; mount -o loop host.raw host
  else
    mount -t tmpfs -o size=400M tmpfs host
  fi
  AT_EXIT+=("umount -l $WORK/host")
  try_init 16 -s 280M
  try_init 60 -s 40M -t none -f preallocated
  try state chain 20 snapshot-merge -A @
  try state chain 12 snapshot-delete -u $U1 @
  try state chain 1 snapshot -u $U4 @
  try state chain 1 snapshot-switch -u $U1 @
  try state chain 24 grow -s 300G @
  try state plain 60 convert -f raw @
  try state plain 60 convert -f preallocated @
  try state raw 30 convert -f ploop1 @
  try files_state files 64 resize -s 2G @
  umount host
done

# SPDX-License-Identifier: LGPL-2.1-or-later
# ploop mount and umount: both forms, all options, what they print and how they end.
source "$(dirname "$0")/common.sh"
mkdir mnt other
disk d; cd d
img=$PWD/root.hdd; mnt=$WORK/mnt

# --- --dry-run changes nothing
unchanged root.hdd $X -- expect 0 "$PLOOP" mount --dry-run -F -m "$mnt" -o noatime $X
says "start the first free device"; says "check the file system"; says "mount its file system"; nothing_left

# --- the device alone
expect 0 "$PLOOP" mount $X
[[ "$OUT" =~ ^"Adding delta dev="(/dev/ploop([0-9]+))" img=$img (rw)"$ ]] || die "mount: $OUT"
D=${BASH_REMATCH[1]} N=${BASH_REMATCH[2]}
[ -b "$D" ] && [ -b "${D}p1" ] || die "no nodes: $(ls -l /dev/ploop*)"
[ "$(blockdev --getsize64 "$D")" = 314572800 ] || die "the device's size is $(blockdev --getsize64 "$D")"
in_use root.hdd || die "no in-use mark"
[ "$(dd if="$D" bs=512 skip=1 count=1 status=none | head -c 8)" = "EFI PART" ] || die "no GPT on the device"
expect 21 "$PLOOP" mount $X; says "already mounted"
expect 21 "$PLOOP" mount root.hdd; says "already mounted"
expect 21 "$PLOOP" mount -r $X
expect 0 "$PLOOP" umount $X
[ "$OUT" = "Unmounting device $D" ] || die "umount: $OUT"
[ ! -e "$D" ] && [ ! -e "${D}p1" ] || die "nodes are left"
closed root.hdd; nothing_left
expect 40 "$PLOOP" umount $X; expect 38 "$PLOOP" umount root.hdd; expect 38 "$PLOOP" umount -m "$mnt"; expect 40 "$PLOOP" umount -d "$D"
expect 39 "$PLOOP" umount nothing.xml; expect 38 "$PLOOP" umount nothing.hdd; expect 38 "$PLOOP" umount

# --- with its file system, and each way to unmount
for way in "$X" "root.hdd" "-m $mnt" "-m ../mnt" "-d @" "-d @p1"; do
  expect 0 "$PLOOP" mount -m "$mnt" $X
  [[ "$OUT" =~ ^"Adding delta dev="(/dev/ploop([0-9]+))" img=$img (rw)"$'\n'"Mounted "(/dev/ploop[0-9]+)"p1 at $mnt fstype=ext4 data='' "$ ]] || die "mount -m: $OUT."
  D=${BASH_REMATCH[1]}
  [ "$(findmnt -no FSTYPE,SOURCE "$mnt")" = "ext4   ${D}p1" ] || die "$(findmnt -n "$mnt")"
  echo "$way" > "$mnt/f"
  # shellcheck disable=SC2086
  expect 0 "$PLOOP" umount ${way/@/$D}
  [ "$OUT" = "Unmounting file system at $mnt
Unmounting device $D" ] || die "umount $way: $OUT"
  not_mounted "$mnt"; closed root.hdd; nothing_left
  if [ "$way" = $X ]; then [ "$(stat -c '%s %a' .statfs)" = "40 644" ] || die ".statfs: $(ls -l .statfs)"
  else [ ! -e .statfs ] || die "umount $way writes .statfs, or mount left it"; fi
  expect 0 "$PLOOP" check $X
done

# --- umount(8) first
expect 0 "$PLOOP" mount -m "$mnt" $X; umount "$mnt"
expect 38 "$PLOOP" umount -m "$mnt"; says "umount(8)"
expect 0 "$PLOOP" umount $X; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" $X; D=$(findmnt -no SOURCE "$mnt"); D=${D%p1}; umount "$mnt"; expect 0 "$PLOOP" umount -d "$D"; nothing_left
# a mount by hand is unmounted with the device, and so is a second one
expect 0 "$PLOOP" mount -m "$mnt" $X; mount --bind "$mnt" ../other; expect 0 "$PLOOP" umount $X; not_mounted "$mnt"; not_mounted ../other; nothing_left

# --- options
rm .statfs; expect 0 "$PLOOP" mount -r -m "$mnt" $X; says "img=$img (ro)"; [[ "$OUT" == *"data='' ro" ]] || die "mount -r: $OUT"
findmnt -no OPTIONS "$mnt" | grep -qw ro || die "not read-only"
closed root.hdd
expect 0 "$PLOOP" umount $X; [ ! -e .statfs ] || die "a read-only mount writes .statfs"
expect 0 "$PLOOP" mount -m "$mnt" -o ro,noatime $X; [ "$(blockdev --getro "$(findmnt -no SOURCE "$mnt")")" = 1 ] || die "-o ro: the device is writable"
expect 0 "$PLOOP" umount -m "$mnt"
expect 0 "$PLOOP" mount -m "$mnt" -o noatime,nosuid,data=ordered,nodev $X; says "data='noatime,nosuid,data=ordered,nodev'"
options=$(findmnt -no OPTIONS "$mnt"); for o in noatime nosuid nodev; do grep -qw $o <<< "$options" || die "$o is not among $options"; done
expect 0 "$PLOOP" umount -m "$mnt"
expect 21 "$PLOOP" mount -m "$mnt" -o nonsense=1 $X; says "mount"; not_mounted "$mnt"; closed root.hdd; nothing_left
expect 21 "$PLOOP" mount -m "$mnt" -t xfs $X; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" -t ext4 $X; expect 0 "$PLOOP" umount $X
expect 38 "$PLOOP" mount -m "$WORK/nowhere" $X; says "no folder"; nothing_left
expect 38 "$PLOOP" mount -m root.hdd $X
expect 38 "$PLOOP" mount; expect 38 "$PLOOP" mount -x $X; expect 38 "$PLOOP" mount --backend other $X
expect 39 "$PLOOP" mount nothing.xml; expect 4 "$PLOOP" mount nothing.hdd
expect 38 "$PLOOP" mount $X root.hdd
# -d
expect 0 "$PLOOP" mount -d /dev/ploop4711 $X --json; is .device /dev/ploop4711; is .partition /dev/ploop4711p1; is .ok true
[ -b /dev/ploop4711p1 ] || die "-d is not honoured"
disk ../e; expect 2 "$PLOOP" mount -d /dev/ploop4711 ../e/$X; says "/dev/ploop4711"
expect 0 "$PLOOP" umount -d ploop4711
expect 38 "$PLOOP" mount -d /dev/null $X; expect 38 "$PLOOP" mount -d /dev/ploop99999 $X; says "from /dev/ploop0 to /dev/ploop65535"
expect 38 "$PLOOP" mount -d /dev/ploop99999999999999999999 $X; says "to /dev/ploop65535"; expect 38 "$PLOOP" mount -d /dev/ploop01 $X; says "is no name"
# a shell variable that is not set
expect 38 "$PLOOP" mount -m "" $X; says "Option -m"; expect 38 "$PLOOP" mount --fuse "" $X; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" $X; for o in -m -d; do expect 38 "$PLOOP" umount $o "" $X; says "Option $o"; done; mounted "$mnt"
expect 38 "$PLOOP" balloon show -m "" $X; says "Option -m"; expect 0 "$PLOOP" umount $X
# -F
expect 0 "$PLOOP" mount -F -m "$mnt" $X; says "Running: "; says " -p /dev/ploop"; mounted "$mnt"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -F $X; says_not "Running: "; D=$(sed 's/.*dev=\([^ ]*\).*/\1/;q' <<< "$OUT")
debugfs -w -R "set_super_value free_blocks_count 1" "${D}p1" 2> /dev/null; debugfs -w -R "set_super_value state 2" "${D}p1" 2> /dev/null # errors: -p mends
expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -F -m "$mnt" $X; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount $X; D=$(sed 's/.*dev=\([^ ]*\).*/\1/;q' <<< "$OUT")
for block in 0 32768 65536; do dd if=/dev/urandom of="${D}p1" bs=4096 seek=$((block + 1)) count=1 conv=notrunc status=none; done # group descriptors
debugfs -w -R "set_super_value state 2" "${D}p1" > /dev/null 2>&1 || true
expect 0 "$PLOOP" umount $X
expect 41 "$PLOOP" mount -F -t ext4 -m "$mnt" $X; says "exited with code"; not_mounted "$mnt"; closed root.hdd; nothing_left
cd ..; rm -rf d; disk d; cd d

# --- snapshots: read-only beside the running disk, or alone
expect 0 "$PLOOP" mount -m "$mnt" $X; echo one > "$mnt/one"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" snapshot -u $U1 $X
expect 43 "$PLOOP" mount -r -u $U3 $X; says "$U3"
expect 38 "$PLOOP" mount -u nonsense $X
expect 38 "$PLOOP" mount -u $U1 $X; says "snapshot-switch"; expect 38 "$PLOOP" mount -u base $X
expect 0 "$PLOOP" mount -m "$mnt" -u $TOP $X; echo two > "$mnt/two"
expect 0 "$PLOOP" mount -r -u base -m "$WORK/other" $X; says "root.hdd (ro)"; [ "$(cat ../other/one)" = one ] && [ ! -e ../other/two ] || die "the snapshot has other files"
expect 21 "$PLOOP" mount -r -u $U1 $X; says "already mounted"
mkdir ../third; expect 0 "$PLOOP" mount -r -u $U1 -c name -m "$WORK/third" $X
expect 0 "$PLOOP" list -a; [ "$(wc -l <<< "$OUT")" = 3 ] && grep -q "root.hdd $WORK/third name$" <<< "$OUT" || die "list -a: $OUT"
expect 0 "$PLOOP" umount -c name $X; not_mounted ../third; mounted ../other
expect 40 "$PLOOP" umount -c name $X
expect 0 "$PLOOP" umount $X; not_mounted "$mnt"; mounted ../other; [ -e .statfs ] || die "no .statfs"
expect 0 "$PLOOP" umount $X; not_mounted ../other; nothing_left

# --- by image files
top=$(ls root.hdd.*)
expect 0 "$PLOOP" mount -m "$mnt" root.hdd "$top"
[[ "$OUT" == "Adding delta dev="*" img=$img (ro)"$'\n'"Adding delta dev="*" img=$PWD/$top (rw)"$'\n'"Mounted "* ]] || die "mount by images: $OUT"
[ "$(cat "$mnt/two")" = two ] || die "another disk"
expect 0 "$PLOOP" umount $X; nothing_left # the same base: the same disk
expect 0 "$PLOOP" mount -m "$mnt" root.hdd "$top"; expect 0 "$PLOOP" umount "$top"
expect 0 "$PLOOP" mount -r root.hdd "$top"; expect 0 "$PLOOP" umount root.hdd
expect 0 "$PLOOP" snapshot-merge -A $X
expect 38 "$PLOOP" mount -f raw root.hdd; expect 38 "$PLOOP" mount -f other root.hdd; expect 38 "$PLOOP" mount -u $U1 root.hdd
printf 'Ynot' | dd of=root.hdd bs=1 seek=44 conv=notrunc status=none
expect 37 "$PLOOP" mount root.hdd; says "\"ploop check -d $img\" repairs it"; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" $X; expect 0 "$PLOOP" umount $X; closed root.hdd # the descriptor's form repairs it
expect 0 "$PLOOP" convert -f raw $X
# what check cannot mend is not sent to it
expect 38 "$PLOOP" mount -f raw -b 2047 root.hdd; says "clusters of 2047 sectors"; says_not "mend"
"$PLOOP" mount root.hdd > out 2> err && die "a raw file is mounted as ploop1"; OUT=$(cat out) ERR=$(cat err); says "has no header of a ploop image"; says "-f raw"; says_not "mend"
for b in auto fuse loop; do
  expect 0 "$PLOOP" mount --backend $b -f raw -b 2048 -m "$mnt" root.hdd --json; n=$(minor)
  [ "$(field "$n" backend)" = "${b/auto/loop}" ] || die "--backend $b: $(field "$n" backend)"
  [ "$(cat "$mnt/two")" = two ] || die "a raw disk by $b"
  expect 0 "$PLOOP" umount root.hdd
done
expect 0 "$PLOOP" mount -m "$mnt" $X; expect 0 "$PLOOP" umount $X; nothing_left

# --- interrupted: nothing of it is there when the command has ended
stopped=
for delay in 0.02 0.04 0.06 0.08 0.1 0.12 0.15 0.2 0.25 0.3; do
  rc=0; timeout --foreground --preserve-status -s INT $delay "$PLOOP" mount -m "$mnt" $X > out 2> err || rc=$?
  case $rc in
    0) mounted "$mnt"; expect 0 "$PLOOP" umount $X; nothing_left ;;
    130) if mountpoint -q "$mnt"; then expect 0 "$PLOOP" umount $X; fi ;; # before it listened, or when all was done
    *) cp err said; not_mounted "$mnt"; nothing_left; closed root.hdd; grep -q "Interrupted" said || die "interrupted after $delay s, exit $rc: $(cat said)"; stopped=1 ;;
  esac
done
[ -n "$stopped" ] || die "no mount was interrupted"; rm said

# --- an image that has lost its name
mkdir ../gone; cd ../gone; cp -r --sparse=never ../pattern/. .
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor); mv root.hdd other.hdd
expect 23 "$PLOOP" snapshot $X; says "root.hdd was renamed while it was mounted"; says_not "changed meanwhile"
expect 0 "$PLOOP" umount -d "/dev/ploop$n"; says_not "deleted"; mv other.hdd root.hdd; nothing_left
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor); rm root.hdd
expect 23 "$PLOOP" snapshot $X; says "$PWD/root.hdd was deleted while it was mounted"; says_not "changed meanwhile"
expect 0 "$PLOOP" umount -d "/dev/ploop$n"; says "$PWD/root.hdd has been deleted while /dev/ploop$n uses it"; nothing_left

# --- nothing is on the disk
mkdir ../bare; cd ../bare; "$PLOOP" init -s 300M root.hdd > /dev/null
expect 0 "$PLOOP" mount $X --json; p=$(json .partition); wipefs -q -a "$p"; expect 0 "$PLOOP" umount $X
expect 21 "$PLOOP" mount -m "$mnt" $X; says "nothing that is known lies on /dev/ploop"; says "mkfs.ext4"; says_not "superblock"; nothing_left
expect 21 "$PLOOP" mount -m "$mnt" -t ext4 $X; says "as ext4"; nothing_left

# --- no table: the whole device
mkdir ../w; cd ../w; "$PLOOP" init -s 300M -t none root.hdd > /dev/null
expect 0 "$PLOOP" mount $X --json; n=$(minor); [ "$(json .partition)" = "/dev/ploop$n" ] || die "partition: $OUT"
mkfs.xfs -q -f "/dev/ploop$n"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -m "$mnt" $X; says "Mounted /dev/ploop"; says "fstype=xfs"; echo a > "$mnt/a"
expect 0 "$PLOOP" snapshot -u $U1 $X
expect 0 "$PLOOP" mount -r -u $U1 -m "$WORK/other" $X; says "nouuid"; [ "$(cat ../other/a)" = a ] || die "the snapshot of an XFS"
expect 0 "$PLOOP" umount -m "$WORK/other"; expect 0 "$PLOOP" umount -m "$mnt"; nothing_left

# --- a file system that only its owner can repair: all that fsck says, and the way out, which works
disk "$WORK/broken"; cd "$WORK/broken"
expect 0 "$PLOOP" mount $X --json; n=$(minor); debugfs -w -R 'zap_block -f /lost+found -p 0x55 0' "/dev/ploop${n}p1" 2> /dev/null; debugfs -w -R 'ssv state 0' "/dev/ploop${n}p1" 2> /dev/null
expect 41 "$PLOOP" resize -s 400M $X; says "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY. (i.e., without -a or -p options)"; says "e2fsck -f /dev/ploop${n}p1"
expect 0 "$PLOOP" umount $X
expect 41 "$PLOOP" mount -F -m "$mnt" $X; not_mounted "$mnt"
says "exited with code 4: /dev/"; says "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY. (i.e., without -a or -p options)"
says "\"ploop mount $PWD/$X\" (without -m and -r)"; says "fsck.ext4 NODE"; says "\"ploop umount $PWD/$X\""; says "directory corrupted"; nothing_left
expect 0 "$PLOOP" mount $X --json; n=$(minor); e2fsck -fy "/dev/ploop${n}p1" > log 2>&1 || [ $? -le 2 ] || die "e2fsck: $(cat log)"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -F -m "$mnt" $X; expect 0 "$PLOOP" umount $X; nothing_left
echo ok

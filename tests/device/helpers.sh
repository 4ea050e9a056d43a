# SPDX-License-Identifier: LGPL-2.1-or-later
# mount -t ploop and umount by util-linux, also from fstab; the unit for systemd.
source "$(dirname "$0")/common.sh"
mkdir mnt snap; mnt=$WORK/mnt
disk d
for h in mount.ploop umount.ploop; do
  [ ! -e "/sbin/$h" ] || skip "/sbin/$h is there already"
  ln -s "$DISKTOOL_BIN/$h" "/sbin/$h"; AT_EXIT+=("rm -f /sbin/$h")
done
img=$WORK/d/root.hdd

expect 0 mount -t ploop "$WORK/d/$X" "$mnt" -o noatime,nosuid; [ -z "$OUT$ERR" ] || die "mount -t ploop prints $OUT$ERR"
[ "$(findmnt -no FSTYPE "$mnt")" = ext4 ] || die "$(findmnt -n "$mnt")"; findmnt -no OPTIONS "$mnt" | grep -q noatime || die "without its options"
echo a > "$mnt/a"
expect 0 mount -t ploop "$WORK/d/$X" "$mnt" # once more is no fault
expect 0 umount "$mnt"; nothing_left; closed "$img"
(cd d; expect 0 mount -v -t ploop $X ../mnt; says "Mounted"); expect 0 umount -v "$mnt"; nothing_left
expect 0 mount -r -t ploop "$img" "$mnt"; findmnt -no OPTIONS "$mnt" | grep -qw ro || die "-r"; expect 0 umount "$mnt"; nothing_left
expect 0 mount -t ploop "$WORK/d/$X" "$mnt"; expect 0 mount -o remount,ro "$mnt"; findmnt -no OPTIONS "$mnt" | grep -qw ro || die "remount"; expect 0 umount "$mnt"; nothing_left
expect 0 "$PLOOP" snapshot -u $U1 d/$X
expect 0 mount -t ploop "$WORK/d/$X" snap -o "ro,ploop.uuid=$U1,ploop.component=s,ploop.device=/dev/ploop9001,ploop.backend=fuse,ploop.fstype=ext4"
[ "$(findmnt -no SOURCE snap)" = /dev/ploop9001p1 ] && [ "$(field 9001 component)" = s ] && [ "$(field 9001 snapshot)" = $U1 ] || die "ploop. options: $(cat "$(state 9001)")"
expect 0 umount snap; nothing_left
for wrong in "ploop.nonsense=1" "nonsense=1" "ploop.uuid=$U3"; do
  ! mount -t ploop "$WORK/d/$X" "$mnt" -o "$wrong" 2> err || die "-o $wrong is taken"; not_mounted "$mnt"; nothing_left
done
! mount -t ploop "$WORK/nothing.xml" "$mnt" 2> err || die "mounts nothing"; grep -q "does not exist" err || die "$(cat err)"
expect 0 mount -f -t ploop "$WORK/d/$X" "$mnt"; not_mounted "$mnt"
for h in mount.ploop umount.ploop; do expect 0 "$DISKTOOL_BIN/$h" --help; [[ "$OUT" == "Usage: $h "* ]] && [ -z "$ERR" ] || die "$h --help: $OUT$ERR"; done
expect 1 "$DISKTOOL_BIN/mount.ploop" x y --bogus; says "no option --bogus"; says "Usage: mount.ploop"

# --- fstab
echo "$WORK/d/$X $mnt ploop noatime,ploop.fsck,noauto 0 0" > fstab
expect 0 mount -T fstab "$mnt"; mounted "$mnt"; [ "$(cat "$mnt/a")" = a ] || die "another disk"; expect 0 umount "$mnt"; nothing_left
sed -i s/,noauto// fstab; expect 0 mount -T fstab -a; mounted "$mnt"; expect 0 mount -T fstab -a; expect 0 "$PLOOP" list; [ "$(wc -l <<< "$OUT")" = 1 ] || die "mount -a twice: $OUT"
expect 0 umount "$mnt"; nothing_left

# --- the unit
unit=$DISKTOOL_BUILD/cli/ploop/ploop@.service
if command -v systemd-analyze > /dev/null; then
  mkdir -p bin; ln -s "$PLOOP" bin/ploop; sed "s|=[^ ]*/bin/ploop|=$WORK/bin/ploop|" "$unit" > "ploop@.service"
  systemd-analyze verify --man=no "$WORK/ploop@vz-1-DiskDescriptor.xml.service" > log 2>&1 || cp "ploop@.service" "ploop@x.service"
  systemd-analyze verify --man=no "$WORK/ploop@.service" > log 2>&1 || die "systemd-analyze verify: $(cat log)"
  ! grep -q "ploop@" log || die "systemd-analyze verify: $(cat log)"
fi
grep -q "^ExecStart=.*/bin/ploop mount " "$unit" || die "the unit: $(cat "$unit")"
echo ok

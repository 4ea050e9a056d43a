# SPDX-License-Identifier: LGPL-2.1-or-later
# Snapshots and merges of a running device by its node, file names and levels; merges into a new file; temporary snapshots.
source "$(dirname "$0")/common.sh"
mkdir mnt snap; mnt=$WORK/mnt
put() { head -c 2M /dev/urandom > "$mnt/$1"; sync -f "$mnt/$1"; (cd "$mnt" && sha256sum "$1") >> "$WORK/sums"; }
whole() { (cd "$mnt" && sha256sum --quiet -c "$WORK/sums") || die "files: $1"; echo 3 > /proc/sys/vm/drop_caches; (cd "$mnt" && sha256sum --quiet -c "$WORK/sums") || die "files, read anew: $1"; }
images() { ls | grep -c '^[a-z0-9]*\.hdd'; }
levels() { jq -r '.images[].path' "$(state "$n")" | sed 's|.*/||' | xargs; }
own_processes() { # of devices of this test
  local p; for p in $(pgrep -x ploop-device); do ! grep -qsz "^DISKTOOL_RUN=$DISKTOOL_RUN\$" "/proc/$p/environ" || echo "$p"; done
}
gone() { [ ! -e "$1" ] || die "$1 is left"; }
disk d; cd d

# --- snapshot -d DEVICE DELTA, by a descriptor
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor) dev=/dev/ploop$n
put one
expect 0 "$PLOOP" snapshot -d $dev one.hdd --dry-run; says "one.hdd as the new top"; gone one.hdd
expect 0 "$PLOOP" snapshot -d $dev -u $U1 one.hdd; says "Creating snapshot dev=$dev img=$PWD/one.hdd"; closed root.hdd; in_use one.hdd || die "one.hdd is not the top"
grep -q "<File>one.hdd</File>" $X || die "the descriptor does not name one.hdd: $(cat $X)"
put two; expect 38 "$PLOOP" snapshot -d $dev one.hdd; says "exists already"
expect 1 "$PLOOP" snapshot -d $dev ../outside.hdd; says "\"$WORK/outside.hdd\" was given as an image of $PWD/$X"; says "outside"; says "ploop mount --allow $WORK"; gone ../outside.hdd
expect 38 "$PLOOP" snapshot -d $dev a.hdd b.hdd; says "unexpected word"
(mkdir -p "$WORK/elsewhere"; cd "$WORK/elsewhere"; expect 0 "$PLOOP" snapshot -d $dev -u $U2 ../d/two.hdd); [ -e two.hdd ] || die "two.hdd lies elsewhere"
put three; expect 0 "$PLOOP" snapshot -d $dev -u $U3 three.hdd; put four
[ "$(levels)" = "root.hdd one.hdd two.hdd three.hdd" ] || die "levels: $(levels)"

# --- merge -d
expect 38 "$PLOOP" merge -l 0; says "give both"
expect 38 "$PLOOP" merge -d $dev -l 3..2; expect 38 "$PLOOP" merge -d $dev -l x; expect 38 "$PLOOP" merge -d $dev root.hdd one.hdd
expect 38 "$PLOOP" merge -d $dev -l 3; says "levels 0 to 3"; expect 2 "$PLOOP" merge -d /dev/ploop65000
expect 0 "$PLOOP" merge -d $dev -l 1 --dry-run; says "from $U3 to $U2"
expect 0 "$PLOOP" merge -d $dev -l 1; [ "$(levels)" = "root.hdd one.hdd three.hdd" ] || die "merge -l 1: $(levels)"; gone two.hdd; whole "merge -l 1"
put five
# --- into a new file, with the running top
expect 38 "$PLOOP" merge -d $dev -l 1..2 -n three.hdd; says "exists already"
expect 0 "$PLOOP" merge -d $dev -l 1..2 -n new.hdd; [ "$(levels)" = "root.hdd new.hdd" ] || die "merge -n: $(levels)"; gone one.hdd; gone three.hdd
in_use new.hdd || die "new.hdd is not the top"; whole "merge -n with the top"; put six
expect 0 "$PLOOP" snapshot-list -H -o uuid $X; [ "$(xargs <<< "$OUT")" = "$U1 $TOP" ] || die "snapshot-list: $OUT"
expect 0 "$PLOOP" snapshot -d $dev -u $U2 seven.hdd; put seven
expect 0 "$PLOOP" snapshot-merge -A -n all.hdd $X; [ "$(levels)" = all.hdd ] || die "snapshot-merge -A -n: $(levels)"; [ "$(images)" = 1 ] || die "files are left: $(ls)"
whole "all into a new file"; put eight
expect 0 "$PLOOP" snapshot -u $U1 $X; put nine; expect 0 "$PLOOP" snapshot -u $U2 $X; put ten
expect 0 "$PLOOP" snapshot-merge -u $TOP -U $U2 -n range.hdd $X; whole "a range with the top into a new file"; [ "$(levels)" = "all.hdd range.hdd" ] || die "the range: $(levels)"
expect 0 "$PLOOP" merge -d $dev; [ "$(levels)" = all.hdd ] || die "merge -d: $(levels)"; whole "merge -d of all"
expect 38 "$PLOOP" merge -d $dev; says "single image"
expect 0 "$PLOOP" umount $X; nothing_left; expect 0 "$PLOOP" check $X; [ "$(images)" = 1 ] || die "files are left: $(ls)"

# --- temporary snapshots go at the next mount for writing, when nobody reads them
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor) dev=/dev/ploop$n
put eleven; expect 0 "$PLOOP" tsnapshot -u $U1 -c backup -m "$WORK/snap" $X; put twelve
expect 0 "$PLOOP" umount -m "$mnt"
expect 0 "$PLOOP" mount -m "$mnt" $X --json; n=$(minor); whole "beside the backup"
grep -q "<Temporary/>" $X || die "the temporary snapshot went while it was mounted"; [ -e "$WORK/snap/eleven" ] && [ ! -e "$WORK/snap/twelve" ] || die "the backup shows another disk"
expect 0 "$PLOOP" umount -m "$WORK/snap"; expect 0 "$PLOOP" umount $X
# Killed while that goes on, the disk is whole, and the next mount finishes it. It takes long enough to be killed in.
cp -r --sparse=never . ../many; cd ../many; killed_inside=0
qemu-io -f parallels -c "write -P 7 150M 120M" "$(sed -n 's|.*<File>\(.*\)</File>.*|\1|p' $X | tail -1)" > /dev/null; cd ..
for ((i = 0; i < 8; i++)); do
  rm -rf k; cp -r --sparse=never many k; cd k
  "$PLOOP" mount $X > /dev/null 2>&1 & client=$!
  for ((j = 0; j < 200; j++)); do [ -z "$(own_processes)" ] || break; sleep 0.01; done
  sleep "0.$(printf %02d $((i * 3)))"; [ -e $X.disktool-job ] && killed_inside=$((killed_inside + 1))
  # One that becomes a daemon goes on in a child, which may come behind the look for it; on a busy host the client may not have
  # started it yet. A zombie has no environment any more.
  for ((none = 0; none < 3;)); do
    own=$(own_processes); [ -n "$own" ] || { running $client || none=$((none + 1)); sleep 0.05; continue; }
    none=0; kill -KILL $own 2> /dev/null || true; for p in $own; do soon not running "$p"; done
  done
  wait $client || true; expect 0 "$PLOOP" mount $X; ! grep -q "Temporary" $X || die "it stays: $(cat $X)"; [ ! -e $X.disktool-job ] || die "the job file stays"
  expect 0 "$PLOOP" umount $X; expect 0 "$PLOOP" check $X; [ "$(images)" = 1 ] || die "files are left: $(ls)"
  qemu-io -f parallels -c "read -P 7 150M 120M" *.hdd* > out; ! grep -q "verification failed" out || die "$(cat out)"; cd ..
done
[ $killed_inside -gt 0 ] || die "never killed while it was deleted"
# The time that it takes is also one for another program to make a node of the name that the device was to have.
for wanted in "" "-d /dev/ploop54321"; do
  rm -rf k run2; cp -r --sparse=never many k; mkdir -m 700 run2; cd k
  # shellcheck disable=SC2086
  DISKTOOL_RUN=$WORK/run2 "$PLOOP" mount $wanted $X --json > ../out 2> ../err & client=$!
  soon eval "compgen -G '$WORK/run2/ploop*.lock' > /dev/null"; sleep 0.05
  m=$(basename "$(ls "$WORK/run2" | grep '\.lock$' | sort -V | tail -1)" .lock) # those before it are in use
  mknod "/dev/$m" b 7 250; AT_EXIT+=("rm -f /dev/$m"); status=0; wait $client || status=$?
  [ "$(stat -c %t,%T "/dev/$m")" = 7,fa ] || die "the node of another program: $(ls -l "/dev/$m")"
  if [ -n "$wanted" ]; then
    [ $status = 23 ] && grep -q "another program has made it" ../err || die "$status: $(cat ../out ../err)"
    [ -z "$(ls "$WORK/run2" | grep -v '\.lock$')" ] || die "left: $(ls "$WORK/run2")"
  else
    [ $status = 0 ] && [ "$(jq -r .device ../out)" != "/dev/$m" ] && [ -b "$(jq -r .device ../out)" ] || die "$status: $(cat ../out ../err)"
    DISKTOOL_RUN=$WORK/run2 "$PLOOP" umount $X > /dev/null || die "umount"
  fi
  rm "/dev/$m"; cd ..
done
rm -rf k many run2; cd d
# --- and with the next snapshot of a disk that is not mounted
cp -r . ../e; cd ../e; expect 0 "$PLOOP" snapshot --dry-run $X; grep -q "<Temporary/>" $X || die "it went at a dry run"
expect 0 "$PLOOP" snapshot -u $U2 $X; says "Deleting the temporary snapshot $U1"; ! grep -q "Temporary" $X || die "it stays: $(cat $X)"
[ "$(images)" = 2 ] || die "files: $(ls)"; expect 0 "$PLOOP" mount -m "$mnt" $X; whole "after a snapshot"; expect 0 "$PLOOP" umount $X; cd ../d; rm -rf ../e
expect 0 "$PLOOP" mount -r -m "$mnt" $X; grep -q "<Temporary/>" $X || die "it went at a mount that only reads"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" mount -m "$mnt" $X; says "Deleting the temporary snapshot $U1"; ! grep -q "Temporary" $X || die "it stays: $(cat $X)"
[ "$(images)" = 1 ] || die "files are left: $(ls)"; whole "without the temporary snapshot"
# One that was marked for deletion while it had two children is as good.
expect 0 "$PLOOP" snapshot -u $U1 $X; put thirteen; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" snapshot -u $U2 $X; expect 0 "$PLOOP" snapshot-switch -u $U1 $X
expect 0 "$PLOOP" snapshot-delete -u $U1 $X; grep -q "<Temporary/>" $X || die "not marked"
sed -i '/ thirteen$/d; /  thirteen$/d' "$WORK/sums"
expect 0 "$PLOOP" mount -m "$mnt" $X; grep -q "<Temporary/>" $X || die "it went although two are on it"; whole "marked"; expect 0 "$PLOOP" umount $X
expect 0 "$PLOOP" snapshot-delete -u $U2 $X; ! grep -q Temporary $X || die "the last of its children has gone, and it stays"
expect 0 "$PLOOP" mount -m "$mnt" $X; whole "in the end"; expect 0 "$PLOOP" umount $X
nothing_left; expect 0 "$PLOOP" check $X

# --- a file outside of the disk's folder: the command names it, and no descriptor does
cp *.hdd ../out.hdd
for how in "replace -l 0 -i ../out.hdd" "replace -k -l 0 -i ../out.hdd"; do
  # shellcheck disable=SC2086
  expect 1 "$PLOOP" $how $X; says "\"$WORK/out.hdd\" was given as an image of"; says "Name a file in that folder"; says "--allow $WORK"; says_not " names \""
done
expect 0 "$PLOOP" replace --dry-run --allow "$WORK" -l 0 -i ../out.hdd $X; rm ../out.hdd
expect 0 "$PLOOP" snapshot -u $U1 $X; expect 1 "$PLOOP" snapshot-merge -n ../out.hdd $X; says "\"$WORK/out.hdd\" was given as an image of"; gone ../out.hdd
expect 0 "$PLOOP" snapshot-merge $X

# --- without a descriptor
base=$(ls *.hdd); [ "$(images)" = 1 ] || die "files are left: $(ls)"
expect 0 "$PLOOP" mount -m "$mnt" "$base" --json; n=$(minor) dev=/dev/ploop$n
put fourteen
expect 38 "$PLOOP" snapshot -d $dev; says "name the file"; expect 38 "$PLOOP" snapshot -d $dev -u $U1 x.hdd; says "leave -u out"
expect 38 "$PLOOP" snapshot -d $dev "$base"; says "exists"; expect 44 "$PLOOP" snapshot -d $dev -b 11111111-1111-1111-1111-111111111111 x.hdd; gone x.hdd
expect 0 "$PLOOP" snapshot -d $dev upper.hdd; says "Creating snapshot dev=$dev img=$PWD/upper.hdd"; says "must name it behind"; put fifteen
closed "$base"; in_use upper.hdd || die "upper.hdd is not the top"; [ "$(levels)" = "$base upper.hdd" ] || die "levels: $(levels)"
expect 38 "$PLOOP" merge -d $dev; says "by their names"
whole "of images"; expect 0 "$PLOOP" umount upper.hdd; nothing_left
expect 0 "$PLOOP" mount -r -m "$mnt" "$base"; [ -e "$mnt/fourteen" ] && [ ! -e "$mnt/fifteen" ] || die "the lower image shows $(ls "$mnt")"; expect 0 "$PLOOP" umount "$base"
expect 0 "$PLOOP" mount -m "$mnt" "$base" upper.hdd; whole "of images, mounted again"; expect 0 "$PLOOP" umount upper.hdd
expect 0 "$PLOOP" merge upper.hdd "$base"; rm upper.hdd
expect 0 "$PLOOP" mount -m "$mnt" "$base"; whole "of images, merged"; expect 0 "$PLOOP" umount "$base"
nothing_left
echo ok

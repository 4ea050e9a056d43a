# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the tests that kill ploop and that fill the host: what a disk in a folder holds, judged snapshot by snapshot.
PLOOP=$DISKTOOL_BIN/ploop
X=DiskDescriptor.xml
U1={11111111-1111-1111-1111-111111111111} U2={22222222-2222-2222-2222-222222222222} U3={33333333-3333-3333-3333-333333333333}
U4={44444444-4444-4444-4444-444444444444} NONE={99999999-9999-9999-9999-999999999999}

# A line for each snapshot of the disk in folder $1: its uuid and a sum of its content. Each chain is merged into a new file,
# which changes none of them; QEMU reads that.
state() {
  local folder=$1 uuid parent file files; local -A parents=() names=()
  "$PLOOP" snapshot-list -H -o uuid,parent_uuid,fname "$folder/$X" > "$WORK/list" || return 1
  while read -r uuid parent file; do parents[$uuid]=$parent names[$uuid]=$folder/${file##*/}; done < "$WORK/list"
  for uuid in $(printf '%s\n' "${!names[@]}" | sort); do
    files=() parent=$uuid
    while [ -n "${names[$parent]:-}" ]; do files+=("${names[$parent]}"); parent=${parents[$parent]}; done
    echo "$uuid $(sum "${files[@]}")"
  done
}
sum() { # top first
  local whole=$1
  rm -f "$WORK/whole"
  if [ $# -gt 1 ]; then "$PLOOP" merge -n "$WORK/whole" "$@" > "$WORK/log" 2>&1 || { cat "$WORK/log"; return; }; whole=$WORK/whole; fi
  case $(head -c 6 "$whole") in
    # tar passes over holes, of which a disk of 300 GiB has many.
    Withou) qemu-img convert -f parallels -O raw "$whole" "$WORK/raw.sum"; tar -C "$WORK" -cSf - --mtime=@0 raw.sum | openssl dgst -sha256 -r ;;
    *) openssl dgst -sha256 -r < "$whole" ;;
  esac | cut -d' ' -f1 # openssl is several times as fast as sha256sum
  rm -f "$WORK/whole" "$WORK/raw.sum"
}

# The same of a disk with a file system, whose free space is of nobody's concern: size, consistency, the file.
files_state() {
  local size
  qemu-img convert -f parallels -O raw "$1/root.hdd" "$WORK/raw.sum" || return 1
  e2fsck -fn "$WORK/raw.sum?offset=1048576" > "$WORK/log" 2>&1 || { cat "$WORK/log"; return; }
  size=$(sed -n 's/.*<Disk_size>\([0-9]*\)<.*/\1/p' "$1/$X" | head -1)
  [ "$(stat -c %s "$WORK/raw.sum")" = $((size * 512)) ] || echo "the descriptor has $size sectors, the image $(stat -c %s "$WORK/raw.sum") bytes"
  echo "$size $(debugfs -R "cat kept" "$WORK/raw.sum?offset=1048576" 2> /dev/null | sha256sum)"
  rm -f "$WORK/raw.sum"
}

# Any command that opens the disk in folder $1 for writing finishes or takes back what another one has left.
next_run() { expect 43 "$PLOOP" snapshot-delete -u "$NONE" "$1/$X"; }

# Folder $1 has the descriptor, its images and nothing else, and the images are sound.
tidy() {
  local file
  { echo $X; "$PLOOP" snapshot-list -H -o fname "$1/$X" | while read -r file; do echo "${file##*/}"; done; } | sort > "$WORK/named"
  ls "$1" | grep -v '\.lck$' | sort | cmp -s - "$WORK/named" || die "$2: the folder has $(ls "$1" | tr '\n' ' ')"
  while read -r file; do
    case $(head -c 6 "$1/$file") in Withou) expect 0 "$PLOOP" check -f -c -r "$1/$file" ;; esac
  done < "$WORK/named"
}

# QEMU does not know the flag of an empty image.
write() { qemu-io -f parallels -c "write -P $2 $3 $4" "$1" > /dev/null; expect 0 "$PLOOP" check -f "$1"; }
top() { local file; file=$("$PLOOP" snapshot-list -H -o fname "$1/$X" | tail -1); echo "$1/${file##*/}"; }
# folder SIZE CLUSTER-SECTORS: a new disk without a file system.
plain_disk() { mkdir -p "$1"; expect 0 "$PLOOP" init -s "$2" -b "$3" -t none "$1/root.hdd"; }
# folder SIZE MIB: one with a file that is kept, and as many MiB that were deleted again.
files_disk() {
  local command
  mkdir -p "$1"; expect 0 "$PLOOP" init -s "$2" "$1/root.hdd"; expect 0 "$PLOOP" convert -f raw "$1/$X"
  head -c "$3M" /dev/urandom > "$WORK/kept"; head -c "$3M" /dev/urandom > "$WORK/gone"
  for command in "write $WORK/gone gone" "write $WORK/kept kept" "rm gone"; do debugfs -w -R "$command" "$1/root.hdd?offset=1048576" > "$WORK/log" 2>&1; done
  expect 0 "$PLOOP" convert -f ploop1 "$1/$X"
}

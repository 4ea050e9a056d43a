# SPDX-License-Identifier: LGPL-2.1-or-later
# Help, usage, the man page and the completions name every verb and option that the program takes, and no other.
source "$(dirname "$0")/common.sh"
man=$DISKTOOL_SOURCE/docs/man/prl_disk_tool.8
bash_completion=$DISKTOOL_SOURCE/cli/prl_disk_tool/completion/prl_disk_tool.bash
zsh_completion=$DISKTOOL_SOURCE/cli/prl_disk_tool/completion/_prl_disk_tool
verbs="resize compact merge convert recover info map mount umount"
mapfile -t options < <(grep -oP '^    add\("\K[a-zA-Z_-]+' "$DISKTOOL_SOURCE/cli/prl_disk_tool/arguments.cpp" | grep -vx operand)
[ ${#options[@]} -gt 25 ] || die "the options of arguments.cpp were not found"

expect 0 "$TOOL" --help; cp out help.all
for verb in $verbs; do
  grep -qP "^  prl_disk_tool $verb " help.all || die "--help does not name $verb"
  expect 0 "$TOOL" $verb --help; says "prl_disk_tool $verb"; says "Exit codes"; says "--dry-run"; cat out >> help.all
  expect 0 "$TOOL" $verb --usage; says "Usage: prl_disk_tool $verb --hdd IMAGE"; [ "$(wc -l < out)" = 1 ] || die "usage of $verb"
  expect 0 "$TOOL" --usage; says "$verb"
  grep -qx ".Ss $verb" "$man" || die "the man page has no section $verb"
done
[ "$(awk 'length > 120' help.all | wc -l)" = 0 ] || die "long lines: $(awk 'length > 120' help.all)"
mandoc -T utf8 "$man" | col -b > man.txt
for option in "${options[@]}"; do
  grep -qE -- "--$option([^a-z_-]|$)" help.all || die "no help for --$option"
  grep -qE -- "--$option([^a-z_-]|$)" man.txt || die "the man page does not name --$option"
  case $option in force | comm) continue ;; esac
  grep -qE -- "--$option([^a-z_-]|$)" "$bash_completion" || die "bash does not complete --$option"
  grep -qE -- "--$option([^a-z_-]|$)" "$zsh_completion" || die "zsh does not complete --$option"
done
for file in help.all man.txt "$bash_completion" "$zsh_completion"; do
  for word in $(grep -oE -- '(^|[ ({[])--[a-z][a-z_-]+' "$file" | grep -oE '[a-z][a-z_-]+' | sort -u); do
    [[ " ${options[*]} " == *" $word "* ]] || die "$file names --$word, which there is not"
  done
done

# The exit codes of the man page are those of the header.
for code in $(grep -oP '^    [a-z_]+ = \K\d+' "$DISKTOOL_SOURCE/core/include/disktool/error.h"); do
  grep -qx ".It $code" "$man" || die "the man page does not tell of exit status $code"
done
problems=$(mandoc -T lint "$man" 2>&1 | grep -vE 'lacks .* entry, run makewhatis|not found: Xr ploop 8' || true)
[ -z "$problems" ] || die "mandoc: $problems"
if command -v groff > /dev/null; then
  groff -ww -mandoc -Tutf8 "$man" 2>&1 > /dev/null | { ! grep .; } || die "groff complains"
fi

# bash: verbs, options of each verb, values.
bash -n "$bash_completion"
PATH=$DISKTOOL_BIN:$PATH
source "$bash_completion"
# complete_as WORD...: what the last word could become.
complete_as() {
  COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _prl_disk_tool; echo "${COMPREPLY[*]}"
}
gives() { # WORDS... -- EXPECTED
  local words=() got; while [ "$1" != -- ]; do words+=("$1"); shift; done
  got=$(complete_as "${words[@]}"); [ "$got" = "$2" ] || die "after \"${words[*]}\" bash offers \"$got\", not \"$2\""
}
complete -p prl_disk_tool | grep -q _prl_disk_tool || die "not registered"
gives prl_disk_tool '' -- "$verbs"
gives prl_disk_tool co -- "compact convert"
gives prl_disk_tool resize --hdd x --resize -- "--resize_partition"
gives prl_disk_tool resize --resize_partition --part -- "--partition"
gives prl_disk_tool resize --info --hdd x --u -- "--usage --units"
gives prl_disk_tool merge --f -- "--force-merge-shared"
gives prl_disk_tool compact --e -- "--engine"
gives prl_disk_tool --hdd map --s -- ""
gives prl_disk_tool map --s -- "--svg"
gives prl_disk_tool mount --hdd x --mount_point y --t -- "--type"
gives prl_disk_tool umount --m -- "--mount_point"
gives prl_disk_tool resize --size 10 -- "10K 10M 10G 10T"
gives prl_disk_tool resize --units '' -- "K M G T b s"
gives prl_disk_tool compact --engine = n -- "native"
gives prl_disk_tool compact --engine a -- "auto appliance"
[[ " $(complete_as prl_disk_tool convert --format '') " == *" qcow2 "* ]] || die "qcow2 is not offered"
[[ " $(complete_as prl_disk_tool convert --format '') " != *" fs-ext4 "* ]] || die "a file system as a format"
[[ " $(complete_as prl_disk_tool --dump-plugin '') " == *" fs-ext4 "* ]] || die "fs-ext4 is not offered"
mkdir files; touch 'files/a disk.qcow2' files/other; mkdir files/folder
gives prl_disk_tool info --hdd files/a -- "files/a disk.qcow2"
gives prl_disk_tool info --hdd = files/o -- "files/other"
gives prl_disk_tool info --allow-backing files/ -- "files/folder"
# Every option that is offered for a verb is one that the verb takes.
for verb in $verbs; do
  for option in $(complete_as prl_disk_tool $verb --); do
    status=0; "$TOOL" $verb --hdd x "$option" 1 > out 2> err || status=$?
    ! grep -qE "does not take|unrecognised" err || die "$verb is offered $option: $(cat err)"
  done
done
if command -v zsh > /dev/null; then
  zsh -n "$zsh_completion" || die "zsh does not like it"
fi

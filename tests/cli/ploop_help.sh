# SPDX-License-Identifier: LGPL-2.1-or-later
# The usages, the man page and the completions of ploop name every option that a command takes, and no other: what it takes is found by
# asking it for each letter, and by its source for the long ones.
source "$(dirname "$0")/common.sh"
PLOOP=$DISKTOOL_BIN/ploop
man=$DISKTOOL_SOURCE/docs/man/ploop.8
bash_completion=$DISKTOOL_SOURCE/cli/ploop/completion/ploop.bash
zsh_completion=$DISKTOOL_SOURCE/cli/ploop/completion/_ploop
commands="init mount umount resize convert check info list snapshot snapshot-list snapshot-switch snapshot-delete snapshot-merge replace
  restore-descriptor copy grow merge tsnapshot start stop clear delete rm stat getdev fsck"
actions="show status clear change complete check repair discard"
common=" --dry-run --json --progress --allow --help "
export DISKTOOL_RUN=$WORK/run # no device is looked for

# Taken only to be refused, or for scripts of old, with a sentence that names the right command.
FAULTS=0
wrong() { echo "FAILED: $*" >&2; FAULTS=$((FAULTS + 1)); } # all are told, not the first one alone
silent() { case "$1 $2" in "snapshot-list -h" | "init -k" | "merge -u" | "merge -A") return 0 ;; esac; return 1; }

source_of() {
  case $1 in
    fsck) echo check ;;
    tsnapshot | snapshot-switch | snapshot-delete) echo snapshot ;;
    start | stop | clear | delete | rm | stat | getdev) echo low_level ;;
    *) echo "${1//-/_}" ;;
  esac
}
# The letters that stand in a command's source; each is asked for.
letters_in() {
  tr '\n' ' ' < "$DISKTOOL_SOURCE/cli/ploop/$(source_of "$1").cpp" | grep -oP '(CommandLine line\(options, words|parse\(options, words|letters =)[^;]*?[;{]' |
    grep -oP '"\K[a-zA-Z:]*(?=")' | grep -o '[a-zA-Z]' | sort -u
}
short_options() { # COMMAND [ACTION]: the letters that it knows
  local letter
  for letter in $(letters_in "$1"); do
    { "$PLOOP" "$@" "-$letter" 2>&1 < /dev/null || true; } | grep -q "invalid option -- '$letter'" || printf '%s\n' "-$letter" # not echo: -n is its own
  done
}
long_options() {
  local file=$DISKTOOL_SOURCE/cli/ploop/$(source_of "$1").cpp
  [ ! -e "$file" ] || tr '\n' ' ' < "$file" | grep -oP '\{"\K[a-z-]+(?=", +(true|false), )' | sed 's/^/--/' || true
}

# The options that a text names; -abc are three.
words_of() {
  grep -oE -- '(^|[^a-zA-Z0-9_-])--?[a-zA-Z][a-zA-Z-]*' | grep -oE -- '--?[a-zA-Z][a-zA-Z-]*' |
    awk '/^--/ { print; next } { for (i = 2; i <= length($0); ++i) print "-" substr($0, i, 1) }' | sort -u || true # it may name none
}
mandoc -T utf8 "$man" | col -bx > man.txt
man_section() { # TITLE: the lines of that section of the man page
  awk -v t="$1" '/^ {3}[a-z]/ { title = substr($0, 4); n = split(title, names, / *, */); on = 0; for (i = 1; i <= n; ++i) on = on || names[i] == t }
    /^[A-Z]/ { on = 0 } on' man.txt
}
man_synopsis() { # COMMAND: its forms
  awk -v c="$1" '/^SYNOPSIS/ { in_it = 1; next } /^[A-Z]/ { in_it = 0 }
    in_it && /^ {5}ploop/ { form = $0; sub(/^ *ploop (\[-v\] )?/, "", form); split(form, w, " "); first = w[1]
      if (first ~ /^\{/) { sub(/\}.*/, "", form); gsub(/[{|]/, " ", form); on = index(" " form " ", " " c " ") > 0 } else on = first == c }
    in_it && on' man.txt
}
PATH=$DISKTOOL_BIN:$PATH
bash -n "$bash_completion"
source "$bash_completion"
complete_as() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _ploop 2> /dev/null; echo "${COMPREPLY[*]}"; }
zsh_section() { awk -v c="$1" '$0 ~ "^    ([a-z|-]*\\|)?" c "(\\|[a-z|-]*)?\\)$" { on = 1 } on; /;;$/ { on = 0 }' "$zsh_completion"; }

both() { # WHAT WHERE: $taken against the options that standard input names
  local named option
  named=" $(words_of | tr '\n' ' ')"
  for option in $taken; do
    [[ $named == *" $option "* ]] || silent "$1" "$option" || wrong "$2 does not name $1 $option"
  done
  for option in $named; do
    [[ " $taken $common " == *" $option "* ]] || wrong "$2 names $1 $option, which there is not"
  done
}
taken_by() { { short_options "$@"; shift $(($# - 1)); long_options "$1"; } | sort -u | tr '\n' ' '; }

for command in $commands; do
  taken=$(taken_by "$command")
  [ -n "$taken" ] || [ "$command" = getdev ] || wrong "ploop $command takes no option at all?"
  # Of several commands in one usage or section only what belongs to this one is looked at.
  both "$command" "the usage" < <("$PLOOP" "$command" --help | sed 's/ploop [a-z-]*//')
  case $command in fsck) continue ;; esac
  all=$taken
  case $command in # other names of what has a letter are only explained
    init | check | snapshot-list | replace) taken=$(tr ' ' '\n' <<< "$taken" | { grep -v '^--' || true; } | tr '\n' ' ') ;;
  esac
  both "$command" "the synopsis of the man page" < <(man_synopsis "$command" | sed "s/ploop [a-z-]*//")
  taken=$all
  case $command in umount | convert | grow | merge | start | stop | clear | delete | rm | stat | getdev | restore-descriptor) ;; # in sentences
    *)
      for option in $taken; do
        silent "$command" "$option" || man_section "$command" | grep -qE -- "(^|[^a-zA-Z-])$option([^a-zA-Z-]|$)" || wrong "the man page does not explain $command $option"
      done ;;
  esac
  [ "$command" = getdev ] || both "$command" "the zsh completion" < <(zsh_section "$command" | sed "s/,/ /g; s/{/ /g; s/\[[^]]*\]//g; s/_command_names -e//; s/_files -g//; s/_files -\///; s/=//g")
  both "$command" "the bash completion" < <(complete_as ploop "$command" -)
done
# balloon: by its action.
all=
for action in $actions; do
  taken=$(short_options balloon "$action" | tr '\n' ' ')
  [ "$action" != discard ] || taken+=$(long_options balloon | tr '\n' ' ')
  both "balloon $action" "the bash completion" < <(complete_as ploop balloon "$action" -)
  all+=" $taken"
done
taken=$(tr ' ' '\n' <<< "$all" | grep . | sort -u | tr '\n' ' ')
both balloon "the usage" < <("$PLOOP" balloon --help | sed 's/ploop-balloon//')
both balloon "the synopsis of the man page" < <(man_synopsis balloon)
both balloon "the zsh completion" < <(zsh_section balloon | sed "s/\[[^]]*\]//g; s/_command_names -e//; s/_files -g//; s/_files -\///; s/=//g")

# Every command is in the summary, in the man page and in the completions.
expect 38 "$PLOOP"; cp err summary
listed=$(complete_as ploop '')
for command in $commands balloon; do
  grep -qE "(ploop|,|Also:) +$command( |,|;|$)" summary || [ "$command" = fsck ] || wrong "the summary does not name $command"
  grep -qE "(^|[ {|])$command([ }|]|$)" <(man_synopsis "$command") || [ "$command" = fsck ] || wrong "the man page has no synopsis of $command"
  case $command in fsck | rm) continue ;; esac
  [[ " $listed " == *" $command "* ]] || wrong "bash does not complete $command"
  grep -q "^    '$command:" "$zsh_completion" || [[ " start delete " == *" $command "* ]] || wrong "zsh does not complete $command"
done
# The exit codes of the man page are those of the program.
while read -r code; do
  grep -qE "^\.It (.* )?$code( ,.*)?$" "$man" || wrong "the man page does not tell of exit status $code"
done < <(grep -oP '^    [a-z_]+ = \K\d+' "$DISKTOOL_SOURCE/plugins/ploop/ploop_error.h" | sort -un)
problems=$(mandoc -T lint "$man" 2>&1 | grep -v 'lacks .* entry, run makewhatis' || true)
[ -z "$problems" ] || wrong "mandoc: $problems"
if command -v groff > /dev/null; then
  groff -ww -mandoc -Tutf8 "$man" 2>&1 > /dev/null | { ! grep .; } || wrong "groff complains"
fi
if command -v zsh > /dev/null; then
  zsh -n "$zsh_completion" || wrong "zsh does not like it"
fi
[ $FAULTS = 0 ] || die "$FAULTS faults"
echo ok

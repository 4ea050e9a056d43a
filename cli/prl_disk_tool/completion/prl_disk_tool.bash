# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion of prl_disk_tool. Needs nothing but bash; a word with = in it comes in pieces (COMP_WORDBREAKS).

_prl_disk_tool_files() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}

_prl_disk_tool_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_prl_disk_tool() {
    local verbs="resize compact merge convert recover info map mount umount"
    local word=${COMP_WORDS[COMP_CWORD]} previous= verb= info= words i
    COMPREPLY=()
    ((COMP_CWORD > 0)) && previous=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $word == = ]]; then
        word=
    elif [[ $previous == = ]] && ((COMP_CWORD > 1)); then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            resize | compact | merge | convert | recover | info | map | mount | umount)
                case ${COMP_WORDS[i - 1]} in
                    --hdd | --output | --svg | --comm | --format | --allow-backing | --dump-plugin | --mount_point | --options | --type | =) ;;
                    *) verb=${COMP_WORDS[i]} ;;
                esac ;;
            -i | --info) info=1 ;;
        esac
    done
    case $previous in
        --hdd | --output | --svg) _prl_disk_tool_files -f "$word"; return ;;
        --allow-backing | --mount_point) _prl_disk_tool_files -d "$word"; return ;;
        --engine) _prl_disk_tool_words "auto native appliance" "$word"; return ;;
        --units) _prl_disk_tool_words "K M G T b s" "$word"; return ;;
        --size) # a number, then its unit
            [[ $word =~ ^[0-9]+$ ]] && _prl_disk_tool_words "${word}K ${word}M ${word}G ${word}T" "$word"
            return ;;
        --format | --dump-plugin)
            local kind=
            [[ $previous == --format ]] && kind=format
            words=$("${COMP_WORDS[0]}" --list-plugins --json 2> /dev/null |
                awk -F'"' -v kind="$kind" '$2 == "name" { name = $4 }
                    $2 == "kind" && (kind == "" || kind == $4) { print name }')
            _prl_disk_tool_words "$words" "$word"
            return ;;
        --type) _prl_disk_tool_words "ext2 ext3 ext4 xfs btrfs ntfs-3g vfat" "$word"; return ;;
        --partition | --comm | --options) return ;;
    esac
    words="--hdd --verbose --quiet --json --progress --engine --wait --allow-backing --help --usage"
    case $verb$info in
        resize) words+=" --size --resize_partition --partition --discard-tail --dry-run --info" ;;
        resize1) words+=" --units" ;;
        compact) words+=" --dry-run --info" ;;
        merge) words+=" --external --force-merge-shared --dry-run" ;;
        convert) words+=" --plain --expanding --format --output --verify --dry-run --info" ;;
        recover) words+=" --dry-run" ;;
        map) words+=" --svg" ;;
        mount) words+=" --mount_point --type --options --read-only --dry-run" ;;
        umount) words+=" --mount_point --dry-run" ;;
        "" | 1) words+=" --list-plugins --dump-plugin --version" ;;
    esac
    if [[ $word == -* ]]; then
        _prl_disk_tool_words "$words" "$word"
    elif [[ -z $verb ]]; then
        _prl_disk_tool_words "$verbs" "$word"
    else
        _prl_disk_tool_words "$words" "$word"
    fi
}

complete -F _prl_disk_tool prl_disk_tool

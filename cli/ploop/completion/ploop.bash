# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion of ploop. Needs nothing but bash; a word with = in it comes in pieces (COMP_WORDBREAKS).

_ploop_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_ploop_files() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}

# Descriptors, and folders on the way to them.
_ploop_descriptors() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$1"; compgen -f -X '!*.xml' -- "$1")
}

# Of the descriptor that stands on the command line already.
_ploop_uuids() {
    local i
    for ((i = 1; i < ${#COMP_WORDS[@]}; i++)); do
        if ((i != COMP_CWORD)) && [[ ${COMP_WORDS[i]} == *.xml ]]; then
            _ploop_words "$("${COMP_WORDS[0]}" snapshot-list -H -o uuid -- "${COMP_WORDS[i]}" 2> /dev/null |
                tr -d '{}')" "$1"
            return
        fi
    done
}

# Nodes of running devices.
_ploop_devices() {
    _ploop_words "$(compgen -G '/dev/ploop*')" "$1"
}

_ploop() {
    local commands="init mount umount resize convert check info list snapshot snapshot-list snapshot-switch
        snapshot-delete snapshot-merge replace restore-descriptor copy balloon grow merge
        tsnapshot start stop clear delete stat getdev help"
    local common="--dry-run --json --progress --allow --help"
    local word=${COMP_WORDS[COMP_CWORD]} previous='' command='' action='' options='' i
    COMPREPLY=()
    ((COMP_CWORD > 0)) && previous=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $word == = ]]; then
        word=
    elif [[ $previous == = ]] && ((COMP_CWORD > 1)); then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ -z $command ]]; then
            [[ ${COMP_WORDS[i]} == -* ]] || command=${COMP_WORDS[i]}
        elif [[ $command == balloon && -z $action && ${COMP_WORDS[i]} != -* ]]; then
            action=${COMP_WORDS[i]}
        fi
    done
    case $command in
        "")
            if [[ $word == -* ]]; then
                _ploop_words "-v --help --version" "$word"
            else
                _ploop_words "$commands" "$word"
            fi
            return ;;
        help) _ploop_words "$commands" "$word"; return ;;
    esac
    case $previous in
        --allow) _ploop_files -d "$word"; return ;;
        --progress) return ;;
    esac
    case $command:$previous in
        mount:--backend) _ploop_words "auto fuse loop" "$word"; return ;;
        mount:-m | mount:--fuse | umount:-m | tsnapshot:-m | replace:-m | balloon:-m) _ploop_files -d "$word"; return ;;
        mount:-d | umount:-d | start:-d | stop:-d | clear:-d | delete:-d | rm:-d | stat:-d | snapshot:-d | grow:-d | replace:-d | \
            merge:-d | balloon:-d | copy:-s)
            _ploop_devices "$word"; return ;;
        mount:-t) _ploop_words "ext4 ext3 xfs btrfs" "$word"; return ;;
        mount:-[obc] | umount:-c | tsnapshot:-[uc] | delete:-l | rm:-l | merge:-l) return ;;
        init:-f | mount:-f | convert:-f | grow:-f | merge:-f | restore-descriptor:-f)
            _ploop_words "raw ploop1 expanded preallocated" "$word"; return ;;
        init:-v | convert:-v) _ploop_words "1 2" "$word"; return ;;
        init:-t) _ploop_words "none ext3 ext4" "$word"; return ;;
        init:-s | resize:-s | grow:-s | balloon:-s | balloon:--to-free | balloon:--min-block) # a number, then its unit
            [[ $word =~ ^[0-9]+$ ]] && _ploop_words "${word}K ${word}M ${word}G ${word}T" "$word"
            return ;;
        init:-[bB] | check:-b | check:--blocksize | restore-descriptor:-b | snapshot:-[ub] | copy:-[iof] | replace:-l) return ;;
        snapshot-list:-o | snapshot-list:--output)
            _ploop_words "parent_uuid current uuid fname" "$word"; return ;;
        check:-u | check:--uuid | mount:-u | replace:-u | snapshot-*:-u | snapshot-*:-U | snapshot-list:--uuid | snapshot-list:--id)
            _ploop_uuids "$word"; return ;;
        copy:-F) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -c -- "$word"); return ;;
        replace:-[io] | copy:-d | merge:-n | snapshot-merge:-n) _ploop_files -f "$word"; return ;;
    esac
    if [[ $word == -* ]]; then
        case $command in
            init) options="-s -f -v -t -b -B -n --nolazy" ;;
            mount) options="-r -F -f -b -d -m -o -t -u -c --backend --fuse" ;;
            umount) options="-d -m -c" ;;
            tsnapshot) options="-u -c -m" ;;
            start | stop | clear) options="-d" ;;
            stat) options="-d -c -l" ;;
            delete | rm) options="-d -l" ;;
            resize) options="-s -b" ;;
            convert) options="-f -v" ;;
            check | fsck) options="-u -f -F -c -r -s -d -R -b -S --uuid --force --hard-force --check --ro --silent
                --drop-inuse --raw --blocksize --repair-sparse" ;;
            info) options="-s -d" ;;
            list) options="-a" ;;
            snapshot) options="-F -d -u -b" ;;
            snapshot-list) options="-H -u -s -o --no-header --uuid --id --snapshot --output" ;;
            snapshot-switch) options="-u -D" ;;
            snapshot-delete) options="-u" ;;
            snapshot-merge) options="-u -U -A -n" ;;
            replace) options="-u -l -o -i -k -d -m --keep-name" ;;
            restore-descriptor) options="-f -b" ;;
            copy) options="-s -F -d -o -i -f" ;;
            grow) options="-f -d -s" ;;
            merge) options="-f -n -d -l" ;;
            balloon) options="-d -m -f"
                case $action in
                    discard) options+=" --automount --to-free --min-block --defrag --stat" ;;
                    change) options+=" -s" ;;
                esac ;;
        esac
        _ploop_words "$options $common" "$word"
        return
    fi
    case $command in
        balloon)
            if [[ -z $action ]]; then
                _ploop_words "show status clear change complete check repair discard" "$word"
            else
                _ploop_descriptors "$word"
            fi ;;
        list | copy | start | stop | clear | delete | rm | stat | getdev) ;;
        init | mount | umount | check | grow | merge | resize | restore-descriptor) _ploop_files -f "$word" ;;
        *) _ploop_descriptors "$word" ;;
    esac
}

complete -F _ploop ploop

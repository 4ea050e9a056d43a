#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the corpora of the lvm2 and fat fuzzers anew: small disks as lists of the sectors that are not zero. Needs
# root for the loop device. What a run of the fuzzers found has names that start with "found-" and is kept.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)/corpus
work=$(mktemp -d)
disk=$work/disk
loop=
trap '[ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"' EXIT
mkdir -p "$here/lvm2" "$here/fat"
find "$here/lvm2" "$here/fat" -type f ! -name 'found-*' -delete

# input FOLDER NAME FLAGS: 01 in flags: the fuzzer makes the checksums right
input() {
    { printf "\\x$3"; perl -e 'open my $d, "<:raw", $ARGV[0] or die; my ($s, $n) = ("", 0);
        while (read $d, $s, 512) { print pack("v", $n), $s if $s =~ /[^\0]/; last if ++$n > 65535 }' "$disk"
    } > "$here/$1/$2"
}

fresh() { rm -f "$disk"; truncate -s "$1" "$disk"; }

lvm() {
    local command=$1
    shift
    LVM_SUPPRESS_FD_WARNINGS=1 LVM_SYSTEM_DIR=$work/lvm command lvm "$command" --config "devices { scan=[\"/dev\"]
        filter=[\"a|^$loop\$|\", \"r|.*|\"] use_devicesfile=0 obtain_device_list_from_udev=0
        external_device_info_source=\"none\" } global { activation=0 use_lvmpolld=0 event_activation=0
        locking_dir=\"$work/lock\" } backup { backup=0 archive=0 } activation { udev_sync=0 udev_rules=0
        monitoring=0 }" -y "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

# group NAME PVCREATE-OPTION...: one group with two volumes
group() {
    local name=$1
    shift
    fresh 64M
    loop=$(losetup --find --show "$disk")
    lvm pvcreate "$@" "$loop"
    lvm vgcreate -s 4M v "$loop"
    lvm lvcreate -an -Zn -Wn -n a -l 3 v
    lvm lvcreate -an -Zn -Wn -n b -l 2 v
    lvm lvextend -l +2 v/a
    # Only the present text, as short as it can be.
    lvm vgcfgbackup -f "$work/text" v
    sed -i 's/#.*//; s/^description.*/description = ""/' "$work/text"
    case $name in
    striped) perl -0pi -e 's/stripe_count = 1\s+stripes = \[\s+"pv0", 0\s+\]/stripe_count = 1\nstripes = ["pv0", 7]/' "$work/text" ;;
    thin) perl -0pi -e 's/(b \{.*?type = )"striped".*?\]/$1"thin"\nthin_pool = "a"\ntransaction_id = 0\ndevice_id = 1/s' "$work/text" ;;
    esac
    losetup -d "$loop"
    loop=
    # Written anew on an empty disk, so that no older texts lie in the buffer.
    perl - "$disk" "$work/text" <<'P'
my ($disk, $file) = @ARGV;
local $/;
open my $t, "<", $file; my $text = <$t>; $text =~ s/[ \t]+/ /g; $text =~ s/\s*\n\s*/\n/g;
open my $d, "+<:raw", $disk;
seek $d, 4096, 0; read $d, my $h, 512;
my $size = unpack "Q<", substr $h, 32, 8;
seek $d, 4096 + 512, 0; print $d "\0" x 60000;
substr($h, 40, 24) = pack "Q<Q<L<L<", 512, length($text), 0, 0;
seek $d, 4096, 0; print $d $h, $text;
P
    input lvm2 "$name" 01
}

group plain
group bootloader --bootloaderareasize 1M
group thin
group striped
group second-copy --pvmetadatacopies 2

fat() {
    local name=$1 flags=$2 size=$3
    shift 3
    fresh "$size"
    "$@" "$disk" > /dev/null
    input fat "$name" "$flags"
}
fat fat12 00 1440K mkfs.fat -F 12 -i 12345678 -n LABEL
fat fat12-one-table 00 1440K mkfs.fat -F 12 -f 1 -i 12345678
fat fat16 00 10M mkfs.fat -F 16 -i 12345678
fat fat16-one-table 00 10M mkfs.fat -F 16 -f 1 -i 12345678
fat fat32 00 40M mkfs.fat -F 32 -i 12345678 -n LABEL
fat fat32-one-table 00 40M mkfs.fat -F 32 -f 1 -i 12345678
fat exfat 01 1M mkfs.exfat -b 4096 -c 512 -L label
fat exfat-large 01 20M mkfs.exfat -b 4096 -c 4096

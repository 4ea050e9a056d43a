// SPDX-License-Identifier: LGPL-2.1-or-later
// The table of commands with their usages, and the program's own.
#include "command.h"

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

constexpr const char* init_usage =
    "Usage: ploop init -s SIZE [-f FORMAT] [-v VERSION] [-t FSTYPE] [-b BLOCKSIZE]\n"
    "       [-B FSBLOCKSIZE] [-n] DELTA\n"
    "       ploop init [-t FSTYPE] [-b BLOCKSIZE] [-B FSBLOCKSIZE] [-n] DEVICE\n"
    "\n"
    "       SIZE := NUMBER[KMGT], of the disk; sectors where there is no letter\n"
    "       FORMAT := { raw | ploop1 | expanded | preallocated } (default: expanded)\n"
    "       VERSION := { 1 | 2 } (default: 2)\n"
    "       FSTYPE := { none | ext3 | ext4 } (default: ext4)\n"
    "       BLOCKSIZE := sectors of a cluster (default: 2048)\n"
    "       FSBLOCKSIZE := bytes of a file system block (default: 4096)\n"
    "       -n, --nolazy := write all of the file system's tables now\n"
    "       DELTA := path of the new image; DiskDescriptor.xml is made beside it\n"
    "       DEVICE := a block device; what is on it is lost\n";

constexpr const char* mount_usage =
    "Usage: ploop mount [-r] [-F] [-d DEVICE] [-m DIR] [-o OPTIONS] [-t FSTYPE] [-c NAME]\n"
    "       [-u UUID] DiskDescriptor.xml\n"
    "       ploop mount [-r] [-F] [-f FORMAT] [-b BLOCKSIZE] [-d DEVICE] [-m DIR] [-o OPTIONS]\n"
    "       [-t FSTYPE] [-c NAME] BASE_DELTA [... TOP_DELTA]\n"
    "       ploop mount --fuse DIR [-r] [-u UUID] { DiskDescriptor.xml | BASE_DELTA ... }\n"
    "       -r := read-only\n"
    "       -F := check the file system first, and mend what is safe to mend\n"
    "       DEVICE := /dev/ploop0, ... (default: the first that is free)\n"
    "       DIR := where the file system is mounted (default: it is not)\n"
    "       OPTIONS := as of mount(8), separated by commas\n"
    "       FSTYPE := of the file system (default: what is found, or ext4)\n"
    "       UUID := { the snapshot to mount, with -r | base } (default: the top delta)\n"
    "       NAME := of this mount, so that one image can be mounted several times, with -r\n"
    "       FORMAT := { raw | ploop1 }, of the base (default: ploop1)\n"
    "       BLOCKSIZE := sectors of a cluster, of a raw base\n"
    "       --backend { auto | fuse | loop } := what is behind the device (default: auto)\n"
    "       --fuse DIR := no device: the disk and its partitions as files there; needs no root\n";

constexpr const char* umount_usage =
    "Usage: ploop umount { -d DEVICE | -m DIR | [-c NAME] { DiskDescriptor.xml | DELTA } }\n"
    "       DEVICE := /dev/ploop0, or a partition of it\n"
    "       DIR := where its file system is mounted, or the folder that shows the disk as files\n"
    "       DELTA := an image of the disk\n"
    "       NAME := as mount -c was given\n";

constexpr const char* start_usage = "Usage: ploop start -d DEVICE\n"
                                    "       a device is started by ploop mount, with its images\n";

constexpr const char* stop_usage = "Usage: ploop stop -d DEVICE\n"
                                   "       DEVICE := nothing of it may be mounted\n";

constexpr const char* clear_usage = "Usage: ploop clear -d DEVICE\n"
                                    "       DEVICE := one whose process has died\n";

constexpr const char* delete_usage = "Usage: ploop { delete | rm } -d DEVICE -l LEVEL\n"
                                     "       use ploop snapshot-delete or snapshot-merge\n";

constexpr const char* stat_usage = "Usage: ploop stat -d DEVICE [-c] [-l]\n"
                                   "       counters of the device, one a line\n"
                                   "       -c, -l := taken, and without effect, for scripts of old\n";

constexpr const char* getdev_usage = "Usage: ploop getdev\n"
                                     "       the first device that is free\n";

constexpr const char* check_usage =
    "Usage: ploop check [-u UUID] DiskDescriptor.xml\n"
    "       ploop check [options] DELTA\n"
    "\t-u, --uuid UUID     - check up to this snapshot (default: the top delta)\n"
    "\t-f, --force         - also an image that was closed in order\n"
    "\t-F, --hard-force    - as -f, and mend what costs data\n"
    "\t-c, --check         - look for clusters used twice and for holes\n"
    "\t-r, --ro            - change nothing\n"
    "\t-s, --silent        - say less\n"
    "\t-d, --drop-inuse    - take the in-use mark off\n"
    "\t-R, --raw           - DELTA is a raw image (needs -b)\n"
    "\t-b, --blocksize SIZE - sectors of a cluster, for -R\n"
    "\t-S, --repair-sparse - fill the holes of the file with zeros\n";

constexpr const char* info_usage = "Usage: ploop info [-s] [-d] DiskDescriptor.xml\n"
                                   "       -s := size of the disk, cluster size and format version\n"
                                   "       -d := device and partition, if it is mounted\n"
                                   "       without an option: space and inodes of the file system inside\n";

constexpr const char* list_usage = "Usage: ploop list [-a]\n"
                                   "       -a := mount points, too\n";

constexpr const char* convert_usage = "Usage: ploop convert -f FORMAT DiskDescriptor.xml\n"
                                      "       ploop convert -v VERSION DiskDescriptor.xml\n"
                                      "       FORMAT := { raw | ploop1 | expanded | preallocated }\n"
                                      "       VERSION := { 1 | 2 }\n";

constexpr const char* resize_usage =
    "Usage: ploop resize { -s SIZE | -b } { DiskDescriptor.xml | PLOOP_DEVICE }\n"
    "       ploop resize [-s SIZE] DEVICE\n"
    "       SIZE := NUMBER[KMGT]; partition and file system follow, also while they are mounted; a\n"
    "       mounted disk gets smaller by its balloon\n"
    "       -b := inflate the balloon of a mounted disk as far as there is room\n"
    "       PLOOP_DEVICE := /dev/ploop0, ..., of a running disk\n"
    "       DEVICE := another block device, which is not in use (default: all of it is used)\n";

constexpr const char* grow_usage = "Usage: ploop grow -s SIZE { DiskDescriptor.xml | -d DEVICE }\n"
                                   "       ploop grow [-f FORMAT] -s SIZE DELTA\n"
                                   "       SIZE := NUMBER[KMGT], a multiple of the cluster\n"
                                   "       DEVICE := /dev/ploop0, ..., of a running disk\n"
                                   "       FORMAT := { raw | ploop1 } (default: ploop1)\n";

constexpr const char* snapshot_usage =
    "Usage: ploop snapshot [-F] [-u UUID] [-b CBT_UUID] DiskDescriptor.xml\n"
    "       ploop snapshot [-F] [-u UUID] [-b CBT_UUID] -d DEVICE [DELTA]\n"
    "       -F := sync the mounted file system first\n"
    "       DEVICE := /dev/ploop0, ..., of a running disk\n"
    "       DELTA := the file of the new top (default: named by the DiskDescriptor.xml)\n"
    "       UUID := {8-4-4-4-12}, of the new snapshot (default: a random one)\n"
    "       CBT_UUID := 8-4-4-4-12, of a change bitmap that begins here\n";

constexpr const char* tsnapshot_usage =
    "Usage: ploop tsnapshot -u UUID -c NAME [-m DIR] DiskDescriptor.xml\n"
    "       a temporary snapshot of a mounted disk, which is mounted itself, read-only\n"
    "       UUID := of the snapshot\n"
    "       NAME := of its mount, for ploop umount -c\n"
    "       DIR := where its file system is mounted (default: it is not)\n";

constexpr const char* snapshot_merge_usage =
    "Usage: ploop snapshot-merge [-u UUID [-U UUID2] | -A] [-n DELTA] DiskDescriptor.xml\n"
    "       UUID := the snapshot to merge with its parent (default: the top delta)\n"
    "       UUID2 := the other end of a range; all between the two become one\n"
    "       -A := all, down to the base\n"
    "       DELTA := a new file that takes the result\n";

constexpr const char* snapshot_switch_usage =
    "Usage: ploop snapshot-switch -u UUID [-D] DiskDescriptor.xml\n"
    "       UUID := the snapshot to go back to; what was written since the last one is lost\n"
    "       -D := keep the present top delta\n";

constexpr const char* snapshot_delete_usage = "Usage: ploop snapshot-delete -u UUID DiskDescriptor.xml\n"
                                              "       UUID := the snapshot to delete\n";

constexpr const char* snapshot_list_usage =
    "Usage: ploop snapshot-list [-H] [-u UUID] [-s] [-o FIELD[,FIELD...]] DiskDescriptor.xml\n"
    "       -H, --no-header := no line of titles\n"
    "       -u, --uuid, --id UUID := this one and those below it\n"
    "       -s, --snapshot := leave the top delta out, and mark its parent\n"
    "       -o, --output := which columns, in this order\n"
    "       FIELD := { parent_uuid | current | uuid | fname }\n";

constexpr const char* replace_usage =
    "Usage: ploop replace { -u UUID | -l LEVEL | -o CUR_DELTA } [-k] -i DELTA\n"
    "       { DiskDescriptor.xml | -d DEVICE | -m MOUNT_POINT }\n"
    "       UUID := of the image to be replaced\n"
    "       LEVEL := its distance from the base\n"
    "       CUR_DELTA := its file\n"
    "       DELTA := the file that replaces it, with the same content\n"
    "       -k, --keep-name := rename DELTA to the name of the old file\n";

constexpr const char* restore_descriptor_usage =
    "Usage: ploop restore-descriptor [-f FORMAT] [-b BLOCKSIZE] DIR DELTA\n"
    "       FORMAT := { raw | ploop1 | expanded | preallocated } (default: ploop1)\n"
    "       BLOCKSIZE := sectors of a cluster, of a raw image (default: the largest that fits)\n"
    "       DIR := where DiskDescriptor.xml is made\n";

constexpr const char* merge_usage =
    "Usage: ploop merge [-f FORMAT] [-n DELTA] TOP_DELTA [... BASE_DELTA]\n"
    "       ploop merge -d DEVICE [-l LEVEL[..TOP_LEVEL]] [-n DELTA]\n"
    "       FORMAT := { raw | ploop1 }, of the base (default: ploop1)\n"
    "       DELTA := a new file that takes the result\n"
    "       DEVICE := /dev/ploop0, ..., of a running disk\n"
    "       LEVEL := distance from the base, of the lowest image of the merge (default: 0)\n"
    "       TOP_LEVEL := of the highest (default: LEVEL + 1; without -l the top)\n";

constexpr const char* copy_usage =
    "Usage: ploop copy -s DEVICE [-F STOP_COMMAND] {[-d FILE] | [-o OFD] [-f FFD]}\n"
    "       ploop copy -d FILE [-i IFD] [-f FFD]\n"
    "       DEVICE := the ploop device to send the top image of; its file system must be mounted\n"
    "       STOP_COMMAND := run before the last round, for which the file system is frozen\n"
    "       FILE := the image to be written, a new file\n"
    "       OFD := file descriptor to send to (default: 1)\n"
    "       IFD := file descriptor to receive from (default: 0)\n"
    "       FFD := file descriptor for the receiver's answer, a pipe or socket\n";

constexpr const char* balloon_usage =
    "Usage: ploop-balloon ACTION [-f] { -d DEVICE | -m MNT | DiskDescriptor.xml }\n"
    "       ploop-balloon change -s SIZE { -d DEVICE | -m MNT | DiskDescriptor.xml }\n"
    "       ploop-balloon discard [--automount] [--to-free SIZE] [--min-block SIZE]\n"
    "       [--defrag] [--stat] { -d DEVICE | -m MNT | DiskDescriptor.xml }\n"
    "       DEVICE := /dev/ploop0, ..., of a running disk\n"
    "       MNT := where its file system is mounted\n"
    "       -s SIZE := of the balloon: NUMBER[KMGT]\n"
    "       -f := taken, and without effect, for scripts of old\n"
    "       --automount := work on an image that is not mounted\n"
    "       --to-free SIZE := stop when so much is given back\n"
    "       --min-block SIZE := leave free pieces alone that are smaller\n"
    "       --defrag := put files together first\n"
    "       --stat := only show what could be done\n"
    "Action: { show | status | clear | change | complete | check | repair | discard }\n";

constexpr std::array table = {
    Command{"init", run_init, init_usage, "make an image", false},
    Command{"mount", run_mount, mount_usage, "make a device of an image, and mount what is on it", false},
    Command{"umount", run_umount, umount_usage, "unmount it, and take the device away", false},
    Command{"resize", run_resize, resize_usage, "make the disk larger or smaller", false},
    Command{"convert", run_convert, convert_usage, "change format or version", false},
    Command{"check", run_check, check_usage, "find what is wrong with an image, and mend it", false},
    Command{"info", run_info, info_usage, "how full the disk is, or what it is", false},
    Command{"list", run_list, list_usage, "running devices", false},
    Command{"snapshot", run_snapshot, snapshot_usage, "make a snapshot", false},
    Command{"snapshot-list", run_snapshot_list, snapshot_list_usage, "list snapshots", false},
    Command{"snapshot-switch", run_snapshot_switch, snapshot_switch_usage, "go back to a snapshot", false},
    Command{"snapshot-delete", run_snapshot_delete, snapshot_delete_usage, "delete a snapshot", false},
    Command{"snapshot-merge", run_snapshot_merge, snapshot_merge_usage, "merge a snapshot with its parent",
            false},
    Command{"replace", run_replace, replace_usage, "put another file in the place of an image", false},
    Command{"restore-descriptor", run_restore_descriptor, restore_descriptor_usage,
            "make the DiskDescriptor.xml of an image", false},
    Command{"copy", run_copy, copy_usage, "send the image of a running device, or receive one", false},
    Command{"balloon", run_balloon, balloon_usage,
            "give unused space back (discard); the balloon of a mounted disk", false},
    Command{"grow", run_grow, grow_usage, nullptr, true},
    Command{"merge", run_merge, merge_usage, nullptr, true},
    Command{"tsnapshot", run_tsnapshot, tsnapshot_usage, nullptr, true},
    Command{"start", run_start, start_usage, nullptr, true},
    Command{"stop", run_stop, stop_usage, nullptr, true},
    Command{"clear", run_clear, clear_usage, nullptr, true},
    Command{"delete", run_delete, delete_usage, nullptr, true},
    Command{"rm", run_delete, delete_usage, nullptr, true},
    Command{"stat", run_stat, stat_usage, nullptr, true},
    Command{"getdev", run_getdev, getdev_usage, nullptr, true},
    Command{"fsck", run_fsck, check_usage, nullptr, false},
};

constexpr const char* common_text =
    "Options of all commands:\n"
    "       --dry-run := say what would be done, change nothing\n"
    "       --json := one JSON object on standard output, also for errors\n"
    "       --progress[=FD] := progress as JSON lines on that descriptor (default: 2)\n"
    "       --allow DIR := image files may lie there, too\n"
    "       --help := the usage of the command\n";

} // namespace

std::span<const Command> commands() {
    return table;
}

const Command* find_command(std::string_view name) {
    const auto* it =
        std::find_if(table.begin(), table.end(), [&](const Command& command) { return command.name == name; });
    return it == table.end() ? nullptr : it;
}

std::string summary_text() {
    std::string text = "Usage: ploop [-v] COMMAND [options] [arguments]\n";
    std::string low_level;
    for (const Command& command : table) {
        if (command.summary != nullptr) {
            std::string name(command.name);
            name.resize(20, ' ');
            text += "       ploop " + name + "- " + command.summary + "\n";
        } else if (command.low_level) {
            low_level += (low_level.empty() ? "" : ", ") + std::string(command.name);
        }
    }
    text += "Also:  " + low_level + "; ploop --version, ploop help [COMMAND]\n";
    return text + common_text + "\nType ploop <command> for the usage of one.\n";
}

} // namespace disktool::ploop::cli

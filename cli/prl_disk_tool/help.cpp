// SPDX-License-Identifier: LGPL-2.1-or-later
// --help and --usage, for the program and for each verb.
#include "arguments.h"

#include <array>
#include <string_view>

namespace disktool::cli {

namespace {

constexpr const char* common_text = R"(
Common options:
  --hdd IMAGE             the disk image
  -n, --dry-run           of verbs that change something: show the plan under the same lock; change nothing
  -v, --verbose           say each step and command; progress in lines where there is no terminal
  -q, --quiet             say nothing but errors
  --json                  one JSON document on standard output, also for errors
  --progress[=FD]         progress as JSON lines on that descriptor (default 2, standard error)
  --engine ENGINE         auto (default), native, or appliance (boots libguestfs; for cross-checking)
  --wait[=SECONDS]        wait for other users of the image (no number or 0: for ever)
  --allow-backing DIR     backing and data files may lie in DIR too, not only beside the image; repeatable
  --list-plugins          what formats and file systems are known; --dump-plugin NAME tells all of one
  --help, --usage         also after a verb; --version
  --force, --comm NAME    accepted and ignored, as the original does

Exit codes: 0 done or nothing to do; 1 failure; 2 usage; 3 not found or unreadable; 4 locked or in use; 5 not
enough space; 6 unsupported; 7 damaged or dirty; 8 size impossible; 9 a needed program is missing; 10 an interrupted
job cannot be recovered; 130 interrupted.
)";

constexpr const char* program_text =
    R"(prl_disk_tool: resize, compact, merge and convert disk images, aware of what is on them

  prl_disk_tool resize  --hdd IMAGE --size SIZE[K|M|G|T] [options]    make the disk bigger or smaller
  prl_disk_tool resize  --hdd IMAGE --info [--units K|M|G|T|b|s]      how small could it be?
  prl_disk_tool compact --hdd IMAGE [options]                         give unused space back to the host
  prl_disk_tool compact --hdd IMAGE --info                            how much would that be?
  prl_disk_tool merge   --hdd IMAGE [--external] [options]            drop internal snapshots, or join a chain
  prl_disk_tool convert --hdd IMAGE --plain | --expanding [options]   reserve all of the disk, or only its data
  prl_disk_tool convert --hdd IMAGE --format NAME --output PATH       the disk in another format
  prl_disk_tool convert --hdd IMAGE --info                            plain or expanding?
  prl_disk_tool recover --hdd IMAGE [-n]                              finish or roll back an interrupted job
  prl_disk_tool info    --hdd IMAGE                                   image, chain, table and contents on one page
  prl_disk_tool map     --hdd IMAGE [--svg FILE]                      what is in use, free or not allocated
  prl_disk_tool mount   --hdd IMAGE [--mount_point DIR] [options]     the disk as a block device, or mounted
  prl_disk_tool umount  --hdd IMAGE | --mount_point DIR               and gone again

prl_disk_tool VERB --help tells more of one. A kill at any moment leaves the old disk or the new one. Of a ploop disk
that is mounted, resize, compact, merge and --info work through its device, while it is in use.
)";

constexpr const char* resize_text = R"(prl_disk_tool resize --hdd IMAGE --size SIZE[K|M|G|T] [options]
prl_disk_tool resize --hdd IMAGE --info [--units K|M|G|T|b|s] [options]

Makes the virtual disk bigger or smaller, in place, and moves the backup GPT to its new end. A kill at any moment
leaves the old disk or the new one. SIZE without a letter is in MiB; it is rounded up to MiB. Partitions and file
systems keep their sizes unless --resize_partition is given, so that a disk can be cut only down to the end of the
last partition, or of a file system or physical volume on the whole disk. A disk with internal snapshots is refused;
merge removes them.
  --size SIZE             the new size
  --resize_partition      the last partition (by place) and its content follow the disk, in place: the partition,
                          an extended one around it, a physical volume and its last volume, the file system.
                          Content that cannot be resized stays as it is, where the new size leaves it whole
  --partition N           with --resize_partition: resize partition N, not the last, where its neighbours leave room
  --discard-tail          cut a disk without table and known content, which may hold anything: its tail is lost
  -i, --info              show the size, and the least size with and without resizing the last partition
  --units UNIT            of --info: K, M (default), G, T, b (bytes) or s (sectors)
)";

constexpr const char* compact_text = R"(prl_disk_tool compact --hdd IMAGE [options]
prl_disk_tool compact --hdd IMAGE --info [options]

Gives back to the host what the file systems on the disk call free, and what lies in no partition, in place.
File contents are never touched. A kill at any moment leaves a valid image; run it again to finish.
  -i, --info              show blocks in all, allocated on the host and in use in the guest
)";

constexpr const char* merge_text = R"(prl_disk_tool merge --hdd IMAGE [options]
prl_disk_tool merge --external --hdd TOP [--force-merge-shared] [options]

Without --external: deletes all internal snapshots; the disk's present content stays, and what only the snapshots
held goes back to the host.
With --external: the backing chain below TOP becomes one image with the name of TOP. Each cluster is moved once, in
the direction that moves fewer bytes, which the plan (-n) tells. The other images of the chain are removed when the
result is synced and verified. Internal snapshots anywhere in the chain are refused.
  --external              join the backing chain
  --force-merge-shared    also when another image in the same folder still uses one of the backing files: that
                          image becomes useless
)";

constexpr const char* convert_text = R"(prl_disk_tool convert --hdd IMAGE --plain | --expanding [options]
prl_disk_tool convert --hdd IMAGE --format NAME --output PATH [--verify] [options]
prl_disk_tool convert --hdd IMAGE --info [options]

Changes how the image holds its disk, or writes the disk in another format beside it.
  --plain                 allocate every cluster and reserve its blocks on the host: later writes of the guest need
                          no new space. A plain image stays plain when it grows
  --expanding             hold only what is not zero
  --format NAME           write the disk as a new, sparse image of that format; --list-plugins names them
  --output PATH           of --format: the new image; nothing may be there yet
  --verify                of --format: read the new image again and compare
  -i, --info              say whether the image is plain or expanding
)";

constexpr const char* recover_text = R"(prl_disk_tool recover --hdd IMAGE [-n] [options]

Finishes or rolls back what an interrupted job left, as its record IMAGE.disktool-job tells. Every verb that changes
an image does so first by itself. Nothing to do where there is no record.
)";

constexpr const char* info_text = R"(prl_disk_tool info --hdd IMAGE [options]

Shows on one page: the image, its backing chain, internal snapshots and bitmaps, the partition table, and of each
partition and volume the file system with its label, used and free space, least size and state. Changes nothing,
and works on the disk of a running VM (the figures are then those of a moment) and on raw disks. Damage on the disk
is told and is no error, as long as the image can be read. Looks in-process, whatever --engine says.
)";

constexpr const char* map_text = R"(prl_disk_tool map --hdd IMAGE [--svg FILE] [options]

Shows which parts of the disk are in use, which are free in their file system but still held by the image (what
compact gives back), which are not allocated, and where the partition table and the gaps between partitions lie.
Changes nothing. The line is as wide as the terminal ($COLUMNS, else 80); colours follow $NO_COLOR and
$CLICOLOR_FORCE. Looks in-process, whatever --engine says.
  --svg FILE              draw a picture into FILE; only an SVG picture or an empty file is overwritten
)";

constexpr const char* mount_text = R"(prl_disk_tool mount --hdd IMAGE [--read-only] [options]
prl_disk_tool mount --hdd IMAGE --mount_point DIR [--type TYPE] [--options LIST] [--read-only] [options]

Makes the disk a block device of the kernel, with its partitions, and prints the name of the device; with
--mount_point its file system is mounted, too: the first partition with one that is known, or the whole disk. QEMU
reads and writes the image. Needs root. Here the host's kernel does read what is on the disk: mount what you trust.
A ploop disk is mounted by ploop. What a device whose process has died left of the disk is cleared away, unless it is
still mounted: exit 4 then, and umount clears it away.
  -m, --mount_point DIR   mount the file system in that folder
  -t, --type TYPE         the type of the file system; found out where it is left out
  -o, --options LIST      options of mount(8), with commas
  -r, --read-only         write neither to the image nor to what is on it
)";

constexpr const char* umount_text = R"(prl_disk_tool umount --hdd IMAGE | --mount_point DIR [options]

Unmounts what is mounted of the disk, and takes the device away. All that was written is on stable storage then.
Refused (exit 4) while a program uses it. What is left of a device whose process has died goes, too: what was not
flushed then is lost, and that is said.
  -m, --mount_point DIR   the disk that is mounted there
)";

struct Text {
    std::string_view verb;
    const char* help;
    const char* usage;
};

constexpr Text whole_program = {"", program_text,
                                "Usage: prl_disk_tool { resize | compact | merge | convert | recover | info | "
                                "map | mount | umount } --hdd IMAGE [options]; prl_disk_tool --help tells "
                                "all\n"};

constexpr std::array texts = {
    Text{"resize", resize_text,
         "Usage: prl_disk_tool resize --hdd IMAGE { --size SIZE[K|M|G|T] [--resize_partition [--partition N]] "
         "[--discard-tail] [-n] | --info [--units UNIT] } [options]\n"},
    Text{"compact", compact_text, "Usage: prl_disk_tool compact --hdd IMAGE { [-n] | --info } [options]\n"},
    Text{"merge", merge_text,
         "Usage: prl_disk_tool merge --hdd IMAGE [--external [--force-merge-shared]] [-n] [options]\n"},
    Text{"convert", convert_text,
         "Usage: prl_disk_tool convert --hdd IMAGE { --plain [-n] | --expanding [-n] | --format NAME --output "
         "PATH [--verify] [-n] | --info } [options]\n"},
    Text{"recover", recover_text, "Usage: prl_disk_tool recover --hdd IMAGE [-n] [options]\n"},
    Text{"info", info_text, "Usage: prl_disk_tool info --hdd IMAGE [options]\n"},
    Text{"map", map_text, "Usage: prl_disk_tool map --hdd IMAGE [--svg FILE] [options]\n"},
    Text{"mount", mount_text,
         "Usage: prl_disk_tool mount --hdd IMAGE [--mount_point DIR [--type TYPE] [--options LIST]] "
         "[--read-only] [-n] [options]\n"},
    Text{"umount", umount_text, "Usage: prl_disk_tool umount --hdd IMAGE | --mount_point DIR [-n] [options]\n"},
};

const Text& text_of(const std::string& verb) {
    for (const Text& text : texts) {
        if (text.verb == verb) {
            return text;
        }
    }
    return whole_program;
}

} // namespace

std::string help_text(const std::string& verb) {
    return std::string(text_of(verb).help) + common_text;
}

std::string usage_text(const std::string& verb) {
    return text_of(verb).usage;
}

} // namespace disktool::cli

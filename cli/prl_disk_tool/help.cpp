// SPDX-License-Identifier: LGPL-2.1-or-later
// --help and --usage, for the program and for each verb.
#include "arguments.h"

namespace disktool::cli {

namespace {

constexpr const char* common_text = R"(
Common options:
  --hdd IMAGE             the disk image
  -n, --dry-run           show the plan under the same lock; change nothing
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

constexpr const char* program_text = R"(prl_disk_tool: resize and compact disk images, in place

  prl_disk_tool resize  --hdd IMAGE --size SIZE[K|M|G|T] [options]    make the disk bigger
  prl_disk_tool resize  --hdd IMAGE --info [--units K|M|G|T|b|s]      how small could it be?
  prl_disk_tool compact --hdd IMAGE [options]                         give unused space back to the host
  prl_disk_tool compact --hdd IMAGE --info                            how much would that be?
)";

constexpr const char* resize_text = R"(prl_disk_tool resize --hdd IMAGE --size SIZE[K|M|G|T] [options]
prl_disk_tool resize --hdd IMAGE --info [--units K|M|G|T|b|s] [options]

Makes the virtual disk bigger, in place, and moves the backup GPT to its new end. A kill at any moment leaves the
old disk or the new one. SIZE without a letter is in MiB; it is rounded up to MiB. Partitions and file systems keep
their sizes.
  --size SIZE             the new size
  -i, --info              show the size, and the least size with and without resizing the last partition
  --units UNIT            of --info: K, M (default), G, T, b (bytes) or s (sectors)
)";

constexpr const char* compact_text = R"(prl_disk_tool compact --hdd IMAGE [options]
prl_disk_tool compact --hdd IMAGE --info [options]

Gives back to the host what the file systems on the disk call free, and what lies in no partition, in place.
File contents are never touched. A kill at any moment leaves a valid image; run it again to finish.
  -i, --info              show blocks in all, allocated on the host and in use in the guest
)";

} // namespace

std::string help_text(const std::string& verb) {
    const char* first = verb == "resize" ? resize_text : verb == "compact" ? compact_text : program_text;
    return std::string(first) + common_text;
}

std::string usage_text(const std::string& verb) {
    if (verb == "resize") {
        return "Usage: prl_disk_tool resize --hdd IMAGE { --size SIZE[K|M|G|T] [-n] | --info [--units UNIT] } "
               "[options]\n";
    }
    if (verb == "compact") {
        return "Usage: prl_disk_tool compact --hdd IMAGE { [-n] | --info } [options]\n";
    }
    return "Usage: prl_disk_tool { resize | compact } --hdd IMAGE [options]; prl_disk_tool --help tells all\n";
}

} // namespace disktool::cli

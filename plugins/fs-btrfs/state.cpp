// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state.h"

#include <fmt/format.h>

#include <utility>

namespace disktool::btrfs {

namespace {

FilesystemState untrusted(Reason reason, std::string sentence, bool appliance_can_help) {
    return {reason, std::move(sentence), false, appliance_can_help};
}

} // namespace

FilesystemState read_state(const Superblock& super, const Mirrors& mirrors) {
    if ((super.flags & super_flag::error) != 0)
        return untrusted(
            Reason::filesystem_has_errors,
            "the kernel found errors in it and marked it so; look at it with btrfs check in the guest", false);
    if ((super.flags & super_flag::changing) != 0)
        return untrusted(Reason::filesystem_dirty,
                         "btrfstune was interrupted while it changed it; run btrfstune again to the end",
                         false);
    if (super.log_root != 0)
        return untrusted(
            Reason::journal_needs_replay,
            "it was not unmounted and its log tree must be replayed first; shut the guest down cleanly "
            "(start it first if it is down)",
            true);
    // A power cut amid a commit: the kernel goes on from the older, first one, but whoever recovers by a mirror
    // needs what the newer one points to.
    if (mirrors.newest_generation > super.generation)
        return untrusted(
            Reason::filesystem_dirty,
            fmt::format("a mirror of its superblock is newer (generation {}) than the first one ({}); "
                        "mount it once in the guest",
                        mirrors.newest_generation, super.generation),
            true);
    return {Reason::none, "clean", true, false};
}

} // namespace disktool::btrfs

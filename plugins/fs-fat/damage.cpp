// SPDX-License-Identifier: LGPL-2.1-or-later
#include "damage.h"

#include <fmt/format.h>

namespace disktool::fat {

Error damage(const BlockDevice& device, std::string_view what) {
    return Error(ErrorCode::damaged,
                 fmt::format("{}: the FAT file system is damaged: {}; repair it with chkdsk /f in Windows, or "
                             "fsck.fat or fsck.exfat in Linux (in the guest, or on a copy of the disk)",
                             device.name(), what),
                 Reason::filesystem_damaged);
}

Error unsupported(const BlockDevice& device, std::string_view what, Reason reason) {
    return Error(ErrorCode::unsupported, fmt::format("{}: {}", device.name(), what), reason);
}

FilesystemState unclean_state(bool dirty, bool hard_error) {
    FilesystemState state;
    state.sentence = "clean";
    if (hard_error) {
        state.reason = Reason::filesystem_has_errors;
        state.sentence = "it is marked as having had I/O errors: check it in the guest (chkdsk /f, fsck.fat)";
    } else if (dirty) {
        state.reason = Reason::filesystem_dirty;
        state.sentence = "it was not unmounted properly: check it in the guest (chkdsk /f, fsck.fat)";
    }
    state.free_map_trusted = state.clean();
    return state;
}

void demand_trust(const BlockDevice& device, std::string_view type, const FilesystemState& state) {
    if (!state.free_map_trusted)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: the {} file system cannot be analysed as it is: {}", device.name(), type,
                                state.sentence),
                    state.reason);
}

MinimumSize fixed_size(std::uint64_t size) {
    return {size, Reason::filesystem_cannot_shrink,
            "FAT file systems cannot be resized by this tool; move the files to a new one"};
}

} // namespace disktool::fat

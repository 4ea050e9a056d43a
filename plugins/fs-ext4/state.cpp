// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state.h"

#include "damage.h"

#include <disktool/disk_text.h>

#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace disktool::ext4 {

namespace {

FilesystemState untrusted(Reason reason, std::string sentence, bool appliance_can_help) {
    return {reason, std::move(sentence), false, appliance_can_help};
}

/// Who else may be at it, as the multiple-mount protection block says. It is all on one block, which every
/// mount rewrites every few seconds with a new sequence number.
std::optional<FilesystemState> read_protection(ext2_filsys fs, BlockDevice& device) {
    const std::uint64_t block = fs->super->s_mmp_block;
    if (block <= fs->super->s_first_data_block || block >= ext2fs_blocks_count(fs->super))
        throw damage(device, fmt::format("its multiple-mount protection is said to lie at block {}", block));
    std::vector<std::byte> buffer(fs->blocksize);
    device.read(block * fs->blocksize, buffer);
    auto* protection = reinterpret_cast<mmp_struct*>(buffer.data());
    if (ext2fs_le32_to_cpu(protection->mmp_magic) != EXT4_MMP_MAGIC || !ext2fs_mmp_csum_verify(fs, protection))
        throw damage(device, fmt::format("its multiple-mount protection (block {}) is not valid", block));
    const std::string host = disk_text(protection->mmp_nodename);
    switch (ext2fs_le32_to_cpu(protection->mmp_seq)) {
    case EXT4_MMP_SEQ_CLEAN:
        return std::nullopt;
    case EXT4_MMP_SEQ_FSCK:
        return untrusted(
            Reason::filesystem_being_checked,
            fmt::format("e2fsck works on it on host \"{}\", or was killed there; wait for it to end, "
                        "or run e2fsck -f once more",
                        host),
            false);
    default:
        return untrusted(
            Reason::filesystem_dirty,
            fmt::format("it is mounted on host \"{}\", or was when that host went down; unmount it "
                        "there",
                        host),
            false);
    }
}

} // namespace

FilesystemState read_state(ext2_filsys fs, BlockDevice& device) {
    if (ext2fs_has_feature_mmp(fs->super))
        if (std::optional<FilesystemState> other = read_protection(fs, device))
            return *std::move(other);
    if ((fs->super->s_state & EXT2_ERROR_FS) != 0)
        return untrusted(
            Reason::filesystem_has_errors,
            "the kernel found errors in it and marked it so; repair it with e2fsck -f in the guest", false);
    if (ext2fs_has_feature_journal_needs_recovery(fs->super)) {
        if (fs->super->s_journal_inum == 0)
            return untrusted(
                Reason::journal_needs_replay,
                "it was not unmounted and its journal, which lies on another device, must be replayed "
                "first; start the guest and shut it down cleanly",
                false);
        return untrusted(
            Reason::journal_needs_replay,
            "it was not unmounted and its journal must be replayed first; shut the guest down cleanly "
            "(start it first if it is down)",
            true);
    }
    if ((fs->super->s_state & EXT2_VALID_FS) == 0)
        return untrusted(
            Reason::filesystem_dirty,
            "it was not unmounted cleanly and has no journal to replay; check it with e2fsck -f in the "
            "guest",
            false);
    return {Reason::none, "clean", true, false};
}

} // namespace disktool::ext4

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_at_rest.h"

// Of the ext4 plugin, whose code is linked in.
#include "balloon_file.h"
#include "library_handle.h"

#include <disktool/error.h>
#include <disktool/subprocess.h>
#include <disktool/workbench.h>

#include <fmt/format.h>

#include <string>

namespace disktool::ploop::cli {

namespace {

constexpr int fsck_corrected = 1;
constexpr int punch_rounds = 64;
constexpr std::uint64_t block_unit = 512; ///< of i_blocks

class DeflateAtRest final : public Step {
  public:
    DeflateAtRest(int partition, const BalloonAtRest& balloon) : partition_(partition), balloon_(balloon) {}
    std::string kind() const override { return "ploop.deflate-balloon"; }
    std::string text() const override {
        return fmt::format("empty the balloon of {} bytes on {} (debugfs, e2fsck)", balloon_.allocated,
                           partition_ == 0 ? "the whole disk" : fmt::format("partition {}", partition_));
    }
    void commit(StepContext& context) override {
        Command change;
        const std::string path = context.workbench().path(partition_);
        change.arguments = {"debugfs", "-w", "-f", "-", path};
        // libext2fs (1.47) passes over an extent after each one that it takes out: again until none can be
        // left. An empty file takes no time.
        for (int round = 0; round < punch_rounds; ++round) {
            change.input += fmt::format("punch /{} 0\n", balloon_name);
        }
        change.input += fmt::format("set_inode_field /{0} size 0\nset_inode_field /{0} flags {1:#x}\n",
                                    balloon_name, balloon_.flags & ~std::uint32_t{EXT2_IMMUTABLE_FL});
        run(context, change);
        Command check;
        check.arguments = {"e2fsck", "-f", "-p", path};
        const CommandResult result = run(context, check);
        if (result.timed_out || result.exit_status > fsck_corrected ||
            balloon_at_rest(context.workbench().window(partition_))) {
            throw Error(
                ErrorCode::failure,
                fmt::format("The balloon could not be emptied; nothing was changed. Mount the disk and use "
                            "ploop balloon change -s 0. e2fsck ends with {}: {}{}",
                            result.exit_status, result.output, result.errors));
        }
    }
    std::string needs_no_undo() const override {
        return "only a working state of the disk is changed, which nobody sees before it becomes the image's "
               "own";
    }

  private:
    static CommandResult run(StepContext& context, Command& command) {
        command.cancel = &context.cancel();
        return context.workbench().run({command.arguments.front(), "1.43", "e2fsprogs"}, command);
    }

    int partition_;
    BalloonAtRest balloon_;
};

} // namespace

std::optional<BalloonAtRest> balloon_at_rest(BlockDevice& filesystem) {
    const ext4::LibraryHandle handle(filesystem);
    ext2_ino_t inode = 0;
    ext2_inode content{};
    if (ext2fs_lookup(handle.get(), EXT2_ROOT_INO, balloon_name.data(), static_cast<int>(balloon_name.size()),
                      nullptr, &inode) != 0 ||
        ext2fs_read_inode(handle.get(), inode, &content) != 0 || !LINUX_S_ISREG(content.i_mode)) {
        return std::nullopt;
    }
    const std::uint64_t allocated = ext2fs_get_stat_i_blocks(handle.get(), &content) * block_unit;
    return allocated == 0 ? std::nullopt : std::optional<BalloonAtRest>({allocated, content.i_flags});
}

std::unique_ptr<Step> deflate_at_rest_step(int partition, const BalloonAtRest& balloon) {
    return std::make_unique<DeflateAtRest>(partition, balloon);
}

} // namespace disktool::ploop::cli

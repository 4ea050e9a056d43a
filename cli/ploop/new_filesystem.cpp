// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_filesystem.h"

#include "engine/host_program.h"
#include "new_table.h"
#include "ploop_error.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <ext2fs/ext2fs.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <vector>

namespace disktool::ploop::cli {

namespace {

constexpr std::string_view balloon_name = ".balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8";
constexpr std::uint64_t largest_growth = std::uint64_t{16} * TiB; ///< to which the resize inode leaves room
constexpr std::uint64_t copy_piece = 4 * MiB;
/// With less the journal has no room.
constexpr std::uint64_t least_partition = 257 * MiB;

PloopError failed(const std::string& sentence) {
    return {Exit::make_filesystem, ErrorCode::failure, sentence};
}

/// A file that goes when this does.
class Scratch {
  public:
    Scratch(FileDoor& files, const std::string& path, std::uint64_t size) : files_(files) {
        file_ = files.open(path, {.write = true, .create = true, .exclusive = true});
        file_->truncate(size);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        try {
            files_.remove(file_->path());
        } catch (const Error&) { // the next init with this name takes it away
        }
    }
    File& file() { return *file_; }

  private:
    FileDoor& files_;
    std::unique_ptr<File> file_;
};

void run(StepContext& context, const std::string& program, std::vector<std::string> arguments) {
    const HostProgram found = require_program(context.doors(), program, "1.44", "e2fsprogs", "");
    Command command;
    command.arguments = {found.path};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    command.cancel = &context.cancel();
    const CommandResult result = context.doors().processes.run(command);
    if (!result.ok()) {
        std::string why = result.errors.substr(0, 2000);
        std::ranges::replace(why, '\n', ' ');
        throw failed(fmt::format("The file system cannot be made: {} ends with {}: {}", program,
                                 result.exit_status, why));
    }
}

void make_ext(StepContext& context, const std::string& path, Range partition, const NewFilesystem& wanted) {
    const std::uint64_t room = std::min<std::uint64_t>(largest_growth / wanted.block_size, UINT32_MAX);
    std::string extended = fmt::format("lazy_itable_init={},resize={},nodiscard,offset={}", wanted.lazy ? 1 : 0,
                                       room, partition.offset);
    if (!wanted.lazy) {
        extended += ",lazy_journal_init=0";
    }
    run(context, "mke2fs",
        {"-q", "-F", "-t", wanted.type, "-j", fmt::format("-b{}", wanted.block_size), "-E", extended,
         "-Jsize=128", "-i16384", path, std::to_string(partition.length / wanted.block_size)});
    run(context, "tune2fs",
        {"-ouser_xattr,acl", "-c0", "-i0", "-eremount-ro",
         fmt::format("{}?offset={}", path, partition.offset)});
}

void check(errcode_t code, const char* what) {
    if (code != 0) {
        throw failed(fmt::format("The balloon file cannot be made: {}: error {} of libext2fs", what, code));
    }
}

/// As the original leaves it: empty, only for root, in the root folder. Its name is how all tools find it.
void make_balloon_file(const std::string& path, std::uint64_t offset) {
    ext2_filsys fs = nullptr;
    check(ext2fs_open2(path.c_str(), fmt::format("offset={}", offset).c_str(), EXT2_FLAG_RW | EXT2_FLAG_64BITS,
                       0, 0, unix_io_manager, &fs),
          "opening the file system");
    const auto make = [&] {
        check(ext2fs_read_bitmaps(fs), "reading its bitmaps");
        ext2_ino_t inode = 0;
        check(ext2fs_new_inode(fs, EXT2_ROOT_INO, LINUX_S_IFREG | 0600, nullptr, &inode), "finding an inode");
        check(ext2fs_link(fs, EXT2_ROOT_INO, std::string(balloon_name).c_str(), inode, EXT2_FT_REG_FILE),
              "its name");
        ext2fs_inode_alloc_stats2(fs, inode, 1, 0);
        ext2_inode_large content{};
        content.i_mode = LINUX_S_IFREG | 0600;
        content.i_links_count = 1;
        content.i_atime = content.i_ctime = content.i_mtime = content.i_crtime =
            static_cast<std::uint32_t>(std::time(nullptr));
        content.i_extra_isize = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
        auto* const base = reinterpret_cast<ext2_inode*>(&content);
        check(ext2fs_write_new_inode(fs, inode, base), "its inode");
        if (ext2fs_has_feature_extents(fs->super)) {
            ext2_extent_handle_t handle = nullptr;
            content.i_flags |= EXT4_EXTENTS_FL;
            check(ext2fs_extent_open2(fs, inode, base, &handle), "its extents");
            ext2fs_extent_free(handle);
            check(ext2fs_write_inode_full(fs, inode, base, sizeof content), "its inode");
        }
    };
    try {
        make();
    } catch (...) {
        ext2fs_free(fs);
        throw;
    }
    check(ext2fs_close_free(&fs), "writing it");
}

/// What is not zero.
void take_over(StepContext& context, File& scratch, BlockDevice& disk) {
    std::vector<std::byte> buffer(copy_piece);
    for (std::uint64_t at = 0; at < disk.size();) {
        context.cancel().check();
        const std::optional<std::uint64_t> data = scratch.next_data(at);
        if (!data) {
            return;
        }
        const std::uint64_t end = std::min(disk.size(), scratch.next_hole(*data).value_or(disk.size()));
        for (at = *data; at < end;) {
            const auto part = std::span(buffer).first(std::min(copy_piece, end - at));
            scratch.read(at, part);
            // In small pieces: what mke2fs wrote as zeros shall not take room.
            for (std::uint64_t done = 0; done < part.size(); done += 64 * KiB) {
                const auto piece = part.subspan(done, std::min<std::uint64_t>(64 * KiB, part.size() - done));
                if (!all_zero(piece)) {
                    disk.write(at + done, piece);
                }
            }
            at += part.size();
        }
    }
}

} // namespace

std::string make_filesystem_text(const NewFilesystem& wanted) {
    return fmt::format("make a GPT with one partition and an {} with the balloon file on it (mke2fs, tune2fs)",
                       wanted.type);
}

void make_filesystem(StepContext& context, BlockDevice& disk, const std::string& scratch_path,
                     const NewFilesystem& wanted) {
    Scratch scratch(context.doors().files, scratch_path, disk.size());
    const Range partition = make_table(scratch_path, disk.size(), wanted.cluster_sectors);
    make_ext(context, scratch_path, partition, wanted);
    make_balloon_file(scratch_path, partition.offset);
    take_over(context, scratch.file(), disk);
}

void make_filesystem_on_device(StepContext& context, const std::string& device, std::uint64_t size,
                               const NewFilesystem& wanted) {
    const std::uint64_t around = 2 * std::uint64_t{wanted.cluster_sectors} * 512;
    if (size < least_partition + around) {
        throw failed(fmt::format("{} has {}; the journal of a new file system wants at least {}", device,
                                 size_text(size), size_text(least_partition + around)));
    }
    for (const char* program : {"mke2fs", "tune2fs"}) {
        require_program(context.doors(), program, "1.44", "e2fsprogs", "");
    }
    const Range partition = make_table(device, size, wanted.cluster_sectors);
    make_ext(context, device, partition, wanted);
}

} // namespace disktool::ploop::cli

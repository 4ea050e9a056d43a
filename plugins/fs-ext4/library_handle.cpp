// SPDX-License-Identifier: LGPL-2.1-or-later
#include "library_handle.h"

#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstddef>
#include <span>
#include <string_view>

namespace disktool::ext4 {

namespace {

std::string explanation(errcode_t code) {
    static const bool registered = (initialize_ext2_error_table(), true);
    return registered ? error_message(code) : std::string();
}

} // namespace

LibraryHandle::LibraryHandle(BlockDevice& device)
    : device_(device), name_(fmt::format("{:x}", reinterpret_cast<std::uintptr_t>(this))) {
    const errcode_t code =
        ext2fs_open2(name_.c_str(), nullptr, EXT2_FLAG_64BITS, 0, 0, manager(), &filesystem_);
    if (failure_)
        std::rethrow_exception(failure_);
    if (code != 0)
        throw damage(device, fmt::format("libext2fs does not open it: {}", explanation(code)));
}

LibraryHandle::~LibraryHandle() {
    ext2fs_free(filesystem_);
}

io_manager LibraryHandle::manager() {
    static struct_io_manager table = [] {
        struct_io_manager t{};
        t.magic = EXT2_ET_MAGIC_IO_MANAGER;
        t.name = "disktool block device";
        t.open = open_channel;
        t.close = [](io_channel) -> errcode_t { return 0; };
        t.set_blksize = [](io_channel channel, int size) -> errcode_t {
            channel->block_size = size;
            return 0;
        };
        t.read_blk = [](io_channel channel, unsigned long block, int count, void* data) {
            return read_blocks(channel, block, count, data);
        };
        t.read_blk64 = read_blocks;
        t.write_blk = [](io_channel, unsigned long, int, const void*) -> errcode_t {
            return EXT2_ET_RO_FILSYS;
        };
        t.write_blk64 = [](io_channel, unsigned long long, int, const void*) -> errcode_t {
            return EXT2_ET_RO_FILSYS;
        };
        t.flush = [](io_channel) -> errcode_t { return 0; };
        return t;
    }();
    return &table;
}

// libext2fs gives an I/O manager nothing but the name, so the name says where the handle is.
errcode_t LibraryHandle::open_channel(const char* name, int flags, io_channel* channel) {
    if ((flags & IO_FLAG_RW) != 0)
        return EXT2_ET_RO_FILSYS;
    const std::string_view text = name;
    std::uintptr_t address = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), address, 16).ec != std::errc{})
        return EXT2_ET_BAD_DEVICE_NAME;
    auto* self = std::bit_cast<LibraryHandle*>(address);
    self->channel_.magic = EXT2_ET_MAGIC_IO_CHANNEL;
    self->channel_.manager = manager();
    self->channel_.name = self->name_.data();
    self->channel_.block_size = SUPERBLOCK_OFFSET;
    self->channel_.refcount = 1;
    self->channel_.private_data = self;
    *channel = &self->channel_;
    return 0;
}

errcode_t LibraryHandle::read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
    auto* self = static_cast<LibraryHandle*>(channel->private_data);
    try {
        self->read(block, count, data);
        return 0;
    } catch (...) {
        self->failure_ = std::current_exception();
        return EXT2_ET_SHORT_READ;
    }
}

void LibraryHandle::read(std::uint64_t block, int count, void* data) {
    // By libext2fs's convention a negative count is one of bytes.
    const auto block_size = static_cast<std::uint64_t>(channel_.block_size);
    const std::uint64_t length = count < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(count)
                                           : static_cast<std::uint64_t>(count) * block_size;
    if (block > device_.size() / block_size)
        throw damage(device_, fmt::format("block {} lies beyond the end of the device of {}", block,
                                          exact_size_text(device_.size())));
    device_.read(block * block_size, {static_cast<std::byte*>(data), length});
}

} // namespace disktool::ext4

// SPDX-License-Identifier: GPL-2.0-or-later
// The fs-ntfs plugin on hostile file systems. Input: a byte of flags, the size of the disk in MiB (two bytes),
// then blocks of the disk: where (three bytes, in units of 512), how long (one byte, in units of 512, 0: 256),
// and the bytes; what is not told is zero. An Error is a good answer; any other exception, a crash, a map that
// contradicts the file system's own figures or a time-out is a finding.
#include "boot_sector.h"
#include "little_endian.h"
#include "ntfs_plugin.h"

#include <disktool/error.h>
#include <disktool/plan.h>
#include <disktool/size.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

namespace disktool::ntfs {
namespace {

constexpr std::uint8_t flag_seal = 1; ///< make update sequences right, so that the fuzzer gets behind them
constexpr std::size_t block = 512;

class Disk : public BlockDevice {
  public:
    explicit Disk(Bytes input) : size_((1 + little<std::uint16_t>(input, 1)) * MiB) {
        const bool seal = (std::to_integer<unsigned>(input[0]) & flag_seal) != 0;
        input = input.subspan(3);
        while (input.size() >= 4) {
            std::uint64_t at = little<std::uint16_t>(input, 0) | std::uint64_t{little<std::uint8_t>(input, 2)}
                                                                     << 16;
            const std::size_t length =
                block * (little<std::uint8_t>(input, 3) == 0 ? 256 : little<std::uint8_t>(input, 3));
            input = input.subspan(4);
            const Bytes data = input.first(std::min(length, input.size()));
            for (std::size_t done = 0; done < data.size(); done += block, ++at) {
                std::array<std::byte, block>& target = blocks_[at];
                const Bytes part = data.subspan(done, std::min(block, data.size() - done));
                std::memcpy(target.data(), part.data(), part.size());
            }
            input = input.subspan(data.size());
        }
        if (seal)
            seal_records();
    }

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        std::ranges::fill(buffer, std::byte{0});
        const std::uint64_t end = offset + buffer.size();
        for (auto it = blocks_.lower_bound(offset / block); it != blocks_.end() && it->first * block < end;
             ++it) {
            const std::uint64_t from = std::max(offset, it->first * block);
            const std::uint64_t to = std::min(end, (it->first + 1) * block);
            std::copy_n(it->second.data() + (from - it->first * block), to - from,
                        buffer.data() + (from - offset));
        }
    }

  private:
    /// Every block that starts as a record does says where its update sequence is; the blocks of the record get
    /// its number as their last two bytes.
    void seal_records() {
        for (auto& [at, head] : blocks_) {
            const bool record = std::memcmp(head.data(), "FILE", 4) == 0 ||
                                std::memcmp(head.data(), "INDX", 4) == 0 ||
                                std::memcmp(head.data(), "RSTR", 4) == 0;
            const std::size_t place = little<std::uint16_t>(head, 4);
            const std::size_t count = little<std::uint16_t>(head, 6);
            if (!record || place > block - 2)
                continue;
            const std::array<std::byte, 2> number{head[place], head[place + 1]};
            for (std::size_t i = 1; i < count && i <= 128; ++i)
                std::memcpy(blocks_[at + i - 1].data() + block - 2, number.data(), number.size());
        }
    }

    std::uint64_t size_;
    std::map<std::uint64_t, std::array<std::byte, block>> blocks_;
};

void demand(bool condition) {
    if (!condition)
        std::abort();
}

void open_and_look(Disk& disk) {
    Plugin plugin;
    const int confidence = plugin.probe(disk);
    demand(confidence >= 0 && confidence <= 100);
    const std::unique_ptr<Filesystem> filesystem = plugin.open(disk);
    const FilesystemUsage usage = filesystem->usage();
    demand(usage.size <= disk.size() && usage.free <= usage.size);
    filesystem->details();
    filesystem->can_grow();
    if (!filesystem->state().free_map_trusted)
        return;
    const ExtentSet free = filesystem->free_extents();
    demand(free.empty() || free.span().end() <= usage.size);
    demand(free.total() == usage.free);
    demand(!free.intersects({0, block}));
    const std::uint64_t minimum = filesystem->minimum_size().bytes;
    demand(minimum > 0 && minimum <= usage.size);
    for (const std::uint64_t size : {minimum, disk.size(), disk.size() + GiB}) {
        Plan plan("resize", "disk");
        filesystem->plan_resize(plan, {1, disk.size(), size});
        plan.cost();
    }
}

} // namespace
} // namespace disktool::ntfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3)
        return 0;
    disktool::ntfs::Disk disk(std::as_bytes(std::span(data, size)));
    try {
        disktool::ntfs::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
// Hostile ploop images: header and BAT, read through the engine. An Error is a good answer; any other
// exception, a sanitizer's report or a time-out is a finding.
#include "disk.h"
#include "memory_file.h"

#include <disktool/error.h>

#include <algorithm>
#include <array>
#include <functional>

namespace disktool::fuzz {
namespace {

/// The input, and behind it zeros as the holes of a host's file would give: so a few bytes are an image whose
/// clusters lie within the file.
class PloopFile final : public File {
  public:
    explicit PloopFile(std::span<const std::byte> content, std::uint64_t size)
        : inner_(content), content_(content.size()), size_(std::max<std::uint64_t>(size, content.size())) {}

    const std::string& path() const override { return inner_.path(); }
    FileStatus status() override {
        FileStatus status = inner_.status();
        status.size = size_;
        return status;
    }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        if (offset >= size_) {
            return 0;
        }
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), size_ - offset));
        const std::size_t there = inner_.read_some(offset, part);
        std::ranges::fill(part.subspan(there), std::byte{0});
        return part.size();
    }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return inner_.next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override {
        return offset < content_ ? std::optional<std::uint64_t>(content_)
                                 : (offset < size_ ? std::optional(offset) : std::nullopt);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { inner_.write(offset, data); }
    void punch_hole(Range range) override { inner_.punch_hole(range); }
    void zero(Range range) override { inner_.zero(range); }
    void allocate(Range range, bool keep_size) override { inner_.allocate(range, keep_size); }
    void truncate(std::uint64_t size) override { inner_.truncate(size); }
    void sync_data() override { inner_.sync_data(); }
    void sync() override { inner_.sync(); }
    bool try_flock(LockMode mode) override { return inner_.try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return inner_.try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return inner_.could_lock_bytes(range, mode); }
    int descriptor() const override { return -1; }

  private:
    MemoryFile inner_;
    std::uint64_t content_;
    std::uint64_t size_;
};

void attempt(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error&) { // the answer to damage
    }
}

void look_at(BlockDevice& device, std::uint64_t cluster_size) {
    const std::uint64_t length = std::min(device.size(), 300 * cluster_size);
    std::vector<std::byte> buffer(std::min<std::uint64_t>(length, 1 << 20));
    for (const std::uint64_t start : {std::uint64_t{0}, device.size() / 2, device.size() - length}) {
        const Range window{start, std::min(length, device.size() - start)};
        attempt([&] { device.extents(window); });
        attempt([&] {
            const std::uint64_t part = std::min<std::uint64_t>(buffer.size(), window.length);
            device.read(window.offset, std::span(buffer).first(part));
        });
    }
}

void open_and_look(std::span<const std::byte> content) {
    // Alone and as long as it is; and in a long file, upon itself and upon a raw base.
    constexpr std::uint64_t long_file = 1ull << 40;
    for (const std::uint64_t size : {std::uint64_t{0}, long_file}) {
        attempt([&] {
            auto top = ploop::Delta::open(std::make_unique<PloopFile>(content, size), Access::read, true);
            auto middle = ploop::Delta::open(std::make_unique<PloopFile>(content, size), Access::read, true);
            auto base = ploop::Delta::open_raw(std::make_unique<PloopFile>(content, 0), Access::read,
                                               top->header().cluster_sectors);
            const std::uint64_t cluster_size = top->cluster_size();
            if (top->hole_count() < 100'000) {
                top->holes();
            }
            top->file_clusters();
            std::vector<std::unique_ptr<ploop::Delta>> deltas;
            deltas.push_back(std::move(base));
            deltas.push_back(std::move(middle));
            deltas.push_back(std::move(top));
            ploop::ChainDevice disk(std::move(deltas), "fuzz");
            look_at(disk, cluster_size);
        });
    }
}

} // namespace
} // namespace disktool::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    disktool::fuzz::open_and_look(std::as_bytes(std::span(data, size)));
    return 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_content.h"

#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace disktool::test {

namespace {

constexpr std::uint64_t block = 4096;

bool all_zero(const std::byte* bytes, std::uint64_t length) {
    return length == 0 || (bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, length - 1) == 0);
}

} // namespace

DiskContent DiskContent::by_qemu(const std::string& image, const std::string& snapshot) {
    TemporaryFolder folder;
    std::vector<std::string> command{"qemu-img", "convert", "-f", "qcow2", "-O", "raw"};
    if (!snapshot.empty()) {
        command.insert(command.end(), {"-l", "snapshot.name=" + snapshot});
    }
    command.insert(command.end(), {image, folder / "raw"});
    run_tool(command);
    const std::unique_ptr<File> file = real_doors().files.open(folder / "raw", {});
    DiskContent content;
    content.size_ = file->status().size;
    std::vector<std::byte> buffer(1 << 20);
    for (std::uint64_t at = 0; at < content.size_;) {
        at = file->next_data(at).value_or(content.size_) / block * block;
        const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), content.size_ - at));
        file->read(at, piece);
        for (std::uint64_t i = 0; i < piece.size(); i += block) {
            const auto part = piece.subspan(i, std::min<std::uint64_t>(block, piece.size() - i));
            if (!all_zero(part.data(), part.size())) {
                content.used_.push_back(at + i);
                content.bytes_.insert(content.bytes_.end(), part.begin(), part.end());
                content.bytes_.resize(content.used_.size() * block);
            }
        }
        at += piece.size();
    }
    return content;
}

std::optional<std::uint64_t> DiskContent::first_other(Range range, const std::byte* read) const {
    static constexpr std::array<std::byte, block> zeros{};
    const auto first = std::ranges::lower_bound(used_, range.offset / block * block);
    auto used = static_cast<std::size_t>(first - used_.begin());
    if (read == nullptr && (used == used_.size() || used_[used] >= range.end())) {
        return std::nullopt;
    }
    for (std::uint64_t at = range.offset; at < range.end();) {
        const std::uint64_t within = at % block;
        const std::uint64_t length = std::min(block - within, range.end() - at);
        const bool is_used = used < used_.size() && used_[used] == at - within;
        const std::byte* expected = (is_used ? bytes_.data() + used * block : zeros.data()) + within;
        const std::byte* found = read == nullptr ? zeros.data() : read + (at - range.offset);
        if (std::memcmp(expected, found, length) != 0) {
            return at + static_cast<std::uint64_t>(std::mismatch(expected, expected + length, found).first -
                                                   expected);
        }
        used += is_used ? 1 : 0;
        at += length;
    }
    return std::nullopt;
}

std::optional<std::string> DiskContent::difference(BlockDevice& device) const {
    if (device.size() != size()) {
        return fmt::format("{} bytes instead of {}", device.size(), size());
    }
    std::vector<std::byte> buffer(1 << 20);
    for (const Extent& extent : device.extents({0, size()})) {
        if (extent.kind != ExtentKind::data) {
            if (const auto other = first_other(extent.range, nullptr)) {
                return fmt::format("zeros at {}", *other);
            }
            continue;
        }
        for (std::uint64_t at = extent.range.offset; at < extent.range.end();) {
            const std::uint64_t length = std::min<std::uint64_t>(buffer.size(), extent.range.end() - at);
            device.read(at, std::span(buffer).first(length));
            if (const auto other = first_other({at, length}, buffer.data())) {
                return fmt::format("another byte at {}", *other);
            }
            at += length;
        }
    }
    return std::nullopt;
}

} // namespace disktool::test

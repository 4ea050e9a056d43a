// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/block_device.h>
#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool {

namespace {

[[noreturn]] void refuse(const BlockDevice& device, std::string_view operation) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: {} is not possible, since it is read-only", device.name(), operation),
                Reason::capability_missing);
}

} // namespace

BlockDevice::~BlockDevice() = default;

std::vector<Extent> BlockDevice::extents(Range range) {
    check_range(range.offset, range.length);
    if (range.empty())
        return {};
    return {{range, ExtentKind::data}};
}

std::optional<BlockDevice::Place> BlockDevice::hold(Range) {
    return std::nullopt;
}

void BlockDevice::release() noexcept {}

std::optional<BlockDevice::Place> BlockDevice::hold_to_write(Range) {
    return std::nullopt;
}

void BlockDevice::written(const Place&, std::uint64_t) noexcept {}

void BlockDevice::write(std::uint64_t, std::span<const std::byte>) {
    refuse(*this, "writing");
}

void BlockDevice::discard(Range) {
    refuse(*this, "discarding");
}

void BlockDevice::zero(Range) {
    refuse(*this, "zeroing");
}

void BlockDevice::flush() {
    refuse(*this, "flushing");
}

void BlockDevice::check_range(std::uint64_t offset, std::uint64_t length) const {
    if (offset > size() || length > size() - offset)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: {} bytes at offset {} lie beyond its end at {}; a structure "
                                "that refers to them is damaged",
                                name(), length, offset, size()));
}

} // namespace disktool

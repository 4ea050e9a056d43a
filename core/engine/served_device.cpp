// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/served_device.h"

#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <exception>

namespace disktool {

namespace {

/// Asked for at a time when looking for data: bounds the memory that the list of extents takes, and how long
/// everyone else waits.
constexpr std::uint64_t first_look = 64 << 20;
constexpr std::uint64_t longest_look = std::uint64_t{16} << 30;

int error_number_of(const Error& error) {
    if (const auto* system = dynamic_cast<const SystemError*>(&error))
        return system->error_number();
    return error.code() == ErrorCode::no_space ? ENOSPC : EIO;
}

/// What a program can make sense of as the answer to a read or write: never ENOENT or EINTR from below.
int disk_error(int error_number) {
    return error_number == ENOSPC || error_number == EDQUOT ? ENOSPC : EIO;
}

} // namespace

ServedDevice::ServedDevice(BlockDevice& device, std::uint64_t discard_unit)
    : device_(&device), size_(device.size()), writable_(device.writable()), concurrent_(device.concurrent()),
      discard_unit_(discard_unit) {}

int ServedDevice::keep(const Error& error) {
    const int error_number = disk_error(error_number_of(error));
    const std::scoped_lock lock(error_mutex_);
    if (!first_error_) {
        first_error_ = error;
        log(LogLevel::info, fmt::format("a request to the view failed: {}", error.what()));
    }
    return error_number;
}

int ServedDevice::guarded(const std::function<void(BlockDevice&)>& action) {
    if (device_ == nullptr)
        return EIO;
    try {
        action(*device_);
        return 0;
    } catch (const Error& error) {
        return keep(error);
    } catch (const std::exception& error) { // no memory, most likely
        return keep(Error(ErrorCode::failure, fmt::format("{}: {}", device_->name(), error.what())));
    }
}

int ServedDevice::alone(const std::function<void(BlockDevice&)>& action) {
    const auto lock = entrance_.alone();
    return guarded(action);
}

int ServedDevice::transfer(const std::function<void(BlockDevice&)>& action) {
    if (!concurrent_)
        return alone(action);
    const auto lock = entrance_.together();
    return guarded(action);
}

int ServedDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    return transfer([&](BlockDevice& device) { device.read(offset, buffer); });
}

int ServedDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    return transfer([&](BlockDevice& device) { device.write(offset, data); });
}

int ServedDevice::zero(Range range) {
    return transfer([&](BlockDevice& device) { device.zero(range); });
}

int ServedDevice::punch_hole(Range range) {
    if (discard_unit_ == 0)
        return zero(range);
    // The device's last unit is a whole one for it even where the device ends within.
    const std::uint64_t first = (range.offset + discard_unit_ - 1) / discard_unit_ * discard_unit_;
    const std::uint64_t last = range.end() == size_ ? size_ : range.end() / discard_unit_ * discard_unit_;
    if (first >= last)
        return zero(range);
    return transfer([&](BlockDevice& device) {
        if (range.offset < first)
            device.zero({range.offset, first - range.offset});
        device.discard({first, last - first});
        if (last < range.end())
            device.zero({last, range.end() - last});
    });
}

int ServedDevice::flush() {
    return writable_ ? alone([](BlockDevice& device) { device.flush(); }) : 0;
}

int ServedDevice::find(Range range, bool data, std::optional<std::uint64_t>& found) {
    std::uint64_t look = first_look;
    found.reset();
    while (!range.empty()) {
        const Range part{range.offset, std::min(range.length, look)};
        const int error_number = alone([&](BlockDevice& device) {
            for (const Extent& extent : device.extents(part)) {
                if ((extent.kind == ExtentKind::data) == data) {
                    found = extent.range.offset;
                    break;
                }
            }
        });
        if (error_number != 0 || found)
            return error_number;
        range = {part.end(), range.end() - part.end()};
        look = std::min(look * 4, longest_look);
    }
    return 0;
}

void ServedDevice::close() {
    const auto lock = entrance_.alone();
    device_ = nullptr;
}

std::optional<Error> ServedDevice::first_error() const {
    const std::scoped_lock lock(error_mutex_);
    return first_error_;
}

} // namespace disktool

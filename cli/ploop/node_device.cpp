// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node_device.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace disktool::ploop::cli {

namespace {

using namespace std::chrono_literals;

/// udev holds it for the moment in which it looks at a device.
constexpr auto lock_pause = 50ms;
constexpr int lock_tries = 200;

} // namespace

NodeDevice::NodeDevice(FileDoor& files, const std::string& node, Access access)
    : file_(files.open(node, {.write = access == Access::write})), writable_(access == Access::write) {
    for (int tries = lock_tries; writable_ && !file_->try_flock(LockMode::exclusive); --tries) {
        if (tries == 0) {
            throw Error(ErrorCode::locked, fmt::format("{} is locked by another program", node),
                        Reason::image_in_use);
        }
        std::this_thread::sleep_for(lock_pause);
    }
}

void NodeDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    file_->read(offset, buffer);
}

void NodeDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    check_range(offset, data.size());
    file_->write(offset, data);
}

} // namespace disktool::ploop::cli

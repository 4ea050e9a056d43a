// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/loop_device.h"

#include "block/host_descriptor.h"
#include "device/kernel_partitions.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace disktool {

namespace {

constexpr const char* control_node = "/dev/loop-control";
constexpr int most_attempts = 1000; ///< others may take the free one that we were told of
constexpr int most_renewals = 3;

std::string node_of(int number) {
    return fmt::format("/dev/loop{}", number);
}

std::string why(int error_number) {
    return std::generic_category().message(error_number);
}

[[noreturn]] void none_left(const std::string& what, int error_number) {
    throw Error(
        ErrorCode::program_missing,
        fmt::format("There is no loop device for the disk: {} ({}). Detach what is not needed (losetup -l "
                    "shows it); in a container, let it have {} and the /dev/loop* nodes, and run as root",
                    what, why(error_number), control_node),
        Reason::program_missing);
}

/// A node that is missing (a container's own /dev) is made.
Descriptor open_node(int number, bool read_only) {
    const std::string node = node_of(number);
    const int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    Descriptor device(::open(node.c_str(), flags));
    if (!device && errno == ENOENT &&
        mknod(node.c_str(), S_IFBLK | 0600, makedev(LOOP_MAJOR, static_cast<unsigned>(number))) == 0) {
        device = Descriptor(::open(node.c_str(), flags));
    }
    return device;
}

loop_config configuration(int file, const LoopOptions& options) {
    loop_config config{};
    config.fd = static_cast<__u32>(file);
    config.block_size = options.sector_size;
    config.info.lo_offset = options.part.offset;
    config.info.lo_sizelimit = options.part.length;
    if (options.read_only) {
        config.info.lo_flags |= LO_FLAGS_READ_ONLY;
    }
    if (options.direct_io) {
        config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
    }
    const std::size_t length = std::min<std::size_t>(options.shown_name.size(), LO_NAME_SIZE - 1);
    std::memcpy(config.info.lo_file_name, options.shown_name.data(), length);
    return config;
}

std::string queue_file(int number, const std::string& name) {
    return fmt::format("/sys/block/loop{}/queue/{}", number, name);
}

std::uint64_t queue_number(int number, const std::string& name) {
    std::ifstream file(queue_file(number, name));
    std::uint64_t value = 0;
    file >> value;
    return value;
}

/// The kernel turns it off by itself where it cannot be, and says nothing.
bool has_direct_io(int number) {
    std::ifstream file(fmt::format("/sys/block/loop{}/loop/dio", number));
    int on = 0;
    return !(file >> on) || on != 0; // an old kernel tells in another place: believed
}

} // namespace

std::unique_ptr<LoopDevice> LoopDevice::attach(int file, const LoopOptions& options) {
    const Descriptor control(::open(control_node, O_RDWR | O_CLOEXEC));
    if (!control) {
        none_left(fmt::format("{} cannot be opened", control_node), errno);
    }
    const loop_config config = configuration(file, options);
    int renewals = 0;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) {
            none_left("the kernel has none free", errno);
        }
        Descriptor device = open_node(number, options.read_only);
        if (!device) {
            none_left(fmt::format("{} cannot be opened", node_of(number)), errno);
        }
        if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) {
            device.close();
            std::unique_ptr<LoopDevice> loop(new LoopDevice(number));
            if (options.direct_io && !has_direct_io(number)) {
                loop->detach();
                throw Error(
                    ErrorCode::unsupported,
                    fmt::format("{} takes no direct I/O on {}: its file system or its place in the file does "
                                "not allow it",
                                loop->node(), options.shown_name),
                    Reason::capability_missing);
            }
            if (!options.discard) {
                loop->set_queue("discard_max_bytes", 0);
            } else if (loop->refuses_discards() && renewals++ < most_renewals && loop->detach()) {
                renew(number);
                continue;
            }
            return loop;
        }
        if (errno != EBUSY) {
            throw SystemError("Cannot attach the loop device", node_of(number), errno);
        }
    }
    none_left("other programs take every free one before us", EBUSY);
}

bool LoopDevice::refuses_discards() const {
    return queue_number(number_, "discard_max_hw_bytes") != 0 &&
           queue_number(number_, "discard_max_bytes") == 0;
}

bool LoopDevice::renew(int number) {
    const Descriptor control(::open(control_node, O_RDWR | O_CLOEXEC));
    return control && ioctl(control.get(), LOOP_CTL_REMOVE, number) >= 0 &&
           ioctl(control.get(), LOOP_CTL_ADD, number) >= 0;
}

std::optional<LoopDevice> LoopDevice::find(const std::string& node) {
    const Descriptor device(::open(node.c_str(), O_RDONLY | O_CLOEXEC));
    loop_info64 info{};
    if (!device || ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) {
        return std::nullopt;
    }
    return LoopDevice(static_cast<int>(info.lo_number));
}

std::string LoopDevice::node() const {
    return node_of(number_);
}

Descriptor LoopDevice::open(bool writable) const {
    Descriptor device(::open(node().c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    if (!device) {
        throw SystemError("Cannot open", node(), errno);
    }
    return device;
}

std::uint64_t LoopDevice::size() const {
    std::uint64_t size = 0;
    if (ioctl(open().get(), BLKGETSIZE64, &size) != 0) {
        throw SystemError("Cannot learn the size of", node(), errno);
    }
    return size;
}

void LoopDevice::follow_size() {
    if (ioctl(open().get(), LOOP_SET_CAPACITY, 0) != 0) {
        throw SystemError("Cannot set the size of", node(), errno);
    }
}

bool LoopDevice::set_queue(const std::string& name, std::uint64_t value) {
    std::ofstream file(queue_file(number_, name));
    file << value << std::flush;
    return file.good();
}

bool LoopDevice::detach() {
    Descriptor device = open();
    try {
        set_kernel_partitions(device.get(), {});
    } catch (const Error&) { // one is in use: the kernel waits for that
    }
    if (ioctl(device.get(), LOOP_CLR_FD, 0) != 0 && errno != ENXIO) {
        throw SystemError("Cannot detach", node(), errno);
    }
    // With another opener the kernel only marks it, to be detached by the last close.
    device.close();
    return !find(node());
}

} // namespace disktool

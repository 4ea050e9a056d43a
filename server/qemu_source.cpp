// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qemu_source.h"

#include "image/locks.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool::server {

namespace {
constexpr unsigned connections = 8;
} // namespace

QemuSource::QemuSource(Doors doors, Config& config)
    : doors_(doors), image_(config.path("image")), format_(config.text("format")),
      chain_(config.paths("chain")), read_only_(config.flag("read_only")) {
    config.finish();
    if (image_.empty() || format_.empty()) {
        throw Error(ErrorCode::usage, "The configuration must name an image and its format");
    }
    locked_ = doors_.files.open(image_, {});
    if (!locked_->try_flock(read_only_ ? LockMode::shared : LockMode::exclusive)) {
        throw Error(ErrorCode::locked,
                    fmt::format("The specified disk image \"{}\" is locked by another process: {}", image_,
                                holders_text(lock_holders(locked_->status()))),
                    Reason::image_in_use);
    }
    device_ = NbdDevice::open(doors_, image_, format_,
                              {.writable = !read_only_, .cancel = nullptr, .connections = connections});
}

void QemuSource::describe(DeviceState& state) const {
    state.format = format_;
    state.disk = image_;
    state.read_only = read_only_;
    state.images.clear();
    for (auto path = chain_.rbegin(); path != chain_.rend(); ++path) {
        const std::optional<FileStatus> status = doors_.files.status(*path);
        state.images.push_back({*path, status ? status->device : 0, status ? status->inode : 0});
    }
}

} // namespace disktool::server

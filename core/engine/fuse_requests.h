// SPDX-License-Identifier: LGPL-2.1-or-later
// Answers to the kernel's FUSE requests on a view.
#pragma once

#include "engine/fuse_view.h"
#include "engine/served_device.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

namespace disktool {

/// What the requests of one session refer to: its user data.
struct ViewContent {
    ViewContent(BlockDevice& served, std::vector<ViewFile> shown, const ViewOptions& view_options);

    ServedDevice device;
    const std::vector<ViewFile> files;
    const ViewOptions options;
    const timespec made;
};

/// For fuse_session_new, with a ViewContent as user data.
const fuse_lowlevel_ops& view_operations();

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of prl_disk_tool, as data.
#pragma once

#include "config/config.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::cli {

enum class Action {
    help,
    usage,
    version,
    list_plugins,
    dump_plugin,
    resize,
    resize_info,
    compact,
    compact_info,
    merge,
    convert,
    convert_info,
    recover,
    info,
    map,
    mount,
    umount
};

struct Arguments {
    Action action = Action::help;
    std::string verb; ///< for help of one verb; may be empty
    std::string image;
    std::uint64_t size = 0; ///< bytes, whole MiB
    char unit = 'M';        ///< of resize --info
    bool resize_partition = false;
    int partition = 0; ///< of resize --resize_partition; 0: the last
    bool discard_tail = false;
    bool external = false;           ///< of merge
    bool force_merge_shared = false; ///< of merge --external
    bool plain = false;              ///< of convert
    bool expanding = false;          ///< of convert
    std::string format;              ///< of convert
    std::string output;              ///< of convert --format
    bool verify = false;             ///< of convert --format
    std::string mount_point;         ///< of mount and umount; empty: the device alone, or by the image
    std::string mount_options;       ///< of mount, as for mount(8)
    std::string filesystem;          ///< of mount; empty: found out
    bool read_only = false;          ///< of mount
    std::string svg;                 ///< of map: a file; empty: on the terminal
    bool dry_run = false;
    bool verbose = false;
    bool quiet = false;
    bool json = false;
    std::optional<int> progress_descriptor;
    std::optional<Engine> engine;
    std::optional<std::chrono::seconds> wait;
    std::vector<std::string> allow_backing;
    std::string plugin; ///< of --dump-plugin
};

/// Throws Error(usage) in the original's words where it has some.
Arguments parse_arguments(int count, const char* const* words);

std::string help_text(const std::string& verb);
std::string usage_text(const std::string& verb);

} // namespace disktool::cli

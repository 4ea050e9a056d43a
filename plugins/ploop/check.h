// SPDX-License-Identifier: LGPL-2.1-or-later
// Finding and mending what is wrong with an image file: `ploop check`.
#pragma once

#include "header.h"

#include <disktool/file.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace disktool::ploop {

struct CheckOptions {
    bool force = false;                    ///< -f: also an image that is not dirty
    bool hard = false;                     ///< -F: as force, and mend fatal errors
    bool thorough = false;                 ///< -c: clusters used twice, and holes
    bool read_only = false;                ///< -r
    bool silent = false;                   ///< -s
    bool drop_in_use = false;              ///< -d
    bool raw = false;                      ///< -R
    std::uint32_t raw_cluster_sectors = 0; ///< -b, for raw
    bool fill_sparse = false;              ///< -S
    bool allow_sparse = false;             ///< holes of the host's file are no fault, and stay
};

/// Lines as the original prints them, to its two streams.
struct CheckWriter {
    std::function<void(const std::string& line)> out;
    std::function<void(const std::string& line)> err;
};

struct CheckResult {
    int exit_code = 0; ///< of the man page's table
    bool changed = false;
    // For --json and prl_disk_tool:
    std::uint64_t out_of_range = 0, misaligned = 0, behind_eof = 0, duplicates = 0, holes = 0, tail_bytes = 0;
    std::uint64_t in_tables = 0; ///< entries that name a cluster of header or BAT
    bool was_dirty = false, wrong_empty_flag = false, sparse = false;
    bool wrong_entries = false;     ///< the number of BAT entries does not fit to the disk size
    bool unknown_in_use = false;    ///< the in-use field has a value that the format does not know
    bool wrong_extension = false;   ///< a format extension that cannot be believed
    bool extension_dropped = false; ///< by this run
};

/// `file` may be opened read-only; `writable` (called at most once, only when something must be written) opens
/// it for writing. Memory: one bit a file cluster, one piece of the BAT at a time.
///
/// Safe to kill: a cluster that two slots use is copied and synced before the second slot names the copy; the
/// in-use mark is on the file before the BAT changes, and goes last. Nobody else may have the image open.
/// Errors: SystemError, Error(no_space) of the host; what is wrong with the image is printed and in the result.
CheckResult check_image(File& file, const CheckOptions& options, const CheckWriter& writer,
                        const std::function<std::unique_ptr<File>()>& writable);

/// An image of a disk that is checked as a whole.
struct CheckedImage {
    File* file = nullptr;
    bool raw = false;
    std::function<std::unique_ptr<File>()> writable; ///< only the top's is called; null: it is only looked at
    bool allow_sparse = false;
};

/// The check of a descriptor, and of a disk that is to be used: each image from the base to the top with
/// thorough, drop_in_use and fill_sparse, all but the top read-only. Stops at the first that is not sound,
/// names it, and returns its result; else the top's. `cluster_sectors`: the descriptor's.
CheckResult check_stack(std::span<const CheckedImage> base_to_top, std::uint32_t cluster_sectors,
                        const CheckWriter& writer);

} // namespace disktool::ploop

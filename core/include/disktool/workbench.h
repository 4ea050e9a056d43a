// SPDX-License-Identifier: LGPL-2.1-or-later
// What a step works with while a new state of the disk is in the making: the working disk, its partitions as
// devices and as files that programs of the host can open, a sandbox to run those in, and the appliance.
#pragma once

#include <disktool/api.h>
#include <disktool/subprocess.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool {

class Appliance;

/// A part of the working disk under the number of its partition; 0 is the whole disk.
struct WorkWindow {
    int partition = 0;
    Range range; ///< bytes of the working disk
};

/// Set in a Plan by its planner: then the job makes a Workbench when a step first asks for it.
struct WorkSpec {
    std::uint64_t size = 0;          ///< of the working disk, bytes: the larger of old and new
    std::vector<WorkWindow> windows; ///< besides the whole disk
};

/// Belongs to the job. Threads: the job's own.
class DISKTOOL_API Workbench {
  public:
    Workbench() = default;
    Workbench(const Workbench&) = delete;
    Workbench& operator=(const Workbench&) = delete;
    virtual ~Workbench();

    virtual WorkingDisk& disk() = 0;
    /// The window with that number; 0: the whole disk. What is written to it is at once seen through path().
    virtual BlockDevice& window(int partition) = 0;
    /// A file of exactly that window's size, served by ourselves (FUSE). Discards (punched holes) and zeroing
    /// work on it. Mounted when first asked for. Throws program_missing where the host has no FUSE.
    virtual std::string path(int partition) = 0;
    /// Runs a program of the host in a sandbox: no network, nothing of the host writable but the files of
    /// path(). The program is checked for by name and least version first (`package` for the message).
    /// A failing program is not an error here: look at the result.
    struct Tool {
        std::string name;    ///< "resize2fs"
        std::string version; ///< the least that will do; empty: any
        std::string package; ///< Debian's name: "e2fsprogs"
    };
    virtual CommandResult run(const Tool& tool, const Command& command) = 0;
    /// Booted, with the whole working disk as /dev/sda, writable.
    virtual Appliance& appliance() = 0;
};

} // namespace disktool

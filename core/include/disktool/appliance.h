// SPDX-License-Identifier: LGPL-2.1-or-later
// The appliance: a small virtual machine (libguestfs) for what has no native way. Takes seconds to boot.
#pragma once

#include <disktool/api.h>
#include <disktool/plan.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// A file system as the appliance sees it. `device` is its name in there (/dev/sda1).
struct ApplianceFilesystem {
    std::string device;
    std::string type; ///< "ext4", "xfs", "swap", "unknown", "" ...
    std::string label;
    std::string uuid;
};

struct ApplianceUsage {
    std::uint64_t block_size = 0; ///< bytes
    std::uint64_t size = 0;       ///< bytes
    std::uint64_t free = 0;       ///< bytes
};

struct AppliancePartition {
    int number = 0;
    std::uint64_t offset = 0; ///< bytes
    std::uint64_t length = 0; ///< bytes
};

/// One booted appliance with one disk. The disk is given as a path and format and is opened by the appliance's
/// QEMU; read-only ones go behind a throw-away overlay, so nothing is ever written to them.
/// Errors: program_missing when it cannot run at all (no libguestfs, no kernel, ...; the sentence says which
/// and which package), failure for an operation that failed. Threads: one at a time.
class DISKTOOL_API Appliance {
  public:
    Appliance() = default;
    Appliance(const Appliance&) = delete;
    Appliance& operator=(const Appliance&) = delete;
    virtual ~Appliance();

    struct Disk {
        std::string path;
        std::string format;
        bool read_only = true;
    };
    /// Boots, first with KVM; where that fails, with software emulation, said once by log(warning) and
    /// remembered for the run.
    virtual void launch(const Disk& disk, CancelToken* cancel) = 0;
    virtual void shut_down() = 0; ///< all written is on the image when it returns
    virtual bool emulated() const = 0;
    virtual std::uint64_t boot_milliseconds() const = 0;

    virtual std::uint64_t disk_size() = 0;
    virtual std::optional<std::string> table_type() = 0; ///< "gpt", "msdos"; none: no table
    virtual std::vector<AppliancePartition> partitions() = 0;
    virtual std::vector<ApplianceFilesystem> filesystems() = 0;
    /// Mounts read-only (the journal is replayed in the throw-away overlay or, for a writable disk, on it).
    virtual ApplianceUsage usage(const std::string& device) = 0;
    /// The least size the file system's own tool would shrink it to; none where it cannot tell.
    virtual std::optional<std::uint64_t> minimum_size(const std::string& device) = 0;
    /// Mounts and discards all free space.
    virtual void trim(const std::string& device) = 0;

    // Of a writable disk. Sizes in bytes.
    /// By the file system's own tool, after a check by it where it has one. `type` as type() of the plugins.
    virtual void resize_filesystem(const std::string& device, const std::string& type, std::uint64_t size) = 0;
    /// LVM: the physical volume on `device`. Smaller only where nothing lies beyond.
    virtual void resize_physical_volume(const std::string& device, std::uint64_t size) = 0;
    /// LVM: "/dev/vg/lv". What is in it is cut or gets more room; whole MiB and extents.
    virtual void resize_logical_volume(const std::string& device, std::uint64_t size) = 0;
};

} // namespace disktool

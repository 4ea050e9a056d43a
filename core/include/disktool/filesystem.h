// SPDX-License-Identifier: LGPL-2.1-or-later
// What a filesystem plugin implements. It sees a BlockDevice and knows nothing of image formats.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/extents.h>
#include <disktool/plan.h>
#include <disktool/reason.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace disktool {

/// In bytes.
struct FilesystemUsage {
    std::uint64_t size = 0; ///< what the file system spans, which may be less than its partition
    std::uint64_t free = 0;
    std::uint32_t block_size = 0;
    std::string label;
    std::string uuid;
};

struct FilesystemState {
    Reason reason = Reason::none; ///< none: clean
    std::string sentence;         ///< for people: "clean", "the journal must be replayed first", ...
    /// May the free map on disk be believed? If not, free_extents() and minimum_size() throw `damaged`, and the
    /// work is refused or done in the appliance.
    bool free_map_trusted = true;
    /// Would the appliance (or a host program) put it right by mounting it?
    bool appliance_can_help = false;
    bool clean() const { return reason == Reason::none; }
};

struct MinimumSize {
    std::uint64_t bytes = 0;
    Reason reason = Reason::used_blocks; ///< why it is not less
    std::string sentence;
};

/// A file system's new size, on the window of the Workbench with that number (Workbench::window, ::path), which
/// is as large as the larger of both sizes.
struct FilesystemResize {
    int partition = 0;
    std::uint64_t old_size = 0; ///< bytes: what the partition had
    std::uint64_t new_size = 0; ///< bytes: what the partition will have; the file system fills it
};

/// One file system on one device, which must outlive it. Reading never writes. Loops over on-disk structures
/// are bounded, metadata checksums verified. Threads: one at a time.
class DISKTOOL_API Filesystem {
  public:
    Filesystem() = default;
    Filesystem(const Filesystem&) = delete;
    Filesystem& operator=(const Filesystem&) = delete;
    virtual ~Filesystem();

    virtual std::string type() const = 0; ///< "ext4"
    virtual FilesystemState state() = 0;
    virtual FilesystemUsage usage() = 0;
    /// Exactly the bytes that hold nothing, relative to the device, within usage().size. What lies behind the
    /// end of the file system but inside the partition is not among them.
    virtual ExtentSet free_extents() = 0;
    /// The least size that the file system's own tool would shrink it to.
    virtual MinimumSize minimum_size() = 0;
    virtual Details details() { return {}; }

    /// Can it be made smaller or larger at all, and if not, why?
    virtual Reason can_grow() const { return Reason::capability_missing; }
    virtual Reason can_shrink() const { return Reason::capability_missing; }
    /// Does plan_resize() append steps of its own? Where not, but can_grow() or can_shrink() says that it can
    /// be resized, the core lets the appliance do it.
    virtual bool resizes_natively() const { return false; }
    /// Appends what makes it new_size bytes large: a check first, then the resize, each step with its engine
    /// and its cost. The steps must not refer to this object: when they run, the window is another device.
    /// Throws program_missing where a program of the host is needed and not there.
    virtual void plan_resize(Plan& plan, const FilesystemResize& request);
};

/// The entry point of a filesystem plugin. Stateless. Threads: any.
class DISKTOOL_API FilesystemPlugin {
  public:
    FilesystemPlugin() = default;
    FilesystemPlugin(const FilesystemPlugin&) = delete;
    FilesystemPlugin& operator=(const FilesystemPlugin&) = delete;
    virtual ~FilesystemPlugin();

    /// 0: not mine; 100: surely mine. Reads little; never throws for content that is not its own.
    virtual int probe(BlockDevice& device) = 0;
    /// Throws unsupported (a feature, by name) or damaged.
    virtual std::unique_ptr<Filesystem> open(BlockDevice& device) = 0;
};

} // namespace disktool

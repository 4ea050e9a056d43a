// SPDX-License-Identifier: LGPL-2.1-or-later
// What a volumes plugin implements: one device (a partition, a whole disk) that is divided into volumes by
// metadata of its own, as LVM2 does. It sees a BlockDevice and knows neither image formats nor file systems.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/extents.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace disktool {

/// A piece of a volume that lies in one run on the device.
struct VolumeSegment {
    std::uint64_t volume_offset = 0; ///< bytes of the volume
    Range place;                     ///< bytes of the device
};

/// One volume. Belongs to its Volumes.
struct Volume {
    std::string name;                    ///< "vg/lv"
    std::string appliance_device;        ///< "/dev/vg/lv"
    std::vector<VolumeSegment> segments; ///< by volume_offset, without gaps
    BlockDevice* device = nullptr;       ///< its content; null where `problem` is set
    std::string problem;                 ///< why its content cannot be reached: "is a thin volume"
    Reason reason = Reason::none;        ///< of the problem
    bool resizable = false;              ///< its size can follow its device's (linear, not active elsewhere)

    std::uint64_t size() const; ///< bytes
};

/// An open device with volumes, which must outlive it. Reading never writes. Threads: one at a time.
class DISKTOOL_API Volumes {
  public:
    Volumes() = default;
    Volumes(const Volumes&) = delete;
    Volumes& operator=(const Volumes&) = delete;
    virtual ~Volumes();

    virtual std::string type() const = 0; ///< "LVM2_member", as libblkid calls it
    virtual FilesystemState state() = 0;
    virtual FilesystemUsage usage() = 0; ///< of the device; `free` lies in no volume
    /// Bytes of the device that lie in no volume and hold no metadata.
    virtual ExtentSet free_extents() = 0;
    virtual const std::vector<Volume>& volumes() = 0;
    /// The least size of the device with every volume as it is.
    virtual MinimumSize minimum_size() = 0;
    /// The unit in which volumes are given room, bytes.
    virtual std::uint64_t extent_size() const = 0;
    /// Bytes from the start of the device to its first extent.
    virtual std::uint64_t first_extent() const = 0;
    /// Index in volumes() of the one whose segment lies last on the device; -1: none.
    virtual int last_volume() = 0;
    virtual Details details() { return {}; }

    /// The bytes of the device that hold these bytes of a volume.
    ExtentSet to_device(const Volume& volume, const ExtentSet& bytes) const;
};

/// The entry point of a volumes plugin. Stateless. Threads: any.
class DISKTOOL_API VolumesPlugin {
  public:
    VolumesPlugin() = default;
    VolumesPlugin(const VolumesPlugin&) = delete;
    VolumesPlugin& operator=(const VolumesPlugin&) = delete;
    virtual ~VolumesPlugin();

    /// 0: not mine; 100: surely mine. Reads little; never throws for content that is not its own.
    virtual int probe(BlockDevice& device) = 0;
    /// Throws unsupported (a feature, by name) or damaged.
    virtual std::unique_ptr<Volumes> open(BlockDevice& device) = 0;
};

} // namespace disktool

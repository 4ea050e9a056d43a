// SPDX-License-Identifier: LGPL-2.1-or-later
// Typed access to a metadata text, with errors that name the place.
#pragma once

#include "config_text.h"
#include "metadata_area.h"

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::lvm2 {

/// All throw damage when something is missing or of another type. Refers to the device and the metadata.
class MetadataReader {
  public:
    MetadataReader(const BlockDevice& device, const MetadataText& metadata)
        : device_(device), metadata_(metadata) {}

    const BlockDevice& device() const { return device_; }
    ConfigNode parse() const;
    /// The one section of the text that is a volume group.
    const ConfigNode& group(const ConfigNode& root) const;

    const ConfigNode& section(const ConfigNode& parent, std::string_view name) const;
    /// From 0 to `limit`.
    std::uint64_t number(const ConfigNode& parent, std::string_view name, std::uint64_t limit) const;
    std::uint64_t number(const ConfigNode& parent, std::string_view name, std::uint64_t limit,
                         std::uint64_t missing) const;
    std::string text(const ConfigNode& parent, std::string_view name) const;
    /// Empty where there is none.
    std::string optional_text(const ConfigNode& parent, std::string_view name) const;
    std::vector<std::string> texts(const ConfigNode& parent, std::string_view name) const;
    /// 32 letters; hyphens are taken out.
    std::string uuid(const ConfigNode& parent) const;
    /// A name that LVM would give ([a-zA-Z0-9+_.-], man lvm), so that it can be shown and put into a path.
    void check_name(const std::string& name) const;
    /// `what` is half a sentence.
    Error damaged(std::string_view what) const;

  private:
    const BlockDevice& device_;
    const MetadataText& metadata_;
};

} // namespace disktool::lvm2

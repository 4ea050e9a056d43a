// SPDX-License-Identifier: LGPL-2.1-or-later
// The entry point of the ploop plugin.
#pragma once

#include <disktool/format.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

namespace disktool::ploop {

class Plugin final : public FormatPlugin {
  public:
    ~Plugin() override;

    int probe(std::span<const std::byte> head, const std::string& path) override;
    std::unique_ptr<disktool::Image> open(std::unique_ptr<ImageOpener> opener) override;
    /// Options: "version" ("1", "2"), "cluster_sectors", "preallocated". Makes the image file only.
    void create(Doors doors, const CreateRequest& request) override;
    std::unique_ptr<WorkingDisk> create_disk(Doors doors, const CreateRequest& request) override;
    std::optional<std::string> image_behind(Doors doors, const std::string& path, Access access) override;
    std::optional<std::string> backing_name(File& file) override;
};

} // namespace disktool::ploop

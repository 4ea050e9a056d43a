// SPDX-License-Identifier: LGPL-2.1-or-later
// The entry point of the qcow2 plugin.
#pragma once

#include <disktool/format.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace disktool::qcow2 {

class Plugin final : public FormatPlugin {
  public:
    ~Plugin() override;

    /// Sure of everything that starts with the magic, so that open() can name a version that it refuses.
    int probe(std::span<const std::byte> head, const std::string& path) override;
    std::unique_ptr<disktool::Image> open(std::unique_ptr<ImageOpener> opener) override;
    /// By qemu-img create; request.options are its -o options. Throws program_missing where there is none.
    void create(Doors doors, const CreateRequest& request) override;
    std::optional<std::string> backing_name(File& file) override;
    std::unique_ptr<WorkingDisk> create_disk(Doors doors, const CreateRequest& request) override;
};

} // namespace disktool::qcow2

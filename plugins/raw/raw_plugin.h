// SPDX-License-Identifier: LGPL-2.1-or-later
// The format that is none: the file is the disk. Backing files are often raw, and a raw disk may be looked at.
#pragma once

#include <disktool/format.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace disktool::raw {

/// Never chosen by probing: a guest can write the header of any format into its raw disk. Threads: any.
class DISKTOOL_API Plugin final : public FormatPlugin {
  public:
    int probe(std::span<const std::byte>, const std::string&) override { return 0; }
    std::unique_ptr<Image> open(std::unique_ptr<ImageOpener> opener) override;
    std::unique_ptr<WorkingDisk> create_disk(Doors doors, const CreateRequest& request) override;
};

} // namespace disktool::raw

// SPDX-License-Identifier: LGPL-2.1-or-later
// One command at a time works on the file system of a running device.
#pragma once

#include <disktool/file.h>

#include <memory>
#include <optional>
#include <string>

namespace disktool::ploop::cli {

/// Held while a command inflates, deflates, trims or resizes. (The verbs of the device's own process it puts
/// one behind the other itself.) Goes with the process.
class Maintenance {
  public:
    /// `what`: "DISCARD", for those who ask meanwhile. Throws PloopError(busy) naming who is at work.
    Maintenance(int minor, const std::string& what);

    /// What is being done now; none: nothing.
    static std::optional<std::string> present(int minor);

  private:
    std::unique_ptr<File> file_;
};

} // namespace disktool::ploop::cli

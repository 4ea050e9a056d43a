// SPDX-License-Identifier: LGPL-2.1-or-later
// What the helper tells disktool, line by line, on a descriptor of its own.
#pragma once

#include <string>

namespace disktool::sandbox {

/// Lines: "entered", "missing WHAT: WHY" for each protection that the host does not allow, "failed WHY" where
/// the program could not be started. The first line says that whatever came before us (bubblewrap) has worked.
class Report {
  public:
    explicit Report(int descriptor) : descriptor_(descriptor) {}

    void entered() const { line("entered"); }
    /// With the words of errno.
    void missing(const std::string& what) const;
    void failed(const std::string& why) const { line("failed " + why); }

  private:
    void line(const std::string& text) const;
    int descriptor_;
};

} // namespace disktool::sandbox

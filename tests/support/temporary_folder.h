// SPDX-License-Identifier: LGPL-2.1-or-later
// A folder of one test's own, below $TMPDIR, gone with everything in it when the object goes.
#pragma once

#include <filesystem>
#include <string>

namespace disktool::test {

class TemporaryFolder {
  public:
    TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();

    const std::filesystem::path& path() const { return path_; }
    /// The path of `name` in it.
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

/// The whole content of a small file. Throws when it cannot be read.
std::string read_file(const std::string& path);
/// Makes the file or replaces what is in it.
void write_file(const std::string& path, const std::string& content);

} // namespace disktool::test

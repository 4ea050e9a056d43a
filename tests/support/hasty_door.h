// SPDX-License-Identifier: LGPL-2.1-or-later
// A file door that syncs nothing. A recovery is judged by what it leaves when it has ended, thousands of times,
// and to wait for the host's disk each time would tell nothing more.
#pragma once

#include <disktool/doors.h>

#include <memory>
#include <string>
#include <vector>

namespace disktool::test {

/// Threads: any, as for every FileDoor.
class HastyDoor final : public FileDoor {
  public:
    std::unique_ptr<File> open(const std::string& path, OpenFlags flags) override;
    std::optional<FileStatus> status(const std::string& path, bool follow_links) override {
        return real_.status(path, follow_links);
    }
    std::string real_path(const std::string& path) override { return real_.real_path(path); }
    std::vector<std::string> list(const std::string& directory) override { return real_.list(directory); }
    void rename(const std::string& from, const std::string& to) override { real_.rename(from, to); }
    void link(const std::string& existing, const std::string& name) override { real_.link(existing, name); }
    void remove(const std::string& path) override { real_.remove(path); }
    void sync_directory(const std::string&) override {}
    std::uint64_t free_space(const std::string& path) override { return real_.free_space(path); }

  private:
    FileDoor& real_ = real_doors().files;
};

/// One that lives as long as the program, and the real processes.
Doors hasty_doors();

} // namespace disktool::test

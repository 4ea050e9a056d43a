// SPDX-License-Identifier: LGPL-2.1-or-later
// Files past the host's page cache (O_DIRECT).
#pragma once

#include <disktool/file.h>

#include <memory>

namespace disktool {

/// The same file with what flags.cache says, which is not HostCache::all; itself where the host has no direct
/// I/O for it. `file`: a regular one that was opened with `flags`.
std::unique_ptr<File> past_host_cache(std::unique_ptr<File> file, const OpenFlags& flags);

/// A door that opens every file with this use of the cache. The door behind must outlive it. Threads: any.
class DISKTOOL_API DirectFileDoor : public FileDoor {
  public:
    DirectFileDoor(FileDoor& behind, HostCache cache) : behind_(behind), cache_(cache) {}
    std::unique_ptr<File> open(const std::string& path, OpenFlags flags) override;
    std::optional<FileStatus> status(const std::string& path, bool follow_links) override {
        return behind_.status(path, follow_links);
    }
    std::string real_path(const std::string& path) override { return behind_.real_path(path); }
    std::vector<std::string> list(const std::string& directory) override { return behind_.list(directory); }
    void rename(const std::string& from, const std::string& to) override { behind_.rename(from, to); }
    void link(const std::string& existing, const std::string& name) override { behind_.link(existing, name); }
    void remove(const std::string& path) override { behind_.remove(path); }
    void sync_directory(const std::string& directory) override { behind_.sync_directory(directory); }
    std::uint64_t free_space(const std::string& path) override { return behind_.free_space(path); }

  private:
    FileDoor& behind_;
    const HostCache cache_;
};

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// Files past the host's page cache (O_DIRECT).
#pragma once

#include <disktool/file.h>

#include <memory>

namespace disktool {

enum class HostCache {
    /// Reads of less than 128 KiB go through the host's page cache, which makes them as fast as they can be;
    /// larger
    /// ones and all writes go past it, so a flush has little left to wait for.
    small_reads,
    /// All go past it: for a guest whose own cache holds what is worth holding.
    none,
};

/// A door whose regular files take aligned requests directly: offset, length and memory of whole 4096-byte
/// pages, or of 512 bytes where the host takes that. Others, and all of them where the host has no direct I/O,
/// go through the page cache, with which the kernel keeps direct requests in step. The door behind must outlive
/// it. Threads: any.
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

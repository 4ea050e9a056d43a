// SPDX-License-Identifier: LGPL-2.1-or-later
// The real host's files.
#pragma once

#include <disktool/file.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// Opening never hangs (a FIFO without a writer, say) and never goes through to a child by chance (close on
/// exec). Directories, FIFOs and sockets are refused with not_found. Access times are left alone where we may.
class HostFileDoor : public FileDoor {
  public:
    std::unique_ptr<File> open(const std::string& path, OpenFlags flags) override;
    std::optional<FileStatus> status(const std::string& path, bool follow_links) override;
    std::string real_path(const std::string& path) override;
    std::vector<std::string> list(const std::string& directory) override;
    void rename(const std::string& from, const std::string& to) override;
    void link(const std::string& existing, const std::string& name) override;
    void remove(const std::string& path) override;
    void sync_directory(const std::string& directory) override;
    std::uint64_t free_space(const std::string& path) override;
};

} // namespace disktool

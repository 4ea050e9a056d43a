// SPDX-License-Identifier: LGPL-2.1-or-later
// Space behind the end of an image file, to which nothing refers yet.
#pragma once

#include <disktool/extents.h>

#include <cstdint>
#include <map>
#include <string>

namespace disktool::qcow2 {

/// Hands out clusters behind the end of the file, in memory alone; takes back what is not needed after all, and
/// hands that out again. Offsets and lengths in bytes of the file. Threads: one at a time.
class Tail {
  public:
    /// start: where the file ends, at a cluster.
    Tail(std::string path, std::uint64_t start, std::uint64_t cluster_size)
        : path_(std::move(path)), cluster_size_(cluster_size), start_(start), end_(start) {}

    struct Run {
        std::uint64_t offset = 0;
        std::uint64_t count = 0; ///< clusters
        bool fresh = false;      ///< nobody has written there: it reads as zeros
    };
    /// At least one cluster, at most `count`, in a row; what was given back goes first.
    Run take(std::uint64_t count);
    /// `count` fresh clusters in a row. Throws size_impossible where a table entry could not name them.
    std::uint64_t append(std::uint64_t count);
    void give_back(std::uint64_t offset, std::uint64_t count);

    std::uint64_t start() const { return start_; }
    std::uint64_t end() const { return end_; } ///< behind all that was ever handed out
    std::uint64_t used() const { return end_ - start_ - unused_bytes_; }
    /// Handed out and not given back. offset: of a cluster.
    bool is_used(std::uint64_t offset) const;
    /// Given back and not handed out again.
    ExtentSet unused() const;

  private:
    std::string path_;
    std::uint64_t cluster_size_;
    std::uint64_t start_;
    std::uint64_t end_;
    std::uint64_t unused_bytes_ = 0;
    std::map<std::uint64_t, std::uint64_t> unused_; ///< offset to length, no two touch
};

} // namespace disktool::qcow2

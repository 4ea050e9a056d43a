// SPDX-License-Identifier: LGPL-2.1-or-later
// The sending side of `ploop copy`: the file of the top image of a running disk, while it is written to.
#pragma once

#include "operations.h"

#include <disktool/doors.h>
#include <disktool/progress.h>
#include <disktool/range.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace disktool::ploop {

/// The running disk. Threads: one at a time. All may throw.
class CopySource {
  public:
    CopySource() = default;
    CopySource(const CopySource&) = delete;
    CopySource& operator=(const CopySource&) = delete;
    virtual ~CopySource();

    struct Image {
        std::string path; ///< of the top's file
        std::uint64_t size = 0;
        std::uint64_t cluster = 0; ///< bytes
        bool raw = false;          ///< without a header that bears the in-use mark
    };
    /// From now on it remembers what is written.
    virtual Image start_tracking() = 0;
    /// Ranges of the file that were written since the last call; the file holds it.
    virtual std::vector<Range> changes() = 0;
    virtual void stop_tracking() = 0;
    /// Nothing more is written to the disk until thaw(), and the file holds all that was.
    virtual void freeze() = 0;
    virtual void thaw() = 0; ///< never throws
};

/// Where the copy goes. Threads: one at a time.
class CopyTarget {
  public:
    CopyTarget() = default;
    CopyTarget(const CopyTarget&) = delete;
    CopyTarget& operator=(const CopyTarget&) = delete;
    virtual ~CopyTarget();

    virtual void write(std::uint64_t position, std::span<const std::byte> data) = 0;
    /// What was written is on stable storage there, as far as the other side tells: `start` are the first 4
    /// bytes of the file.
    virtual void sync(std::span<const std::byte> start) = 0;
    virtual void finish(std::uint64_t size) = 0; ///< of the file; it is whole
};

/// Records for a receiver, through a pipe or a socket.
std::unique_ptr<CopyTarget> stream_target(int descriptor, std::optional<int> feedback, CancelToken* cancel);
/// The bytes in their places, without records. `file` must outlive it.
std::unique_ptr<CopyTarget> file_target(File& file);

struct SendOptions {
    std::function<void()> stop = [] {}; ///< whoever uses the disk stops; throws when that fails
    Say say = [](const std::string&) {};
    std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t, std::uint64_t) {};
    CancelToken* cancel = nullptr;
};

/// The whole file; what was changed meanwhile, again and again, until nothing was, ten times or more than the
/// file's size; sync; `stop`; freeze; the rest; the header as of an image that was closed; thaw. Throws
/// PloopError(still_changing) when the frozen disk is written to; whatever is thrown, tracking has ended and
/// the disk is thawed.
void send_copy(Doors doors, CopySource& source, CopyTarget& target, const SendOptions& options);

} // namespace disktool::ploop

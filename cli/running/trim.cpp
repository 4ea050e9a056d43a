// SPDX-License-Identifier: LGPL-2.1-or-later
#include "trim.h"

#include "block/host_descriptor.h"
#include "ploop_error.h"

#include <disktool/error.h>
#include <disktool/range.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

namespace disktool::ploop::cli {

namespace {

constexpr std::uint64_t first_clusters = 32;
/// The kernel cannot be stopped within one call, so that one call is not for all.
constexpr std::uint64_t largest_piece = GiB;
constexpr std::uint64_t smallest_piece = 16 * MiB;

/// None left out, none smaller than `smallest`.
std::vector<std::uint64_t> rounds_of(const TrimRequest& request) {
    const std::uint64_t smallest = std::max(round_up(request.smallest, request.unit), request.unit);
    std::vector<std::uint64_t> rounds;
    for (std::uint64_t length = std::max(first_clusters * request.unit, smallest); length > smallest;
         length /= 2) {
        rounds.push_back(length);
    }
    rounds.push_back(smallest);
    return rounds;
}

/// How much of the file system is looked at in one call: not much more than is wanted, and whole clusters.
std::uint64_t piece_of(const TrimRequest& request, std::uint64_t smallest) {
    if (request.enough == 0) {
        return round_up(largest_piece, request.unit);
    }
    const std::uint64_t piece = std::clamp(request.enough / 2, smallest_piece, largest_piece);
    return round_up(std::max(piece, smallest), request.unit);
}

/// Bytes up to which the file system counts its addresses. btrfs counts others than those of its device: all at
/// once.
std::uint64_t length_of(int root, const TrimRequest& request) {
    struct statvfs space {};
    if (fstatvfs(root, &space) != 0) {
        throw SystemError("Cannot learn the size of", request.root, errno);
    }
    // What is counted there is less than what there is, by tables and a journal.
    const std::uint64_t blocks = std::uint64_t{space.f_blocks} * space.f_frsize;
    return request.type == "btrfs" ? 0 : blocks + blocks / 4 + GiB;
}

/// Bytes named free; none: nothing of the file system lies there, or no piece of it can be so long.
std::optional<std::uint64_t> trim_piece(int root, const TrimRequest& request, Range part,
                                        std::uint64_t smallest) {
    fstrim_range range{part.offset, part.length, smallest};
    while (ioctl(root, FITRIM, &range) != 0) {
        if (errno == EINVAL) {
            return std::nullopt;
        }
        if (errno == EOPNOTSUPP || errno == ENOTTY) {
            throw PloopError(Exit::invalid_parameter, ErrorCode::unsupported,
                             fmt::format("The {} at {} cannot give free space back (FITRIM): {}", request.type,
                                         request.root, std::strerror(errno)),
                             Reason::filesystem_not_supported);
        }
        if (errno != EINTR) {
            throw PloopError(Exit::device_ioctl, ErrorCode::failure,
                             fmt::format("Giving back the free space of {} failed (FITRIM): {}", request.root,
                                         std::strerror(errno)));
        }
    }
    return range.len;
}

} // namespace

std::uint64_t trim_filesystem(const TrimRequest& request, CancelToken& cancel, const TrimWatch& watch) {
    const disktool::Descriptor root(open(request.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        throw SystemError("Cannot open", request.root, errno);
    }
    // What was removed just now is free only once the journal says so.
    if (syncfs(root.get()) != 0) {
        throw PloopError(Exit::sync, ErrorCode::failure,
                         fmt::format("Cannot sync {}: {}", request.root, std::strerror(errno)));
    }
    const std::vector<std::uint64_t> rounds = rounds_of(request);
    const std::uint64_t length = length_of(root.get(), request);
    std::uint64_t freed = 0;
    for (std::size_t round = 0; round < rounds.size(); ++round) {
        const std::uint64_t piece = piece_of(request, rounds[round]);
        for (std::uint64_t at = 0; at == 0 || at < length; at += piece) {
            cancel.check();
            const Range part{at, length == 0 ? UINT64_MAX : piece};
            const std::optional<std::uint64_t> named = trim_piece(root.get(), request, part, rounds[round]);
            if (!named) {
                break;
            }
            freed += *named;
            const std::uint64_t done = round * length + at + piece;
            if (watch(std::min(done, rounds.size() * length), rounds.size() * length)) {
                return freed;
            }
        }
    }
    return freed;
}

} // namespace disktool::ploop::cli

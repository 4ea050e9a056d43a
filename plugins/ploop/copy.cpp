// SPDX-License-Identifier: LGPL-2.1-or-later
// The receiving side of `ploop copy`: a stream of records becomes the copy of a delta file.
#include "copy_stream.h"
#include "little_endian.h"
#include "operations.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

namespace disktool::ploop {

namespace {

/// A record is at most a cluster, and the largest one has 64 MiB.
constexpr std::uint32_t largest_record = largest_cluster_sectors * sector_size;
/// No ploop file is larger: 2^32 clusters of 64 MiB. A position beyond is rubbish.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 58;
constexpr std::size_t piece = 1 * MiB;

class Stream {
  public:
    Stream(int descriptor, CancelToken* cancel) : descriptor_(descriptor), cancel_(cancel) {}

    /// False at the end of the stream, where nothing was read.
    bool read(std::span<std::byte> buffer) {
        std::size_t got = 0;
        while (got < buffer.size()) {
            wait();
            const ssize_t count = ::read(descriptor_, buffer.data() + got, buffer.size() - got);
            if (count < 0 && errno != EINTR && errno != EAGAIN) {
                throw PloopError(Exit::read, ErrorCode::failure,
                                 fmt::format("The stream cannot be read: {}", std::strerror(errno)));
            }
            if (count == 0) {
                if (got == 0) {
                    return false;
                }
                throw cut_off(buffer.size(), got);
            }
            got += count > 0 ? static_cast<std::size_t>(count) : 0;
        }
        return true;
    }

    static PloopError cut_off(std::size_t wanted, std::size_t got) {
        return {
            Exit::read, ErrorCode::failure,
            fmt::format(
                "The stream ends early: {} bytes where {} should come. The sender has stopped; start the copy "
                "anew",
                got, wanted)};
    }

  private:
    void wait() {
        pollfd waiting{descriptor_, POLLIN, 0};
        do {
            if (cancel_ != nullptr) {
                cancel_->check();
            }
        } while (poll(&waiting, 1, copy_look_interval) <= 0);
    }

    int descriptor_;
    CancelToken* cancel_;
};

void answer(std::optional<int> feedback, bool success) {
    const std::string_view word = success ? copy_success : copy_failure;
    if (feedback && write(*feedback, word.data(), word.size()) != static_cast<ssize_t>(word.size())) {
        throw PloopError(Exit::write, ErrorCode::failure,
                         fmt::format("The sender cannot be answered: {}", std::strerror(errno)));
    }
}

void receive(Stream& stream, File& file, std::optional<int> feedback) {
    std::array<std::byte, copy_record_size> head{};
    std::vector<std::byte> buffer(piece);
    for (;;) {
        if (!stream.read(head)) {
            throw Stream::cut_off(head.size(), 0);
        }
        const auto size = get<std::uint32_t>(head, 4);
        const auto position = get<std::uint64_t>(head, 8);
        if (get<std::uint32_t>(head, 0) != copy_marker || size > largest_record ||
            position > largest_file - size) {
            throw PloopError(
                Exit::bad_marker, ErrorCode::damaged,
                "The stream is no ploop copy, or was damaged on its way: a record has a wrong mark, or more "
                "bytes than a cluster can have");
        }
        if (size == 0) {
            return;
        }
        for (std::uint32_t done = 0; done < size;) {
            const auto part = std::span(buffer).first(std::min<std::size_t>(piece, size - done));
            if (!stream.read(part)) {
                throw Stream::cut_off(part.size(), 0);
            }
            file.write(position + done, part);
            done += static_cast<std::uint32_t>(part.size());
        }
        if (size == copy_sync_size && position == 0) {
            try {
                file.sync_data();
            } catch (const Error&) {
                answer(feedback, false);
                throw;
            }
            answer(feedback, true);
        }
    }
}

} // namespace

void receive_copy(Doors doors, const std::string& path, int input, std::optional<int> feedback,
                  CancelToken* cancel) {
    require_stream(input, "input");
    if (feedback) {
        require_stream(*feedback, "feedback");
    }
    const std::unique_ptr<File> file =
        doors.files.open(path, {.write = true, .create = true, .exclusive = true});
    try {
        Stream stream(input, cancel);
        receive(stream, *file, feedback);
        file->sync();
        doors.files.sync_directory(directory_of(path));
    } catch (...) {
        try {
            doors.files.remove(path);
        } catch (const Error& error) {
            log(LogLevel::warning, error.what());
        }
        throw;
    }
}

} // namespace disktool::ploop

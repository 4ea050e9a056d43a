// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a copy is sent to: a stream of records, or a file.
#include "copy_send.h"
#include "copy_stream.h"
#include "little_endian.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

namespace disktool::ploop {

namespace {

/// Without a receiver that answers: time enough, as the original thinks.
constexpr std::chrono::seconds blind_wait{5};

void check(CancelToken* cancel) {
    if (cancel != nullptr) {
        cancel->check();
    }
}

void wait_for(int descriptor, short events, CancelToken* cancel) {
    pollfd waiting{descriptor, events, 0};
    do {
        check(cancel);
    } while (poll(&waiting, 1, copy_look_interval) <= 0);
}

class StreamTarget final : public CopyTarget {
  public:
    StreamTarget(int descriptor, std::optional<int> feedback, CancelToken* cancel)
        : descriptor_(descriptor), feedback_(feedback), cancel_(cancel) {}

    void write(std::uint64_t position, std::span<const std::byte> data) override {
        std::array<std::byte, copy_record_size> head{};
        put<std::uint32_t>(head, 0, copy_marker);
        put<std::uint32_t>(head, 4, static_cast<std::uint32_t>(data.size()));
        put<std::uint64_t>(head, 8, position);
        send(head);
        send(data);
    }
    void sync(std::span<const std::byte> start) override {
        write(0, start.first(copy_sync_size));
        if (feedback_) {
            receive_answer();
            return;
        }
        const auto end = std::chrono::steady_clock::now() + blind_wait;
        while (std::chrono::steady_clock::now() < end) {
            check(cancel_);
            std::this_thread::sleep_for(std::chrono::milliseconds(copy_look_interval));
        }
    }
    void finish(std::uint64_t) override { write(0, {}); }

  private:
    void send(std::span<const std::byte> data) const {
        while (!data.empty()) {
            wait_for(descriptor_, POLLOUT, cancel_);
            const ssize_t count = ::write(descriptor_, data.data(), data.size());
            if (count < 0 && errno != EINTR && errno != EAGAIN) {
                throw PloopError(Exit::write, ErrorCode::failure,
                                 errno == EPIPE
                                     ? "The receiver has gone: it ended, or was killed, before it had all"
                                     : fmt::format("Cannot send: {}", std::strerror(errno)));
            }
            data = data.subspan(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        }
    }
    void receive_answer() const {
        std::array<char, copy_success.size()> answer{};
        for (std::size_t got = 0; got < answer.size();) {
            wait_for(*feedback_, POLLIN, cancel_);
            const ssize_t count = read(*feedback_, answer.data() + got, answer.size() - got);
            if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
                throw PloopError(Exit::read, ErrorCode::failure,
                                 "The receiver has not answered: it ended, or was killed, before it had all");
            }
            got += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
        }
        const std::string_view text(answer.data(), answer.size());
        if (text == copy_failure) {
            throw PloopError(Exit::sync, ErrorCode::failure,
                             "The receiver could not put the copy on stable storage (fdatasync)");
        }
        if (text != copy_success) {
            throw PloopError(Exit::bad_marker, ErrorCode::damaged,
                             "What comes back on the feedback descriptor is no answer of a receiver");
        }
    }

    int descriptor_;
    std::optional<int> feedback_;
    CancelToken* cancel_;
};

class FileTarget final : public CopyTarget {
  public:
    explicit FileTarget(File& file) : file_(file) {}
    void write(std::uint64_t position, std::span<const std::byte> data) override {
        file_.write(position, data);
    }
    void sync(std::span<const std::byte>) override { file_.sync_data(); }
    void finish(std::uint64_t size) override {
        if (file_.status().size > size) {
            file_.truncate(size);
        }
        file_.sync();
    }

  private:
    File& file_;
};

} // namespace

bool is_stream(int descriptor) {
    struct stat status {};
    return fstat(descriptor, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

void require_stream(int descriptor, const char* role) {
    if (!is_stream(descriptor)) {
        throw PloopError(
            Exit::invalid_parameter, ErrorCode::usage,
            fmt::format("The {} descriptor {} is neither a pipe nor a socket, as between a sender and a "
                        "receiver of ploop copy",
                        role, descriptor));
    }
}

std::unique_ptr<CopyTarget> stream_target(int descriptor, std::optional<int> feedback, CancelToken* cancel) {
    return std::make_unique<StreamTarget>(descriptor, feedback, cancel);
}

std::unique_ptr<CopyTarget> file_target(File& file) {
    return std::make_unique<FileTarget>(file);
}

} // namespace disktool::ploop

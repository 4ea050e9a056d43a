// SPDX-License-Identifier: LGPL-2.1-or-later
// A stream of `ploop copy` from a hostile sender. The input comes through a pipe and is received into a file in
// memory; a few lines here that share nothing with the plugin read it too. Other outcomes than theirs, other
// exceptions than an Error, a sanitizer's report and a time-out are findings.
#include "little_endian.h"
#include "operations.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace disktool::ploop {
namespace {

void demand(bool condition) {
    if (!condition) {
        std::abort();
    }
}

/// The bytes that were written, one by one: a stream may write anywhere up to 2^58.
using Content = std::map<std::uint64_t, std::byte>;

struct Host {
    Content content;
    bool there = false;
    std::size_t syncs = 0; ///< of the data
    bool synced = false;   ///< the file after its last write, and the folder
};

class SparseFile final : public File {
  public:
    SparseFile(Host& host, std::string path) : host_(host), path_(std::move(path)) {}
    const std::string& path() const override { return path_; }
    FileStatus status() override { throw std::logic_error("the file's status"); }
    std::size_t read_some(std::uint64_t, std::span<std::byte>) override { throw std::logic_error("read"); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        for (const std::byte byte : data) {
            host_.content[offset++] = byte;
        }
        host_.synced = false;
    }
    void punch_hole(Range) override { throw std::logic_error("punch_hole"); }
    void zero(Range) override { throw std::logic_error("zero"); }
    void allocate(Range, bool) override { throw std::logic_error("allocate"); }
    void truncate(std::uint64_t) override { throw std::logic_error("truncate"); }
    void sync_data() override { ++host_.syncs; }
    void sync() override { host_.synced = true; }
    std::optional<std::uint64_t> next_data(std::uint64_t) override { throw std::logic_error("next_data"); }
    std::optional<std::uint64_t> next_hole(std::uint64_t) override { throw std::logic_error("next_hole"); }
    bool try_flock(LockMode) override { return true; }
    bool try_lock_bytes(Range, LockMode) override { return true; }
    bool could_lock_bytes(Range, LockMode) override { return true; }
    int descriptor() const override { return -1; }

  private:
    Host& host_;
    std::string path_;
};

/// Knows a single file.
class SparseDoor final : public FileDoor {
  public:
    explicit SparseDoor(Host& host) : host_(host) {}
    std::unique_ptr<File> open(const std::string& path, OpenFlags flags) override {
        demand(path == "/d/copy" && flags.create && flags.exclusive && !host_.there);
        host_.there = true;
        return std::make_unique<SparseFile>(host_, path);
    }
    void remove(const std::string& path) override {
        demand(path == "/d/copy" && host_.there);
        host_.there = false;
    }
    void sync_directory(const std::string& path) override { demand(path == "/d" && host_.synced); }
    std::optional<FileStatus> status(const std::string&, bool) override { throw std::logic_error("status"); }
    std::string real_path(const std::string& path) override { return path; }
    std::vector<std::string> list(const std::string&) override { return {}; }
    void rename(const std::string&, const std::string&) override { throw std::logic_error("rename"); }
    void link(const std::string&, const std::string&) override { throw std::logic_error("link"); }
    std::uint64_t free_space(const std::string&) override { return 0; }

  private:
    Host& host_;
};

struct Expected {
    Content content;
    std::size_t syncs = 0;
    bool complete = false;
};

/// By the table in docs/ploop-format.md.
Expected read_stream(std::span<const std::byte> input) {
    Expected expected;
    while (input.size() >= 16) {
        const auto size = get<std::uint32_t>(input, 4);
        const auto position = get<std::uint64_t>(input, 8);
        if (get<std::uint32_t>(input, 0) != 0x4cc0ac3d || size > (64u << 20) ||
            position > (std::uint64_t{1} << 58) - size) {
            return expected;
        }
        input = input.subspan(16);
        if (size == 0) {
            expected.complete = true;
            return expected;
        }
        if (size > input.size()) {
            return expected;
        }
        for (std::size_t i = 0; i < size; ++i) {
            expected.content[position + i] = input[i];
        }
        input = input.subspan(size);
        expected.syncs += size == 4 && position == 0;
    }
    return expected;
}

/// Two ends of a stream that closes itself.
class Pipe {
  public:
    explicit Pipe(bool socket) {
        demand((socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends_) : pipe2(ends_, O_CLOEXEC)) == 0);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        close_writer();
        close(ends_[0]);
    }
    int reader() const { return ends_[0]; }
    int writer() const { return ends_[1]; }
    void close_writer() {
        if (ends_[1] >= 0) {
            close(ends_[1]);
            ends_[1] = -1;
        }
    }

  private:
    int ends_[2];
};

/// All of it fits into the pipe, which is written to before anybody reads.
void send(Pipe& pipe, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(pipe.writer(), bytes.data(), bytes.size());
        demand(count > 0);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    pipe.close_writer();
}

void receive(std::span<const std::byte> input, bool socket) {
    Pipe stream(socket);
    Pipe feedback(false);
    send(stream, input);
    Host host;
    SparseDoor door(host);
    bool complete = true;
    try {
        receive_copy({door, real_doors().processes}, "/d/copy", stream.reader(), feedback.writer(), nullptr);
    } catch (const Error&) {
        complete = false;
    }
    const Expected expected = read_stream(input);
    demand(complete == expected.complete && host.there == complete && (!complete || host.synced));
    demand(host.syncs == expected.syncs);
    // What a stream that broke off has written is of no interest: the file is gone.
    demand(!complete || host.content == expected.content);
    feedback.close_writer();
    std::string answers(8 * expected.syncs + 1, '\0');
    std::size_t got = 0;
    for (ssize_t count = 1; count > 0 && got < answers.size();
         got += static_cast<std::size_t>(std::max<ssize_t>(count, 0))) {
        count = ::read(feedback.reader(), answers.data() + got, answers.size() - got);
    }
    demand(got == 8 * expected.syncs);
}

} // namespace
} // namespace disktool::ploop

/// Input: a byte that chooses pipe or socket, then the stream.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t largest = 48 << 10; // what a pipe holds, and a socket
    if (size > 0 && size <= largest) {
        disktool::ploop::receive(std::as_bytes(std::span(data + 1, size - 1)), data[0] % 2 == 1);
    }
    return 0;
}

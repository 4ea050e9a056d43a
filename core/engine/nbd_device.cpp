// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/private_socket.h"
#include "engine/qemu.h"
#include "engine/qemu_error.h"

#include <disktool/error.h>
#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <libnbd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace disktool {

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t most_data = 32 * MiB;  // of one request, as QEMU's server allows
constexpr std::uint64_t most_range = 1 * GiB;  // of a request without data: lengths have 32 bits
constexpr int connect_look = 50;               // milliseconds, at the cancel token
constexpr milliseconds end_of_failed{5000};    // for a server that has closed the connection to end
constexpr milliseconds end_of_closed{300'000}; // for one that writes its caches to a slow disk
constexpr const char* allocation = "base:allocation";

// Bits of "base:allocation" (the NBD protocol's document, "Metadata querying").
constexpr std::uint32_t state_hole = 1;
constexpr std::uint32_t state_zero = 2;

ExtentKind kind_of(std::uint32_t state) {
    if ((state & state_zero) == 0)
        return ExtentKind::data;
    return (state & state_hole) != 0 ? ExtentKind::unallocated : ExtentKind::zero;
}

/// The answer to one block status request: length and state in turn.
using BlockStatus = std::vector<std::uint32_t>;

int take_status(void* status, const char*, std::uint64_t, std::uint32_t* entries, std::size_t count,
                int* error) noexcept {
    try {
        static_cast<BlockStatus*>(status)->assign(entries, entries + count);
        return 0;
    } catch (const std::exception&) {
        *error = ENOMEM;
        return -1;
    }
}

/// What the server wrote, or how it ended if it wrote nothing.
std::string words_of(const CommandResult& result) {
    if (!result.errors.empty())
        return result.errors;
    return fmt::format("qemu-nbd ended with exit status {}", result.exit_status);
}

struct CloseNbd {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
};

class QemuNbd : public NbdDevice {
  public:
    QemuNbd(Doors doors, const std::string& path, const std::string& format, const Options& options)
        : doors_(doors), path_(path), format_(format), options_(options) {}

    void start() {
        std::optional<std::string> failure = try_start(options_.cache);
        if (failure && failure->find("O_DIRECT") != std::string::npos)
            failure = try_start("writeback");
        if (failure)
            throw qemu_error(doors_.files, "qemu-nbd cannot open", path_, *failure);
        const std::int64_t size = nbd_get_size(connections_.front().get());
        if (size < 0)
            fail("cannot learn the size");
        size_ = static_cast<std::uint64_t>(size);
    }

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return std::filesystem::path(path_).filename().string(); }
    bool writable() const override { return options_.writable; }
    bool concurrent() const override { return options_.connections > 1; }

    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        const Turn turn(*this);
        while (!buffer.empty()) {
            const std::size_t piece = std::min<std::size_t>(buffer.size(), most_data);
            if (nbd_pread(turn.handle(), buffer.data(), piece, offset, 0) != 0)
                turn.fail("cannot read", Range{offset, piece});
            offset += piece;
            buffer = buffer.subspan(piece);
        }
    }

    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        if (!writable())
            return BlockDevice::write(offset, data);
        check_range(offset, data.size());
        const Turn turn(*this);
        while (!data.empty()) {
            const std::size_t piece = std::min<std::size_t>(data.size(), most_data);
            if (nbd_pwrite(turn.handle(), data.data(), piece, offset, 0) != 0)
                turn.fail("cannot write", Range{offset, piece});
            offset += piece;
            data = data.subspan(piece);
        }
    }

    void discard(Range range) override {
        if (!writable())
            return BlockDevice::discard(range);
        for_pieces(range, "cannot discard", nbd_trim);
    }

    void zero(Range range) override {
        if (!writable())
            return BlockDevice::zero(range);
        for_pieces(range, "cannot write zeros to", nbd_zero);
    }

    void flush() override {
        if (!writable())
            return BlockDevice::flush();
        // Of all that was answered on any connection: they write to one disk of QEMU's.
        const Turn turn(*this);
        if (nbd_flush(turn.handle(), 0) != 0)
            turn.fail("cannot flush");
    }

    std::vector<Extent> extents(Range range) override {
        check_range(range.offset, range.length);
        const Turn turn(*this);
        if (nbd_can_meta_context(turn.handle(), allocation) != 1)
            return BlockDevice::extents(range);
        std::vector<Extent> result;
        while (!range.empty()) {
            const std::uint64_t piece = std::min(range.length, most_range);
            BlockStatus status;
            const nbd_extent_callback callback{.callback = take_status, .user_data = &status, .free = nullptr};
            if (nbd_block_status(turn.handle(), piece, range.offset, callback, 0) != 0)
                turn.fail("cannot learn the allocation of", Range{range.offset, piece});
            const std::uint64_t before = range.length;
            for (std::size_t i = 0; i + 1 < status.size(); i += 2) {
                const std::uint64_t part = std::min<std::uint64_t>(status[i], range.length); // may say more
                append_extent(result, {range.offset, part}, kind_of(status[i + 1]));
                range = {range.offset + part, range.length - part};
            }
            if (range.length == before)
                throw Error(ErrorCode::failure, fmt::format("qemu-nbd does not tell what {} holds at offset {}",
                                                            path_, range.offset));
        }
        return result;
    }

    void close() override {
        if (writable())
            flush();
        for (std::size_t i = 0; i < options_.connections; ++i) {
            const Turn turn(*this);
            if (nbd_shutdown(turn.handle(), 0) != 0)
                turn.fail("cannot end the connection");
            turn.done();
        }
        connections_.clear();
        const std::optional<CommandResult> result = server_->wait(end_of_closed);
        server_.reset();
        if (!result)
            throw Error(ErrorCode::failure, fmt::format("qemu-nbd did not close {} within {} s and was ended",
                                                        path_, end_of_closed.count() / 1000));
        if (!result->ok())
            throw qemu_error(doors_.files, "qemu-nbd failed with", path_, words_of(*result));
    }

  private:
    using RangeRequest = int(nbd_handle*, std::uint64_t length, std::uint64_t offset, std::uint32_t flags);

    using Connection = std::unique_ptr<nbd_handle, CloseNbd>;

    /// A connection for one who asks, until this goes.
    class Turn {
      public:
        explicit Turn(QemuNbd& device) : device_(device), connection_(device.take()) {}
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (connection_)
                device_.give(std::move(connection_));
        }
        nbd_handle* handle() const { return connection_.get(); }
        /// It is not needed any more, by anyone.
        void done() const { connection_.reset(); }
        [[noreturn]] void fail(std::string_view action, std::optional<Range> where = std::nullopt) const {
            device_.fail(handle(), action, where);
        }

      private:
        QemuNbd& device_;
        mutable Connection connection_;
    };

    Connection take() {
        std::unique_lock lock(mutex_);
        if (!server_)
            throw std::logic_error("NbdDevice is used after close()");
        free_.wait(lock, [this] { return !connections_.empty(); });
        Connection connection = std::move(connections_.back());
        connections_.pop_back();
        return connection;
    }
    void give(Connection connection) {
        const std::scoped_lock lock(mutex_);
        connections_.push_back(std::move(connection)); // it had room for it before
        free_.notify_one();
    }

    /// None when it serves; else why it does not.
    std::optional<std::string> try_start(const std::string& cache) {
        PrivateSocket socket = make_private_socket(options_.connections);
        server_ = start_server(cache, socket.listening.get());
        socket.listening.close(); // so that our connection breaks when the server ends
        std::string why;
        for (Descriptor& connected : socket.connected) {
            Connection connection(nbd_create());
            if (!connection)
                throw Error(ErrorCode::failure, fmt::format("libnbd cannot be used: {}", nbd_get_error()));
            nbd_handle* const nbd = connection.get();
            // QEMU serves unaligned requests too; without this libnbd would not send them.
            nbd_set_strict_mode(nbd, nbd_get_strict_mode(nbd) & ~LIBNBD_STRICT_ALIGN);
            if (nbd_add_meta_context(nbd, allocation) != 0 || !connect(nbd, std::move(connected))) {
                why = nbd_get_error();
                break;
            }
            connections_.push_back(std::move(connection));
        }
        if (connections_.size() == options_.connections)
            return std::nullopt;
        connections_.clear();
        const std::optional<CommandResult> result = server_->wait(end_of_failed);
        server_.reset();
        return result ? words_of(*result) : why;
    }

    std::unique_ptr<Process> start_server(const std::string& cache, int listening) {
        Command command;
        command.arguments = {"qemu-nbd",
                             "--format=" + format_,
                             "--cache=" + cache,
                             "--detect-zeroes=off",
                             options_.discard ? "--discard=unmap" : "--discard=ignore",
                             fmt::format("--shared={}", options_.connections)};
        if (!options_.writable)
            command.arguments.emplace_back("--read-only");
        // An absolute path is never taken for an option or for a protocol ("nbd:...").
        command.arguments.push_back(doors_.files.real_path(path_));
        command.descriptors = {{listening, 3}}; // socket activation: the first descriptor passed on is 3
        command.environment = {{"LISTEN_FDS", "1"}};
        command.listen_pid = true;
        try {
            return doors_.processes.start(command);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::program_missing)
                throw qemu_utils_missing(error);
            throw;
        }
    }

    /// False when it did not come about; nbd_get_error() says why.
    bool connect(nbd_handle* nbd, Descriptor socket) const {
        if (nbd_aio_connect_socket(nbd, socket.get()) != 0)
            return false;
        socket.release();
        while (nbd_aio_is_connecting(nbd) == 1) {
            if (options_.cancel)
                options_.cancel->check();
            if (nbd_poll(nbd, connect_look) < 0)
                return false;
        }
        return nbd_aio_is_ready(nbd) == 1;
    }

    void for_pieces(Range range, std::string_view action, RangeRequest* request) {
        check_range(range.offset, range.length);
        const Turn turn(*this);
        while (!range.empty()) {
            const std::uint64_t piece = std::min(range.length, most_range);
            if (request(turn.handle(), piece, range.offset, 0) != 0)
                turn.fail(action, Range{range.offset, piece});
            range = {range.offset + piece, range.length - piece};
        }
    }

    /// After a libnbd call that failed.
    [[noreturn]] void fail(nbd_handle* nbd, std::string_view action, std::optional<Range> where) {
        const int error_number = nbd_get_errno();
        std::string sentence = fmt::format("{} through qemu-nbd: {}", path_, action);
        if (where)
            sentence += fmt::format(" {} bytes at offset {}", where->length, where->offset);
        sentence += fmt::format(": {}", nbd_get_error());
        if (nbd_aio_is_dead(nbd) == 1) {
            const std::scoped_lock lock(mutex_);
            if (const std::optional<CommandResult> result = server_->wait(end_of_failed))
                sentence += "; " + words_of(*result);
        }
        throw Error(error_number == ENOSPC ? ErrorCode::no_space : ErrorCode::failure, sentence);
    }

    const Doors doors_;
    const std::string path_;
    const std::string format_;
    const Options options_;
    std::uint64_t size_ = 0;
    std::unique_ptr<Process> server_;
    std::mutex mutex_;
    std::condition_variable free_;
    std::vector<Connection>
        connections_; ///< that nobody uses now; go first: the server ends when the last is gone
};

} // namespace

std::unique_ptr<NbdDevice> NbdDevice::open(Doors doors, const std::string& path, const std::string& format,
                                           const Options& options) {
    auto device = std::make_unique<QemuNbd>(doors, path, format, options);
    device->start();
    return device;
}

} // namespace disktool

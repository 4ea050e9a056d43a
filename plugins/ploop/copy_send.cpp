// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy_send.h"

#include "header.h"
#include "little_endian.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop {

namespace {

constexpr int most_rounds = 10;
constexpr int most_frozen_rounds = 3;
constexpr std::size_t sent_header = 512;  ///< bytes
constexpr std::size_t in_use_offset = 44; ///< of the mark in the header

/// Ends what was begun, in the order that is right, whatever happens.
class Held {
  public:
    explicit Held(CopySource& source) : source_(source) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
        try {
            stop_tracking();
        } catch (const std::exception& error) {
            log(LogLevel::warning, fmt::format("The write tracker could not be stopped: {}", error.what()));
        }
        thaw();
    }
    CopySource::Image start_tracking() {
        CopySource::Image image = source_.start_tracking();
        tracking_ = true;
        return image;
    }
    void stop_tracking() {
        if (std::exchange(tracking_, false)) {
            source_.stop_tracking();
        }
    }
    void freeze() {
        frozen_ = true; // what fails half-way is thawed, too
        source_.freeze();
    }
    void thaw() {
        if (std::exchange(frozen_, false)) {
            source_.thaw();
        }
    }

  private:
    CopySource& source_;
    bool tracking_ = false;
    bool frozen_ = false;
};

class Sender {
  public:
    Sender(File& file, CopyTarget& target, const CopySource::Image& image, const SendOptions& options)
        : file_(file), target_(target), options_(options), size_(image.size), buffer_(image.cluster) {}

    void send_file() {
        const std::uint64_t size = size_;
        for (std::uint64_t at = 0; at < size; at += buffer_.size()) {
            send({at, std::min<std::uint64_t>(buffer_.size(), size - at)});
            options_.progress(std::min(at + buffer_.size(), size), size);
        }
    }
    /// Returns how many bytes.
    std::uint64_t send(const std::vector<Range>& ranges) {
        std::uint64_t sent = 0;
        for (const Range& range : ranges) {
            size_ = std::max(size_, range.end());
            for (std::uint64_t at = range.offset; at < range.end(); at += buffer_.size()) {
                send({at, std::min<std::uint64_t>(buffer_.size(), range.end() - at)});
            }
            sent += range.length;
        }
        return sent;
    }
    void sync() {
        std::array<std::byte, 4> start{};
        file_.read(0, start);
        target_.sync(start);
    }
    /// Of an image that nobody uses, as the copy is one.
    void send_header() {
        std::array<std::byte, sent_header> header{};
        file_.read(0, header);
        put<std::uint32_t>(header, in_use_offset, 0);
        target_.write(0, header);
    }
    std::uint64_t size() const { return size_; }

  private:
    void send(Range range) {
        if (options_.cancel != nullptr) {
            options_.cancel->check();
        }
        const auto part = std::span(buffer_).first(range.length);
        // The file may end within its last cluster.
        const std::size_t count = file_.read_some(range.offset, part);
        std::ranges::fill(part.subspan(count), std::byte{0});
        target_.write(range.offset, part);
    }

    File& file_;
    CopyTarget& target_;
    const SendOptions& options_;
    std::uint64_t size_; ///< of the copy
    std::vector<std::byte> buffer_;
};

} // namespace

CopySource::~CopySource() = default;
CopyTarget::~CopyTarget() = default;

void send_copy(Doors doors, CopySource& source, CopyTarget& target, const SendOptions& options) {
    Held held(source);
    const CopySource::Image image = held.start_tracking();
    const std::unique_ptr<File> file = doors.files.open(image.path, {});
    Sender sender(*file, target, image, options);
    options.say(fmt::format("Sending {}", image.path));
    sender.send_file();

    std::uint64_t sent_again = 0;
    for (int round = 1; round <= most_rounds && sent_again <= sender.size(); ++round) {
        const std::vector<Range> changes = source.changes();
        if (changes.empty()) {
            break;
        }
        const std::uint64_t sent = sender.send(changes);
        sent_again += sent;
        options.say(fmt::format("Round {}: {} bytes were written meanwhile", round, sent));
    }
    sender.sync();
    options.stop();

    options.say("Freezing the file system");
    held.freeze();
    for (int round = 1;; ++round) {
        const std::vector<Range> changes = source.changes();
        if (changes.empty()) {
            break;
        }
        if (round > most_frozen_rounds) {
            throw PloopError(
                Exit::still_changing, ErrorCode::failure,
                "The disk is still written to although its file system is frozen: is there something that "
                "writes to the block device itself? The copy is given up");
        }
        const std::uint64_t sent = sender.send(changes);
        options.say(fmt::format("Last round {}: {} bytes", round, sent));
    }
    if (!image.raw) {
        sender.send_header();
    }
    held.stop_tracking();
    target.finish(sender.size());
    held.thaw();
}

} // namespace disktool::ploop

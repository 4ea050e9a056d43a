// SPDX-License-Identifier: LGPL-2.1-or-later
// A guest that reads and writes a disk from several threads, and plain bytes beside it that must be the same.
#pragma once

#include "made_delta.h"
#include "running_disk.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace disktool::ploop::engine_test {

inline Bytes first_bytes(BlockDevice& device, std::uint64_t limit) {
    Bytes bytes(std::min(device.size(), limit));
    device.read(0, bytes);
    return bytes;
}

/// Each byte of the disk belongs to one thread, so that its content is known; but most clusters are shared:
/// in the first half of the disk the threads own blocks by turns, in the other whole clusters.
class Guest {
  public:
    static constexpr std::uint64_t block = 4096;
    static constexpr unsigned threads = 4;

    /// Stays within the first `reach` bytes of the disk.
    Guest(BlockDevice& device, std::uint64_t unit, std::uint64_t reach, unsigned seed)
        : device_(device), unit_(unit), reach_(reach), seed_(seed), bytes_(first_bytes(device, reach)) {}
    ~Guest() { stop(); }

    void start() {
        for (unsigned thread = 0; thread < threads; ++thread) {
            threads_.emplace_back([this, thread] { work(thread); });
        }
    }
    void stop() {
        stopping_ = true;
        thaw();
        for (std::thread& thread : threads_) {
            thread.join();
        }
        threads_.clear();
        stopping_ = false;
    }
    /// Nobody is in the middle of something; the bytes are those of the disk.
    void freeze() {
        std::unique_lock lock(mutex_);
        frozen_ = true;
        changed_.wait(lock, [&] { return busy_ == 0; });
    }
    void thaw() {
        const std::lock_guard lock(mutex_);
        frozen_ = false;
        changed_.notify_all();
    }
    /// The disk is larger now; the new part is zeros.
    void follow_size() {
        freeze();
        bytes_.resize(std::min(device_.size(), reach_));
        thaw();
    }
    /// Errors of the host's are borne from now on, as a guest bears them: what was to be written may be there.
    void bear_errors(bool bear) { bears_ = bear; }

    const Bytes& bytes() const { return bytes_; } ///< frozen or stopped
    std::uint64_t operations() const { return operations_; }
    std::uint64_t errors() const { return errors_; }
    std::string complaint() {
        const std::lock_guard lock(mutex_);
        return complaint_;
    }

  private:
    struct Place {
        std::uint64_t offset, length;
    };

    void work(unsigned thread) {
        std::mt19937_64 random(seed_ * 100 + thread);
        while (!stopping_) {
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [&] { return !frozen_ || stopping_; });
                if (stopping_) {
                    return;
                }
                ++busy_;
            }
            step(random, thread);
            ++operations_;
            const std::lock_guard lock(mutex_);
            --busy_;
            changed_.notify_all();
        }
    }

    Place place(std::mt19937_64& random, unsigned thread) const {
        const std::uint64_t clusters = bytes_.size() / unit_;
        const std::uint64_t shared = clusters / 2;
        if (random() % 2 == 0 || clusters - shared < threads) {
            const std::uint64_t blocks = shared * unit_ / block;
            const std::uint64_t start = random() % (blocks / threads) * threads + thread;
            const std::uint64_t sector = random() % (block / sector_size);
            const std::uint64_t count = 1 + random() % (block / sector_size - sector);
            return {start * block + sector * sector_size, count * sector_size};
        }
        const std::uint64_t own = (clusters - shared) / threads; // neighbours
        const std::uint64_t first = shared + thread * own;
        const std::uint64_t skipped = random() % own;
        const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(own - skipped, 3);
        const std::uint64_t skip = random() % 3 == 0 ? random() % (unit_ / sector_size) * sector_size : 0;
        return {(first + skipped) * unit_ + skip, count * unit_ - skip};
    }

    void step(std::mt19937_64& random, unsigned thread) {
        const Place at = place(random, thread);
        const std::span model = std::span(bytes_).subspan(at.offset, at.length);
        const auto dice = static_cast<unsigned>(random() % 100);
        try {
            if (dice < 40) {
                compare(at, model);
            } else if (dice < 80) {
                const Bytes data = pattern(at.length, static_cast<unsigned>(random() % 1000));
                attempt(at, model, data, [&] { device_.write(at.offset, data); });
            } else if (dice < 88) {
                attempt(at, model, Bytes(at.length), [&] { device_.zero({at.offset, at.length}); });
            } else if (dice < 96) {
                attempt(at, model, Bytes(at.length), [&] { device_.discard({at.offset, at.length}); });
                settle(at, model);
            } else {
                device_.flush();
            }
        } catch (const std::exception& error) {
            ++errors_;
            if (!bears_) {
                complain(error.what());
            }
        }
    }

    /// After an error each sector holds what it held or what was written.
    template <typename Action>
    void attempt(const Place& at, std::span<std::byte> model, const Bytes& data, Action action) {
        try {
            action();
            std::ranges::copy(data, model.begin());
        } catch (const std::exception&) {
            Bytes read(at.length);
            device_.read(at.offset, read);
            for (std::uint64_t i = 0; i < at.length; i += sector_size) {
                const auto now = std::span(read).subspan(i, sector_size);
                if (!std::ranges::equal(now, model.subspan(i, sector_size)) &&
                    !std::ranges::equal(now, std::span(data).subspan(i, sector_size))) {
                    complain("after an error, wrong data at " + std::to_string(at.offset + i));
                }
                std::ranges::copy(now, model.subspan(i, sector_size).begin());
            }
            throw;
        }
    }
    /// What was discarded is zeros or stays; the model says zeros yet.
    void settle(const Place& at, std::span<std::byte> model) {
        Bytes read(at.length);
        device_.read(at.offset, read);
        std::ranges::copy(read, model.begin());
    }
    void compare(const Place& at, std::span<std::byte> model) {
        Bytes read(at.length);
        device_.read(at.offset, read);
        if (same_bytes(read, model)) {
            return;
        }
        const auto differs = std::ranges::mismatch(read, model);
        if (differs.in1 != read.end()) {
            complain("wrong data at " +
                     std::to_string(at.offset + static_cast<std::uint64_t>(differs.in1 - read.begin())));
        }
    }
    void complain(const std::string& what) {
        const std::lock_guard lock(mutex_);
        if (complaint_.empty()) {
            complaint_ = what;
        }
    }

    BlockDevice& device_;
    const std::uint64_t unit_, reach_;
    const unsigned seed_;
    Bytes bytes_;
    std::vector<std::thread> threads_;
    std::atomic<bool> stopping_ = false, bears_ = false;
    std::atomic<std::uint64_t> operations_ = 0, errors_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool frozen_ = false;
    unsigned busy_ = 0;
    std::string complaint_;
};

} // namespace disktool::ploop::engine_test

// SPDX-License-Identifier: LGPL-2.1-or-later
// A file that remembers which of its parts were written.
#pragma once

#include <disktool/file.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace disktool::ploop {

/// Everything goes to the file behind it, which it owns. Threads: as that file; start(), take() and stop() by
/// one.
///
/// A part is marked when its change is over: who is told of it and reads it then finds what was written. A
/// change that is under way while the marks are taken is told the next time.
class TrackingFile final : public File {
  public:
    /// `unit`: bytes of a part.
    TrackingFile(std::unique_ptr<File> file, std::uint64_t unit) : file_(std::move(file)), unit_(unit) {}

    void start(); ///< with no marks
    void stop();
    bool tracking() const { return tracking_.load(); }
    /// Whole parts, sorted, neighbours together, within the file; they are not marked any more.
    std::vector<Range> take();

    const std::string& path() const override { return file_->path(); }
    FileStatus status() override { return file_->status(); }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        return file_->read_some(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void punch_hole(Range range) override;
    void zero(Range range) override;
    void allocate(Range range, bool keep_size) override;
    void truncate(std::uint64_t size) override;
    void sync_data() override { file_->sync_data(); }
    void sync() override { file_->sync(); }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return file_->next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override { return file_->next_hole(offset); }
    bool try_flock(LockMode mode) override { return file_->try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return file_->try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return file_->could_lock_bytes(range, mode); }
    int descriptor() const override { return file_->descriptor(); }
    Direct direct() const override { return file_->direct(); }
    bool share_range(std::uint64_t offset, File& source, Range from) override;
    bool copy_range(std::uint64_t offset, File& source, Range from) override;
    void take_attributes(File& model) override { file_->take_attributes(model); }

  private:
    class Marking;
    void mark(Range range) noexcept;

    std::unique_ptr<File> file_;
    const std::uint64_t unit_;
    std::atomic<bool> tracking_ = false;
    std::mutex mutex_;
    std::vector<std::uint64_t> marks_; ///< a bit for each part; longer than it need be
    bool all_ = false;                 ///< there was no memory for the marks
};

} // namespace disktool::ploop

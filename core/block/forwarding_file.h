// SPDX-License-Identifier: LGPL-2.1-or-later
// A file that is another one, but for what a class made of it does otherwise.
#pragma once

#include <disktool/file.h>

#include <memory>
#include <utility>

namespace disktool {

/// Everything goes to the file behind it, which it owns. Threads: as that file.
class ForwardingFile : public File {
  public:
    explicit ForwardingFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

    const std::string& path() const override { return file_->path(); }
    FileStatus status() override { return file_->status(); }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        return file_->read_some(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { file_->write(offset, data); }
    void punch_hole(Range range) override { file_->punch_hole(range); }
    void zero(Range range) override { file_->zero(range); }
    void allocate(Range range, bool keep_size) override { file_->allocate(range, keep_size); }
    void truncate(std::uint64_t size) override { file_->truncate(size); }
    void sync_data() override { file_->sync_data(); }
    void sync() override { file_->sync(); }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return file_->next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override { return file_->next_hole(offset); }
    bool try_flock(LockMode mode) override { return file_->try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return file_->try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return file_->could_lock_bytes(range, mode); }
    int descriptor() const override { return file_->descriptor(); }
    bool share_range(std::uint64_t offset, File& source, Range from) override {
        return file_->share_range(offset, source, from);
    }
    bool copy_range(std::uint64_t offset, File& source, Range from) override {
        return file_->copy_range(offset, source, from);
    }
    void take_attributes(File& model) override { file_->take_attributes(model); }
    Direct direct() const override { return file_->direct(); }
    void written_beside(Range range) noexcept override { file_->written_beside(range); }

  protected:
    std::unique_ptr<File> file_;
};

} // namespace disktool

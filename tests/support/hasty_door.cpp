// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/hasty_door.h"

#include <utility>

namespace disktool::test {

namespace {

class HastyFile final : public File {
  public:
    explicit HastyFile(std::unique_ptr<File> real) : real_(std::move(real)) {}

    const std::string& path() const override { return real_->path(); }
    FileStatus status() override { return real_->status(); }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        return real_->read_some(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { real_->write(offset, data); }
    void punch_hole(Range range) override { real_->punch_hole(range); }
    void zero(Range range) override { real_->zero(range); }
    void allocate(Range range, bool keep_size) override { real_->allocate(range, keep_size); }
    void truncate(std::uint64_t size) override { real_->truncate(size); }
    void sync_data() override {}
    void sync() override {}
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return real_->next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override { return real_->next_hole(offset); }
    bool try_flock(LockMode mode) override { return real_->try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return real_->try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return real_->could_lock_bytes(range, mode); }
    int descriptor() const override { return real_->descriptor(); }
    bool share_range(std::uint64_t offset, File& source, Range from) override {
        return real_->share_range(offset, source, from);
    }
    bool copy_range(std::uint64_t offset, File& source, Range from) override {
        return real_->copy_range(offset, source, from);
    }
    void take_attributes(File& model) override { real_->take_attributes(model); }

  private:
    std::unique_ptr<File> real_;
};

} // namespace

std::unique_ptr<File> HastyDoor::open(const std::string& path, OpenFlags flags) {
    return std::make_unique<HastyFile>(real_.open(path, flags));
}

Doors hasty_doors() {
    static HastyDoor files;
    return {files, real_doors().processes};
}

} // namespace disktool::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// A new raw file that is filled while nobody else knows of it.
#pragma once

#include <disktool/doors.h>
#include <disktool/file.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <memory>
#include <string>

namespace disktool::raw {

/// Writes go straight to the file: a raw disk has no place for a second state, and a new one needs none. Owns
/// the file, which must not exist before. Threads: any.
class NewDisk final : public WorkingDisk {
  public:
    NewDisk(Doors doors, const std::string& path, std::uint64_t size);

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return file_->path(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override { zero(range); }
    void zero(Range range) override;
    void flush() override { file_->sync_data(); }
    bool take_from(std::uint64_t offset, File& source, Range from) override;
    std::uint64_t space_taken() const override { return file_->status().allocated; }
    void commit(const WorkCommit& request) override;

  private:
    std::unique_ptr<File> file_;
    std::uint64_t size_;
};

} // namespace disktool::raw

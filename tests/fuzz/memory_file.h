// SPDX-License-Identifier: LGPL-2.1-or-later
// A fuzzer's input as a file of the host that can only be read.
#pragma once

#include <disktool/error.h>
#include <disktool/file.h>

#include <algorithm>
#include <string>
#include <vector>

namespace disktool::fuzz {

/// Refers to the input, which must outlive it.
class MemoryFile final : public File {
  public:
    explicit MemoryFile(std::span<const std::byte> content) : content_(content) {}

    const std::string& path() const override { return path_; }
    FileStatus status() override {
        FileStatus status;
        status.inode = 1;
        status.size = content_.size();
        status.allocated = content_.size();
        return status;
    }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        if (offset >= content_.size()) {
            return 0;
        }
        const auto part = content_.subspan(offset).first(std::min(buffer.size(), content_.size() - offset));
        std::copy(part.begin(), part.end(), buffer.begin());
        return part.size();
    }
    void write(std::uint64_t, std::span<const std::byte>) override { refuse(); }
    void punch_hole(Range) override { refuse(); }
    void zero(Range) override { refuse(); }
    void allocate(Range, bool) override { refuse(); }
    void truncate(std::uint64_t) override { refuse(); }
    void sync_data() override { refuse(); }
    void sync() override { refuse(); }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override {
        return offset < content_.size() ? std::optional(offset) : std::nullopt;
    }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override {
        return offset < content_.size() ? std::optional<std::uint64_t>(content_.size()) : std::nullopt;
    }
    bool try_flock(LockMode) override { return true; }
    bool try_lock_bytes(Range, LockMode) override { return true; }
    bool could_lock_bytes(Range, LockMode) override { return true; }
    int descriptor() const override { return -1; }

  private:
    /// Analysing must not change anything: this ends the fuzzer with a finding.
    [[noreturn]] static void refuse() { throw std::logic_error("reading has written to the image"); }

    std::span<const std::byte> content_;
    std::string path_ = "fuzz.img";
};

} // namespace disktool::fuzz

// SPDX-License-Identifier: LGPL-2.1-or-later
// The content of a file in memory, cheap to copy: what a crash leaves is made of thousands of variants of the
// same few files.
#pragma once

#include <disktool/file.h>
#include <disktool/range.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace disktool::test {

/// Pages of 4 KiB that copies share until one of them is changed. Offsets and lengths in bytes.
/// Threads: one at a time.
class MemoryFile {
  public:
    static constexpr std::size_t page_size = 4096;

    MemoryFile() = default;
    /// Holes stay holes.
    static MemoryFile load(const std::string& path);
    /// The path must not exist.
    void store(const std::string& path, std::uint32_t mode) const;

    std::uint64_t size() const { return size_; }
    /// Of all bytes, and of what is a hole.
    std::uint64_t signature() const { return hash_ ^ (size_ * 0x9e3779b97f4a7c15); }
    std::string text() const;

    void write(std::uint64_t offset, std::span<const std::byte> data);
    void punch_hole(Range range);
    void allocate(Range range, bool keep_size);
    void truncate(std::uint64_t size);

  private:
    struct Page {
        std::array<std::byte, page_size> bytes{};
        std::uint64_t hash = 0;
    };
    using PageRef = std::shared_ptr<const Page>; ///< null: a hole

    /// Room that was reserved and never written.
    static const PageRef& reserved();
    static std::uint64_t hash_of(const PageRef& page, std::size_t index);
    void put(std::size_t index, PageRef page);
    void change(std::size_t index, std::size_t from, std::span<const std::byte> data);
    void grow_to(std::uint64_t size);

    std::vector<PageRef> pages_; ///< may reach beyond the size where room is reserved
    std::uint64_t size_ = 0;
    std::uint64_t hash_ = 0;
};

} // namespace disktool::test

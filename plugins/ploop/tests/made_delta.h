// SPDX-License-Identifier: LGPL-2.1-or-later
// Small ploop images for tests, in files or in memory, and what qemu-img says of them.
#pragma once

#include "../delta.h"
#include "../disk.h"
#include "../little_endian.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/bytes.h>
#include <disktool/doors.h>
#include <disktool/error.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace disktool::ploop::engine_test {

using Bytes = std::vector<std::byte>;

/// A file in memory that outlives its being open: many tests need no disk that syncs. Threads: as those of a
/// host, as long as nobody makes it longer.
class HeapFile final : public File {
  public:
    using Content = std::shared_ptr<Bytes>;
    explicit HeapFile(Content content, std::string path = "image.hds")
        : content_(std::move(content)), path_(std::move(path)) {}

    const std::string& path() const override { return path_; }
    FileStatus status() override {
        FileStatus status;
        status.inode = 1;
        status.size = status.allocated = content_->size();
        return status;
    }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        if (offset >= content_->size()) {
            return 0;
        }
        const std::size_t count = std::min<std::size_t>(buffer.size(), content_->size() - offset);
        std::memcpy(buffer.data(), content_->data() + offset, count);
        return count;
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        extend(offset + data.size());
        std::memcpy(content_->data() + offset, data.data(), data.size());
    }
    void punch_hole(Range range) override {
        for (std::uint64_t at = range.offset; at < std::min<std::uint64_t>(range.end(), content_->size());
             ++at) {
            (*content_)[at] = std::byte{0};
        }
    }
    void zero(Range range) override {
        extend(range.end());
        punch_hole(range);
    }
    void allocate(Range range, bool keep_size) override {
        if (!keep_size) {
            extend(range.end());
        }
    }
    void truncate(std::uint64_t size) override { content_->resize(size); }
    void sync_data() override { ++syncs; }
    void sync() override { ++syncs; }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override {
        return offset < content_->size() ? std::optional(offset) : std::nullopt;
    }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override {
        return offset < content_->size() ? std::optional<std::uint64_t>(content_->size()) : std::nullopt;
    }
    bool try_flock(LockMode) override { return true; }
    bool try_lock_bytes(Range, LockMode) override { return true; }
    bool could_lock_bytes(Range, LockMode) override { return true; }
    int descriptor() const override { return -1; }

    std::size_t syncs = 0;

  private:
    void extend(std::uint64_t size) {
        if (size > content_->size()) {
            content_->resize(size);
        }
    }
    Content content_;
    std::string path_;
};

inline NewDelta small_delta(std::uint64_t clusters, Version version = Version::v2,
                            std::uint32_t cluster_sectors = 64) {
    return {.disk_sectors = clusters * cluster_sectors, .cluster_sectors = cluster_sectors, .version = version};
}

inline HeapFile::Content made_content(const NewDelta& request) {
    auto content = std::make_shared<Bytes>();
    HeapFile file(content);
    Delta::create(file, request);
    return content;
}

inline std::unique_ptr<Delta> opened(const HeapFile::Content& content, Access access = Access::write,
                                     bool dirty_too = false) {
    return Delta::open(std::make_unique<HeapFile>(content), access, dirty_too);
}

/// In a file of the host.
inline void make_file(FileDoor& door, const std::string& path, const NewDelta& request) {
    const auto file = door.open(path, {.write = true, .create = true, .exclusive = true});
    Delta::create(*file, request);
}

inline std::unique_ptr<Delta> open_file(FileDoor& door, const std::string& path, Access access = Access::write,
                                        bool dirty_too = false) {
    return Delta::open(door.open(path, {.write = access == Access::write}), access, dirty_too);
}

template <typename... Deltas>
std::unique_ptr<ChainDevice> chain(std::unique_ptr<Deltas>... base_first) {
    std::vector<std::unique_ptr<Delta>> deltas;
    (deltas.push_back(std::move(base_first)), ...);
    return std::make_unique<ChainDevice>(std::move(deltas), "disk");
}

/// `length` bytes that differ from those of other seeds everywhere, and are never zero.
inline Bytes pattern(std::size_t length, unsigned seed) {
    Bytes bytes(length);
    for (std::size_t i = 0; i < length; ++i) {
        bytes[i] = static_cast<std::byte>(1 + (i / 512 * 7 + i + seed * 31) % 255);
    }
    return bytes;
}

/// By memcmp: a loop over bytes under sanitizers takes most of a test's time.
inline bool same_bytes(std::span<const std::byte> one, std::span<const std::byte> other) {
    return one.size() == other.size() &&
           (one.empty() || std::memcmp(one.data(), other.data(), one.size()) == 0);
}

inline Bytes content_of(BlockDevice& device) {
    Bytes bytes(device.size());
    device.read(0, bytes);
    return bytes;
}

/// The disk of one image file as qemu-img sees it.
inline Bytes content_by_qemu(const std::string& image) {
    const disktool::test::TemporaryFolder folder;
    disktool::test::run_tool({"qemu-img", "convert", "-f", "parallels", "-O", "raw", image, folder / "raw"});
    const std::string text = disktool::test::read_file(folder / "raw");
    Bytes bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

/// qemu-img's complaints; empty: none.
inline std::string complaints_by_qemu(const std::string& image) {
    const auto result = disktool::test::result_of({"qemu-img", "check", "-f", "parallels", image});
    return result.exit_status == 0 ? "" : result.output + result.errors;
}

inline void store(const std::string& path, const Bytes& bytes) {
    disktool::test::write_file(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

inline Bytes stored(const std::string& path) {
    const std::string text = disktool::test::read_file(path);
    Bytes bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

constexpr std::uint64_t cluster = 32768; ///< bytes, of small_delta()

inline Header header_of(const HeapFile::Content& content) {
    return parse_header(*content, "x");
}

inline std::uint32_t entry(const HeapFile::Content& content, std::uint64_t index) {
    return get<std::uint32_t>(*content, header_size + 4 * index);
}

inline void set_entry(const HeapFile::Content& content, std::uint64_t index, std::uint32_t value) {
    put(std::span(*content), header_size + 4 * index, value);
}

inline void set_header(const HeapFile::Content& content, const std::function<void(Header&)>& change) {
    Header header = header_of(content);
    change(header);
    const auto bytes = header_bytes(header);
    std::ranges::copy(bytes, content->begin());
}

inline std::string refusal(const std::function<void()>& action, ErrorCode code = ErrorCode::damaged) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    return "";
}

/// Five clusters, at guest clusters 3, 0, 319, 7, 8, as in the golden images.
inline HeapFile::Content with_data(Version version = Version::v2) {
    const auto content = made_content(small_delta(320, version));
    const auto delta = opened(content);
    delta->begin();
    unsigned seed = 0;
    for (const std::uint64_t where : {3, 0, 319, 7, 8}) {
        delta->allocate(where, pattern(cluster, ++seed));
    }
    delta->end();
    return content;
}

} // namespace disktool::ploop::engine_test

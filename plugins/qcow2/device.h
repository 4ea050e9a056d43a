// SPDX-License-Identifier: LGPL-2.1-or-later
// The disk that the guest sees, read in-process.
#pragma once

#include "metadata.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>
#include <disktool/file.h>
#include <disktool/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace disktool::qcow2 {

/// Read-only. Refers to what it is made of, which must outlive it. Threads: one at a time.
class Device final : public BlockDevice {
  public:
    /// image: where compressed clusters lie. data: where the others lie, the same file or an external one.
    /// backing: what unallocated clusters show; null: zeros. A backing disk that is shorter shows zeros beyond.
    Device(Metadata& metadata, File& image, File& data, BlockDevice* backing);
    ~Device() override;

    std::uint64_t size() const override { return metadata_.header().virtual_size; }
    std::string name() const override { return image_.path(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    /// `data` where some image of the chain holds data, `zero` where the topmost that says anything says zeros,
    /// else `unallocated`: the data and zero flags of `qemu-img map`.
    std::vector<Extent> extents(Range range) override;

    /// What the image itself says something of, in `range`.
    ExtentSet own(Range range);
    /// Where data lies uncompressed in `data`'s file, up to its end.
    std::vector<HostExtent> host(Range range);
    /// The image was changed, and shows `backing` from now on.
    void forget(BlockDevice* backing);

  private:
    enum class Source : std::uint8_t { backing, zero, data, compressed };
    /// Guest bytes in one row that are read in one way.
    struct Run {
        Source source = Source::backing;
        std::uint64_t length = 0;      ///< bytes
        std::uint64_t host_offset = 0; ///< of data, of its first byte
        ClusterEntry entry;            ///< of compressed
    };
    /// The L2 table that a run lies in.
    struct L2View {
        std::span<const std::uint64_t> table;
        std::uint64_t offset = 0; ///< in the file
    };
    /// What lies at `offset`, up to `limit` bytes, joined over clusters that follow each other on the host;
    /// ends at the latest where its L2 table does.
    Run run_at(std::uint64_t offset, std::uint64_t limit);
    /// The same of one cluster or subcluster.
    Run piece_at(const L2View& view, std::uint64_t offset) const;
    void read_compressed(const ClusterEntry& entry, std::uint64_t offset, std::span<std::byte> buffer);
    void read_backing(std::uint64_t offset, std::span<std::byte> buffer);
    void append_backing(std::vector<Extent>& result, Range range);

    Metadata& metadata_;
    File& image_;
    File& data_;
    BlockDevice* backing_;
    std::vector<std::byte> compressed_;
    std::vector<std::byte> cluster_;   ///< the decompressed cluster last read
    std::uint64_t cluster_source_ = 0; ///< host offset of it; 0: none yet
};

} // namespace disktool::qcow2

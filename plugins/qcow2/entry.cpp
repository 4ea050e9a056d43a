// SPDX-License-Identifier: LGPL-2.1-or-later
#include "entry.h"

#include "damage.h"

#include <fmt/format.h>

#include <utility>

namespace disktool::qcow2 {

namespace {
constexpr std::uint32_t all_subclusters = 0xffff'ffff;
}

EntryDecoder::EntryDecoder(std::string path, const Header& header, std::uint64_t file_size)
    : path_(std::move(path)), version_(header.version), cluster_bits_(header.cluster_bits),
      extended_(header.extended_l2()), external_data_(header.external_data()), file_size_(file_size) {}

std::uint64_t EntryDecoder::l1(std::uint64_t entry, std::uint64_t index) const {
    const std::uint64_t offset = entry & entry_bits::offset;
    if (entry & entry_bits::l1_reserved) {
        throw_damaged(path_, fmt::format("L1 entry {} is {:#x}, with reserved bits set", index, entry));
    }
    if (offset == 0) {
        return 0;
    }
    const std::uint64_t cluster_size = std::uint64_t{1} << cluster_bits_;
    // Written out, since naming the table costs more than the check, and there may be millions.
    if (offset % cluster_size != 0 || offset < cluster_size || offset > file_size_ ||
        cluster_size > file_size_ - offset) {
        check_place(path_, fmt::format("the L2 table of L1 entry {}", index), {offset, cluster_size},
                    cluster_size, file_size_);
    }
    return offset;
}

ClusterEntry EntryDecoder::l2(std::span<const std::uint64_t> table, std::size_t index,
                              std::uint64_t table_offset) const {
    const std::size_t at = extended_ ? index * 2 : index;
    const std::uint64_t word = table[at];
    const std::uint64_t bitmap = extended_ ? table[at + 1] : 0;
    ClusterEntry result;
    if (word == 0 && bitmap == 0) {
        return result;
    }
    result.copied = word & entry_bits::copied;
    const char* wrong = nullptr;
    if (word & entry_bits::compressed) {
        decode_compressed(result, word);
        wrong = compressed_fault(result);
    } else {
        result.host_offset = word & entry_bits::offset;
        // Offset 0 of an external data file is where its first cluster lies; "copied" tells it from "none".
        const bool allocated = result.host_offset != 0 || (external_data_ && result.copied);
        wrong = fault(result.host_offset, word, allocated);
        if (wrong == nullptr && extended_) {
            wrong = decode_subclusters(result, bitmap, allocated);
        } else if (word & entry_bits::zero) {
            result.kind = allocated ? ClusterKind::zero_allocated : ClusterKind::zero_plain;
            result.zero = all_subclusters;
        } else if (allocated) {
            result.kind = ClusterKind::data;
            result.allocated = all_subclusters;
        }
    }
    if (wrong != nullptr) {
        throw_damaged(path_, fmt::format("L2 entry {} of the table at offset {} is {:#x}: {}", index,
                                         table_offset, word, wrong));
    }
    return result;
}

void EntryDecoder::decode_compressed(ClusterEntry& result, std::uint64_t word) const {
    const std::uint32_t sectors_at = 62 - (cluster_bits_ - 8);
    const std::uint64_t offset = word & ((std::uint64_t{1} << sectors_at) - 1);
    const std::uint64_t sectors = ((word & ~entry_bits::copied & ~entry_bits::compressed) >> sectors_at) + 1;
    result.kind = ClusterKind::compressed;
    result.host_offset = offset;
    result.compressed_length = sectors * 512 - offset % 512;
}

const char* EntryDecoder::compressed_fault(const ClusterEntry& entry) const {
    if (external_data_) {
        return "a compressed cluster in an image with an external data file";
    }
    if (entry.host_offset < std::uint64_t{1} << cluster_bits_) {
        return "compressed data within the header";
    }
    if (entry.host_offset >= file_size_) {
        return "compressed data beyond the end of the file";
    }
    return nullptr;
}

const char* EntryDecoder::fault(std::uint64_t host_offset, std::uint64_t word, bool allocated) const {
    const std::uint64_t cluster_size = std::uint64_t{1} << cluster_bits_;
    if (word & entry_bits::l2_reserved) {
        return "reserved bits are set";
    }
    if ((word & entry_bits::zero) && version_ < 3) {
        return "a zero cluster in an image of version 2";
    }
    if ((word & entry_bits::zero) && extended_) {
        return "the zero flag in an image with subclusters";
    }
    if (host_offset % cluster_size != 0) {
        return "the offset does not start at a cluster";
    }
    if (allocated && !external_data_ && host_offset < cluster_size) {
        return "the cluster of the header";
    }
    // The last cluster may be cut off by the end of the file; what is missing reads as zeros.
    if (allocated && !external_data_ && host_offset >= file_size_) {
        return "a cluster beyond the end of the file";
    }
    return nullptr;
}

const char* EntryDecoder::decode_subclusters(ClusterEntry& result, std::uint64_t bitmap, bool allocated) {
    result.allocated = static_cast<std::uint32_t>(bitmap);
    result.zero = static_cast<std::uint32_t>(bitmap >> 32);
    if (result.allocated & result.zero) {
        return "a subcluster that is both allocated and zero";
    }
    if (!allocated && result.allocated != 0) {
        return "allocated subclusters without a cluster";
    }
    const bool all_zero = result.zero == all_subclusters;
    if (allocated) {
        result.kind = all_zero ? ClusterKind::zero_allocated : ClusterKind::data;
    } else {
        result.kind = all_zero ? ClusterKind::zero_plain : ClusterKind::unallocated;
    }
    return nullptr;
}

} // namespace disktool::qcow2

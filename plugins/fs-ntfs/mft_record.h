// SPDX-License-Identifier: GPL-2.0-or-later
// Records of the master file table, and the attributes in one of them.
#pragma once

#include "little_endian.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace disktool::ntfs {

enum class AttributeType : std::uint32_t {
    attribute_list = 0x20,
    file_name = 0x30,
    volume_name = 0x60,
    volume_information = 0x70,
    data = 0x80,
    index_root = 0x90,
    index_allocation = 0xa0,
    bitmap = 0xb0,
    end = 0xffffffff,
};

// Files with fixed numbers.
constexpr std::uint64_t mft_file = 0;
constexpr std::uint64_t mirror_file = 1;
constexpr std::uint64_t log_file = 2;
constexpr std::uint64_t volume_file = 3;
constexpr std::uint64_t root_folder = 5;
constexpr std::uint64_t bitmap_file = 6;
constexpr std::uint64_t boot_file = 7;
constexpr std::uint64_t bad_cluster_file = 8;
constexpr std::uint64_t fixed_files = 12;

/// Puts back what the update sequence array holds: the last two bytes of each 512-byte block of `record`, which
/// on disk all hold one number, so that a torn write is seen. False where the array or one of these is wrong.
bool undo_update_sequence(std::span<std::byte> record);

/// One attribute record, inside the buffer of its MFT record; all spans lie inside it.
struct Attribute {
    AttributeType type = AttributeType::end;
    Bytes name; ///< UTF-16LE
    std::uint16_t flags = 0;
    bool resident = true;
    Bytes value; ///< when resident
    // Of the others, in clusters and bytes. The sizes count only where lowest_vcn is 0.
    std::uint64_t lowest_vcn = 0;
    std::uint64_t highest_vcn = 0;
    std::uint64_t data_size = 0;
    std::uint64_t initialized_size = 0;
    Bytes mapping_pairs; ///< up to the end of the record

    bool named(std::string_view ascii) const;
    bool compressed() const { return (flags & 0x00ff) != 0; }
    bool encrypted() const { return (flags & 0x4000) != 0; }
    bool sparse() const { return (flags & 0x8000) != 0; }
};

/// A reference to a file: its number and how often the number was in use.
struct FileReference {
    std::uint64_t record = 0;
    std::uint16_t sequence = 0;
    static FileReference at(Bytes bytes, std::size_t offset);
};

/// One record in memory. Layout: linux/fs/ntfs3/ntfs.h names the same fields.
class MftRecord {
  public:
    /// Takes `raw` (one record as read from disk); none where it is no sound record: signature FILE, update
    /// sequence, lengths. Attributes are not looked at yet.
    static std::optional<MftRecord> parse(std::vector<std::byte> raw);

    bool in_use() const { return (flags_ & 1) != 0; }
    std::uint16_t sequence() const { return sequence_; }
    FileReference base() const { return base_; } ///< all zero for a base record
    bool is_base() const { return base_.record == 0 && base_.sequence == 0; }
    std::uint32_t used() const { return used_; } ///< bytes
    std::uint32_t size() const { return static_cast<std::uint32_t>(raw_.size()); }
    /// None where one of them makes no sense.
    std::optional<std::vector<Attribute>> attributes() const;

  private:
    std::vector<std::byte> raw_;
    std::uint16_t flags_ = 0;
    std::uint16_t sequence_ = 0;
    std::uint32_t first_attribute_ = 0;
    std::uint32_t used_ = 0;
    FileReference base_;
};

} // namespace disktool::ntfs

// SPDX-License-Identifier: LGPL-2.1-or-later
// The header of a qcow2 file, its extensions and its feature bits, checked before anything is believed.
//
// Source of every format fact in this plugin: docs/interop/qcow2.txt of QEMU ("qcow2: Image file format").
#pragma once

#include <disktool/file.h>
#include <disktool/range.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::qcow2 {

constexpr std::uint32_t magic = 0x514649fb; ///< "QFI\xfb"

/// Where the fields lie, in bytes from the start of the file. All numbers on disk are big-endian.
namespace field {
constexpr std::uint64_t magic = 0;                    ///< 4 bytes
constexpr std::uint64_t version = 4;                  ///< 4
constexpr std::uint64_t backing_offset = 8;           ///< 8
constexpr std::uint64_t backing_length = 16;          ///< 4
constexpr std::uint64_t cluster_bits = 20;            ///< 4
constexpr std::uint64_t virtual_size = 24;            ///< 8
constexpr std::uint64_t crypt_method = 32;            ///< 4
constexpr std::uint64_t l1_size = 36;                 ///< 4, entries
constexpr std::uint64_t l1_offset = 40;               ///< 8
constexpr std::uint64_t refcount_table_offset = 48;   ///< 8
constexpr std::uint64_t refcount_table_clusters = 56; ///< 4
constexpr std::uint64_t snapshot_count = 60;          ///< 4
constexpr std::uint64_t snapshot_offset = 64;         ///< 8
constexpr std::uint64_t end_of_version_2 = 72;
constexpr std::uint64_t incompatible_features = 72; ///< 8
constexpr std::uint64_t compatible_features = 80;   ///< 8
constexpr std::uint64_t autoclear_features = 88;    ///< 8
constexpr std::uint64_t refcount_order = 96;        ///< 4
constexpr std::uint64_t header_length = 100;        ///< 4
constexpr std::uint64_t end_of_version_3 = 104;     ///< what version 3 has at least
constexpr std::uint64_t compression_type = 104;     ///< 1
} // namespace field

/// Bits of incompatible_features: who does not know one must not open the image.
namespace incompatible {
constexpr std::uint64_t dirty = 1u << 0;         ///< refcounts may be wrong
constexpr std::uint64_t corrupt = 1u << 1;       ///< some structure is damaged
constexpr std::uint64_t external_data = 1u << 2; ///< guest data lies in a file of its own
constexpr std::uint64_t compression = 1u << 3;   ///< compression_type is not deflate
constexpr std::uint64_t extended_l2 = 1u << 4;   ///< L2 entries of 128 bits, with subclusters
constexpr std::uint64_t known = dirty | corrupt | external_data | compression | extended_l2;
} // namespace incompatible

namespace compatible {
constexpr std::uint64_t lazy_refcounts = 1u << 0;
} // namespace compatible

/// Bits of autoclear_features: who does not know one clears it when writing.
namespace autoclear {
constexpr std::uint64_t bitmaps = 1u << 0;       ///< the bitmap extension is to be believed
constexpr std::uint64_t data_file_raw = 1u << 1; ///< the data file can be read as a raw image by itself
} // namespace autoclear

// QEMU's own limits; an image beyond them cannot have been made by it.
constexpr std::uint64_t max_l1_bytes = 32 << 20;
constexpr std::uint64_t max_refcount_table_bytes = 8 << 20;
constexpr std::uint32_t max_snapshots = 65536;
constexpr std::uint32_t max_bitmaps = 65535;

enum class CryptMethod : std::uint32_t { none = 0, aes = 1, luks = 2 };
enum class CompressionType : std::uint8_t { deflate = 0, zstd = 1 };

enum class ExtensionType : std::uint32_t {
    end = 0,
    backing_format = 0xe2792aca,
    feature_names = 0x6803f857,
    bitmaps = 0x23852875,
    encryption_header = 0x0537be77,
    data_file = 0x44415441,
};

struct Extension {
    std::uint32_t type = 0;
    std::uint64_t offset = 0; ///< of its data, bytes from the start of the file
    std::uint32_t length = 0; ///< of its data, bytes, without padding
};

/// Where the bitmap directory lies.
struct BitmapDirectoryLocation {
    std::uint32_t count = 0; ///< bitmaps
    Range range;             ///< in the file, bytes; starts at a cluster
};

/// A line of the feature name table.
struct FeatureName {
    enum class Kind : std::uint8_t { incompatible = 0, compatible = 1, autoclear = 2 };
    Kind kind = Kind::incompatible;
    std::uint8_t bit = 0;
    std::string name;
};

/// What parse_header found; plain data. Offsets and lengths in bytes.
struct Header {
    std::uint32_t version = 0; ///< 2 or 3
    std::string backing_name;  ///< as stored; empty: none
    std::string backing_format;
    std::uint32_t cluster_bits = 0;
    std::uint64_t virtual_size = 0; ///< rounded down to whole sectors of 512 bytes, as QEMU does
    CryptMethod crypt_method = CryptMethod::none;
    std::uint32_t l1_size = 0; ///< entries
    std::uint64_t l1_offset = 0;
    std::uint64_t refcount_table_offset = 0;
    std::uint32_t refcount_table_clusters = 0;
    std::uint32_t refcount_bits = 16; ///< width of one refcount: 1, 2, 4 ... 64
    std::uint32_t snapshot_count = 0;
    std::uint64_t snapshot_offset = 0;
    std::uint64_t incompatible_features = 0;
    std::uint64_t compatible_features = 0;
    std::uint64_t autoclear_features = 0;
    std::uint32_t header_length = 0;
    CompressionType compression_type = CompressionType::deflate;
    std::vector<Extension> extensions;
    std::string data_file; ///< as stored; empty: none named
    /// Only where the autoclear bit says that it can be believed: else there are no bitmaps, as for QEMU.
    std::optional<BitmapDirectoryLocation> bitmaps;
    std::optional<Range> encryption_header; ///< LUKS
    std::vector<FeatureName> feature_names;

    std::uint64_t cluster_size() const { return std::uint64_t{1} << cluster_bits; }
    bool dirty() const { return incompatible_features & incompatible::dirty; }
    bool corrupt() const { return incompatible_features & incompatible::corrupt; }
    bool external_data() const { return incompatible_features & incompatible::external_data; }
    bool extended_l2() const { return incompatible_features & incompatible::extended_l2; }
    bool data_file_raw() const { return autoclear_features & autoclear::data_file_raw; }
    bool encrypted() const { return crypt_method != CryptMethod::none; }

    /// 64-bit words of one L2 entry.
    std::uint32_t words_per_entry() const { return extended_l2() ? 2 : 1; }
    /// Entries of one L2 table, which fills one cluster.
    std::uint64_t l2_entries() const { return cluster_size() / (std::uint64_t{8} * words_per_entry()); }
    /// Guest bytes that one L1 entry covers.
    std::uint64_t l1_coverage() const { return l2_entries() << cluster_bits; }
    /// 32 with subclusters, else 1.
    std::uint32_t subclusters() const { return extended_l2() ? 32 : 1; }
    std::uint64_t subcluster_size() const { return cluster_size() / subclusters(); }
};

/// Reads and checks the first cluster. Errors, each naming the file, the field and the value: unsupported (not
/// qcow2, version 1, an unknown incompatible feature by its name or bit, an unknown encryption or compression
/// method), damaged (everything else).
Header parse_header(File& file);

} // namespace disktool::qcow2

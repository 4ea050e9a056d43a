// SPDX-License-Identifier: GPL-2.0-or-later
// An NTFS volume on a device: MFT records and the attributes of files, read with every bound checked.
#pragma once

#include "boot_sector.h"
#include "mft_record.h"
#include "run_list.h"

#include <disktool/block_device.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace disktool::ntfs {

/// One attribute of a file, put together of all records that hold a part of it. Owns what it holds.
struct AttributeData {
    bool resident = true;
    std::vector<std::byte> value; ///< when resident
    RunList runs;                 ///< otherwise: without gaps from vcn 0 on, inside the volume
    std::uint64_t data_size = 0;  ///< bytes; never more than the runs span
    std::uint64_t initialized_size = 0;
    bool encoded = false;    ///< compressed or encrypted: what is stored is not what a reader sees
    bool sparse = false;     ///< has holes
    bool in_list = false;    ///< the file has an attribute list
    std::size_t records = 0; ///< that hold parts of it

    std::uint64_t size() const { return resident ? value.size() : data_size; }
    /// In clusters; 0 when resident.
    std::uint64_t span() const { return runs.empty() ? 0 : runs.back().vcn + runs.back().length; }
};

/// Opening it reads record 0 and finds the whole MFT. Refers to the device, which must outlive it. Never
/// writes. Errors: damaged; what the device throws. Memory: bounded by 4 Mi runs an attribute. Threads: one at
/// a time.
class Volume {
  public:
    /// The boot sector must be without a defect and its clusters on the device.
    Volume(BlockDevice& device, const BootSector& boot);

    BlockDevice& device() const { return device_; }
    const BootSector& boot() const { return boot_; }
    std::uint64_t records() const; ///< that the MFT holds, in use or not
    const AttributeData& mft() const { return mft_; }

    /// Throws damaged when the number is too high or the record is not sound.
    MftRecord record(std::uint64_t number) const;
    std::vector<Attribute> attributes(const MftRecord& record, std::uint64_t number) const;
    /// None where the file has none of that type and name. Follows the attribute list.
    std::optional<AttributeData> attribute(std::uint64_t file, AttributeType type,
                                           std::string_view name = {}) const;
    /// As attribute(), throws damaged where there is none.
    AttributeData need(std::uint64_t file, AttributeType type, std::string_view name = {}) const;
    /// Holes and what lies beyond the initialized size read as zeros. The range must lie within size(); the
    /// attribute must not be encoded.
    void read(const AttributeData& attribute, std::uint64_t offset, std::span<std::byte> buffer) const;
    /// Every cluster that the records of the fixed files (0 to 11) say is theirs, in bytes, sorted. Throws
    /// damaged where two of them claim one cluster.
    std::vector<Range> metadata() const;

  private:
    void load_mft();
    void begin(AttributeData& data, const Attribute& attribute) const;
    void append_part(AttributeData& data, const Attribute& attribute, std::uint64_t number) const;
    void finish(AttributeData& data, std::uint64_t file) const;
    std::optional<AttributeData> attribute_list(const std::vector<Attribute>& attributes,
                                                std::uint64_t file) const;
    void follow_list(const AttributeData& list, std::uint64_t file, AttributeType type, std::string_view name,
                     AttributeData& data) const;
    void append_listed(Bytes entry, std::uint64_t file, AttributeType type, std::string_view name,
                       AttributeData& data) const;

    BlockDevice& device_;
    BootSector boot_;
    AttributeData mft_;
};

} // namespace disktool::ntfs

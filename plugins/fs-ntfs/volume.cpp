// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume.h"

#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace disktool::ntfs {

namespace {

constexpr std::size_t run_limit = 4 << 20;
/// Windows makes attribute lists of 256 KiB at most.
constexpr std::uint64_t list_limit = 256 << 10;
/// Records that may hold parts of one attribute. Windows gives up on a file long before.
constexpr std::size_t part_limit = 4096;
constexpr std::size_t list_entry_header = 0x1a;

std::string what_of(std::uint64_t file, AttributeType type) {
    return fmt::format("attribute {:#x} of MFT record {}", static_cast<std::uint32_t>(type), file);
}

bool matches(const Attribute& attribute, AttributeType type, std::string_view name) {
    return attribute.type == type && attribute.named(name);
}

} // namespace

Volume::Volume(BlockDevice& device, const BootSector& boot) : device_(device), boot_(boot) {
    load_mft();
}

std::uint64_t Volume::records() const {
    return std::min(mft_.initialized_size, mft_.data_size) / boot_.record_size();
}

/// The first part of the MFT must be in its own record 0, whose place is in the boot sector. Further parts are
/// described in records that lie in the parts before.
void Volume::load_mft() {
    const std::uint64_t place = boot_.mft_cluster() * boot_.cluster_size();
    std::vector<std::byte> raw(boot_.record_size());
    device_.read(place, raw);
    const std::optional<MftRecord> record = MftRecord::parse(std::move(raw));
    if (!record || !record->in_use() || !record->is_base())
        throw damage(device_, fmt::format("there is no sound MFT record 0 at byte {}", place));
    const std::vector<Attribute> found = attributes(*record, mft_file);
    const auto data = std::ranges::find_if(found, [](const Attribute& attribute) {
        return matches(attribute, AttributeType::data, {}) && !attribute.resident && attribute.lowest_vcn == 0;
    });
    if (data == found.end())
        throw damage(device_, "MFT record 0 does not say where the MFT lies");
    begin(mft_, *data);
    append_part(mft_, *data, mft_file);
    if (!mft_.runs.front().stored() || mft_.runs.front().lcn != boot_.mft_cluster())
        throw damage(device_, "the boot sector and MFT record 0 do not agree on where the MFT lies");
    if (const std::optional<AttributeData> list = attribute_list(found, mft_file)) {
        mft_.in_list = true;
        follow_list(*list, mft_file, AttributeType::data, {}, mft_);
    }
    finish(mft_, mft_file);
    if (mft_.sparse || mft_.encoded || records() < fixed_files)
        throw damage(device_, fmt::format("its MFT has {} records, or holes", records()));
}

MftRecord Volume::record(std::uint64_t number) const {
    const std::uint32_t size = boot_.record_size();
    const std::uint64_t known =
        std::min({mft_.initialized_size, mft_.data_size, mft_.span() * boot_.cluster_size()});
    if (number >= known / size)
        throw damage(device_, fmt::format("MFT record {} is referred to, but the MFT has only {}", number,
                                          known / size));
    std::vector<std::byte> raw(size);
    read(mft_, number * size, raw);
    std::optional<MftRecord> record = MftRecord::parse(std::move(raw));
    if (!record)
        throw damage(device_,
                     fmt::format("MFT record {} is not sound (signature, update sequence or lengths)", number));
    return *std::move(record);
}

std::vector<Attribute> Volume::attributes(const MftRecord& record, std::uint64_t number) const {
    std::optional<std::vector<Attribute>> found = record.attributes();
    if (!found)
        throw damage(device_, fmt::format("the attributes of MFT record {} make no sense", number));
    return *std::move(found);
}

std::optional<AttributeData> Volume::attribute(std::uint64_t file, AttributeType type,
                                               std::string_view name) const {
    const MftRecord base = record(file);
    if (!base.in_use() || !base.is_base())
        throw damage(device_, fmt::format("MFT record {} is not in use", file));
    const std::vector<Attribute> found = attributes(base, file);
    AttributeData data;
    if (const std::optional<AttributeData> list = attribute_list(found, file)) {
        data.in_list = true;
        follow_list(*list, file, type, name, data);
    } else if (const auto it = std::ranges::find_if(
                   found, [&](const Attribute& attribute) { return matches(attribute, type, name); });
               it != found.end()) {
        begin(data, *it);
        append_part(data, *it, file);
    }
    if (data.records == 0)
        return std::nullopt;
    finish(data, file);
    return data;
}

AttributeData Volume::need(std::uint64_t file, AttributeType type, std::string_view name) const {
    std::optional<AttributeData> data = attribute(file, type, name);
    if (!data)
        throw damage(device_, fmt::format("{} is missing", what_of(file, type)));
    return *std::move(data);
}

void Volume::begin(AttributeData& data, const Attribute& attribute) const {
    data.resident = attribute.resident;
    data.encoded = attribute.compressed() || attribute.encrypted();
    data.data_size = attribute.data_size;
    data.initialized_size = attribute.initialized_size;
    data.value.assign(attribute.value.begin(), attribute.value.end());
}

void Volume::append_part(AttributeData& data, const Attribute& attribute, std::uint64_t number) const {
    if (++data.records > part_limit)
        throw damage(device_,
                     fmt::format("{} is in more than {} parts", what_of(number, attribute.type), part_limit));
    if (attribute.resident)
        return;
    if (attribute.lowest_vcn != data.span() ||
        !unpack_runs(attribute.mapping_pairs, attribute.lowest_vcn, boot_.clusters(), data.runs) ||
        data.runs.empty() || data.runs.size() > run_limit)
        throw damage(device_,
                     fmt::format("the run list of {} makes no sense", what_of(number, attribute.type)));
}

void Volume::finish(AttributeData& data, std::uint64_t file) const {
    if (data.resident)
        return;
    if (data.runs.empty() || data.data_size > data.span() * boot_.cluster_size() ||
        data.initialized_size > data.data_size)
        throw damage(device_,
                     fmt::format("an attribute of MFT record {} is said to have {} bytes, which its run "
                                 "list does not hold",
                                 file, data.data_size));
    data.sparse = std::ranges::any_of(data.runs, [](const Run& run) { return !run.stored(); });
}

std::optional<AttributeData> Volume::attribute_list(const std::vector<Attribute>& attributes,
                                                    std::uint64_t file) const {
    const auto it = std::ranges::find(attributes, AttributeType::attribute_list, &Attribute::type);
    if (it == attributes.end())
        return std::nullopt;
    AttributeData list;
    begin(list, *it);
    append_part(list, *it, file);
    finish(list, file);
    if (list.size() > list_limit || list.encoded)
        throw damage(device_,
                     fmt::format("the attribute list of MFT record {} has {} bytes", file, list.size()));
    return list;
}

/// Entries of one attribute stand one after another, in the order of their parts.
void Volume::follow_list(const AttributeData& list, std::uint64_t file, AttributeType type,
                         std::string_view name, AttributeData& data) const {
    std::vector<std::byte> entries(list.size());
    read(list, 0, entries);
    Bytes rest = entries;
    // Each is at least 32 bytes long, so this ends.
    while (rest.size() >= list_entry_header) {
        const std::size_t length = little<std::uint16_t>(rest, 4);
        if (length < list_entry_header || length > rest.size())
            throw damage(device_, fmt::format("the attribute list of MFT record {} makes no sense", file));
        append_listed(rest.first(length), file, type, name, data);
        rest = rest.subspan(length);
    }
}

void Volume::append_listed(Bytes entry, std::uint64_t file, AttributeType type, std::string_view name,
                           AttributeData& data) const {
    const std::size_t name_size = std::size_t{2} * little<std::uint8_t>(entry, 6);
    const std::size_t name_at = little<std::uint8_t>(entry, 7);
    if (little<std::uint32_t>(entry, 0) != static_cast<std::uint32_t>(type) || name_size != 2 * name.size())
        return;
    Attribute wanted;
    if (name_size != 0) {
        if (name_at + name_size > entry.size())
            throw damage(device_, fmt::format("the attribute list of MFT record {} makes no sense", file));
        wanted.name = entry.subspan(name_at, name_size);
    }
    if (!wanted.named(name))
        return;
    const auto lowest_vcn = little<std::uint64_t>(entry, 8);
    const FileReference holder = FileReference::at(entry, 0x10);
    if (data.records > 0 && lowest_vcn == 0)
        return; // the first part of the MFT, which is there already
    const MftRecord part = record(holder.record);
    if (!part.in_use() || part.sequence() != holder.sequence ||
        (holder.record != file && (part.is_base() || part.base().record != file)))
        throw damage(device_,
                     fmt::format("MFT record {} should hold a part of the file of record {}, but does not",
                                 holder.record, file));
    const std::vector<Attribute> found = attributes(part, holder.record);
    const auto it = std::ranges::find_if(found, [&](const Attribute& attribute) {
        return matches(attribute, type, name) && attribute.lowest_vcn == lowest_vcn;
    });
    if (it == found.end())
        throw damage(device_,
                     fmt::format("{} has no part at cluster {} of it", what_of(file, type), lowest_vcn));
    if (data.records == 0)
        begin(data, *it);
    if (it->resident != data.resident || (it->resident && data.records > 0))
        throw damage(device_, fmt::format("{} is resident, but in parts", what_of(file, type)));
    append_part(data, *it, file);
}

void Volume::read(const AttributeData& attribute, std::uint64_t offset, std::span<std::byte> buffer) const {
    if (offset > attribute.size() || buffer.size() > attribute.size() - offset)
        throw damage(device_, fmt::format("{} bytes at {} are read of an attribute of {} bytes", buffer.size(),
                                          offset, attribute.size()));
    if (buffer.empty())
        return;
    if (attribute.resident) {
        std::memcpy(buffer.data(), attribute.value.data() + offset, buffer.size());
        return;
    }
    const std::uint64_t cluster = boot_.cluster_size();
    auto run = std::ranges::upper_bound(attribute.runs, offset / cluster, {}, &Run::vcn);
    --run; // the first starts at 0
    while (!buffer.empty()) {
        const std::uint64_t within = offset - run->vcn * cluster;
        const std::size_t count = std::min<std::uint64_t>(buffer.size(), run->length * cluster - within);
        const std::span<std::byte> part = buffer.first(count);
        const std::uint64_t initialized =
            attribute.initialized_size > offset ? attribute.initialized_size - offset : 0;
        const std::size_t stored = run->stored() ? std::min<std::uint64_t>(count, initialized) : 0;
        if (stored > 0)
            device_.read(run->lcn * cluster + within, part.first(stored));
        std::ranges::fill(part.subspan(stored), std::byte{0});
        buffer = buffer.subspan(count);
        offset += count;
        ++run;
    }
}

std::vector<Range> Volume::metadata() const {
    std::vector<Range> ranges;
    const auto add = [this, &ranges](const RunList& runs) {
        for (const Run& run : runs)
            if (run.stored())
                ranges.push_back({run.lcn * boot_.cluster_size(), run.length * boot_.cluster_size()});
    };
    add(mft_.runs);
    for (std::uint64_t file = 0; file < fixed_files; ++file) {
        const MftRecord base = record(file);
        if (!base.in_use())
            continue;
        for (const Attribute& attribute : attributes(base, file)) {
            if (attribute.resident || (file == mft_file && attribute.type == AttributeType::data))
                continue;
            RunList runs;
            if (!unpack_runs(attribute.mapping_pairs, attribute.lowest_vcn, boot_.clusters(), runs))
                throw damage(device_,
                             fmt::format("the run list of {} makes no sense", what_of(file, attribute.type)));
            add(runs);
        }
    }
    std::ranges::sort(ranges, {}, &Range::offset);
    for (std::size_t i = 1; i < ranges.size(); ++i)
        if (ranges[i].offset < ranges[i - 1].end())
            throw damage(device_,
                         fmt::format("two of its own files claim the cluster at byte {}", ranges[i].offset));
    return ranges;
}

} // namespace disktool::ntfs

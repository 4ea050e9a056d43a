// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reference_walk.h"

#include "in_place.h"
#include "refcounts.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace disktool::qcow2 {

namespace {

using By = ReferenceCount::By;

/// L2 tables that one walk reads. It is there for images made to keep us busy: a small sparse file can name
/// millions of tables; no real one comes near it.
constexpr std::uint64_t max_table_bytes = 64 * GiB;

constexpr std::uint32_t bitmap_extension = 0x23852875;
constexpr std::uint32_t known_extensions[] = {
    0xe2792aca, // backing format
    0x6803f857, // feature names
    bitmap_extension,
    0x0537be77, // encryption header
    0x44415441, // external data file
};

void spend(std::uint64_t& budget, Image& image) {
    const std::uint64_t cluster_size = image.metadata().header().cluster_size();
    if (budget < cluster_size) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: the mapping tables of the image and its internal snapshots together are "
                                "larger than {}, which is more than is looked through",
                                image.file().path(), size_text(max_table_bytes)));
    }
    budget -= cluster_size;
}

void count_snapshot(Image& image, const Snapshot& snapshot, ReferenceCount& counts, std::uint64_t& budget) {
    const Metadata& metadata = image.metadata();
    const Header& header = metadata.header();
    counts.add({snapshot.l1_offset, std::uint64_t{snapshot.l1_size} * 8}, By::snapshot);
    const std::vector<std::uint64_t> l1 = metadata.read_l1(snapshot.l1_offset, snapshot.l1_size);
    metadata.for_each_l2(l1, [&](std::uint64_t, std::uint64_t offset, std::span<const std::uint64_t> table) {
        spend(budget, image);
        counts.add({offset, header.cluster_size()}, By::snapshot);
        for (std::size_t index = 0; index < header.l2_entries(); ++index) {
            if (table[index * header.words_per_entry()] != 0 && !header.external_data()) {
                const ClusterEntry entry = metadata.decoder().l2(table, index, offset);
                counts.add(host_range(entry, header.cluster_size()), By::snapshot);
            }
        }
    });
}

By referrer(const ClusterEntry& entry) {
    if (entry.kind == ClusterKind::compressed) {
        return By::compressed;
    }
    return entry.copied ? By::active_copied : By::active;
}

} // namespace

void count_fixed(Image& image, ReferenceCount& counts) {
    const Header& header = image.metadata().header();
    const std::uint64_t cluster_size = header.cluster_size();
    counts.add({0, cluster_size}, By::metadata);
    const Refcounts refcounts(image.file(), header, image.metadata().file_size());
    counts.add(refcounts.place(), By::metadata);
    for (const std::uint64_t block : refcounts.table()) {
        if (block != 0) {
            counts.add({block, cluster_size}, By::metadata);
        }
    }
    if (header.encryption_header) {
        counts.add(*header.encryption_header, By::metadata);
    }
    if (header.bitmaps) {
        counts.add(header.bitmaps->range, By::metadata);
    }
    for (const Bitmap& bitmap : read_bitmaps(image.file(), header)) {
        count_bitmap(image, bitmap, counts);
    }
    count_snapshots(image, counts);
}

void count_bitmap(Image& image, const Bitmap& bitmap, ReferenceCount& counts) {
    const Header& header = image.metadata().header();
    counts.add({bitmap.table_offset, bitmap.table_length()}, By::metadata);
    for_each_bitmap_cluster(image.file(), header, bitmap, [&](std::uint64_t offset) {
        counts.add({offset, header.cluster_size()}, By::metadata);
    });
}

void count_snapshots(Image& image, ReferenceCount& counts) {
    const SnapshotTable snapshots = read_snapshots(image.file(), image.metadata().header());
    counts.add(snapshots.range, By::metadata);
    std::uint64_t budget = max_table_bytes;
    for (const Snapshot& snapshot : snapshots.snapshots) {
        count_snapshot(image, snapshot, counts, budget);
    }
}

void count_active(Image& image, ReferenceCount& counts, const EntryVisitor& visit, const FaultReceiver& fault) {
    const Metadata& metadata = image.metadata();
    const Header& header = metadata.header();
    const std::uint64_t cluster_size = header.cluster_size();
    const std::uint64_t entries = header.l2_entries();
    const std::uint32_t words = header.words_per_entry();
    counts.add({header.l1_offset, std::uint64_t{header.l1_size} * 8}, By::metadata);
    std::uint64_t budget = max_table_bytes;
    metadata.for_each_l2(
        [&](std::uint64_t l1_index, std::uint64_t offset, std::span<const std::uint64_t> table) {
            spend(budget, image);
            const bool copied = metadata.l1()[l1_index] & entry_bits::copied;
            const bool shared = !copied || counts.in_snapshot({offset, cluster_size});
            counts.add({offset, cluster_size}, copied ? By::active_copied : By::active);
            if (header.external_data()) {
                return; // the data's clusters are not this file's
            }
            for (std::size_t index = 0; index < entries; ++index) {
                // Word 0 of an entry without a host cluster is 0 also where subclusters say that they are
                // zeros.
                if (table[index * words] == 0) {
                    continue;
                }
                try {
                    const ClusterEntry entry = metadata.decoder().l2(table, index, offset);
                    const Range host = host_range(entry, cluster_size);
                    if (!host.empty()) {
                        counts.add(host, referrer(entry));
                        visit(l1_index, l1_index * entries + index, entry, shared);
                    }
                } catch (const Error& error) {
                    fault(error);
                }
            }
        });
}

std::string unknown_owner(const Header& header) {
    if (const std::uint64_t bits = header.autoclear_features & ~known_autoclear; bits != 0) {
        return fmt::format("unknown autoclear features {:#x}", bits);
    }
    for (const Extension& extension : header.extensions) {
        if (extension.type == bitmap_extension && !header.bitmaps) {
            return "bitmaps that are no longer valid";
        }
        if (std::find(std::begin(known_extensions), std::end(known_extensions), extension.type) ==
            std::end(known_extensions)) {
            return fmt::format("an unknown header extension {:#x}", extension.type);
        }
    }
    return {};
}

} // namespace disktool::qcow2

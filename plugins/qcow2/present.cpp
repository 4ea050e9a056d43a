// SPDX-License-Identifier: LGPL-2.1-or-later
#include "present.h"

#include "damage.h"
#include "reclaim.h"
#include "reference_walk.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {
/// Table entries have 56 bits for an offset; this leaves room for all that comes behind it.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 55;
/// More than that takes too much memory to remember.
constexpr std::size_t max_leaks = std::size_t{1} << 22;
} // namespace

Present look_at_present(Image& image) {
    const Metadata& metadata = image.metadata();
    const Header& header = metadata.header();
    const std::uint64_t cluster_size = header.cluster_size();
    ReferenceCount references(image.file().path(), metadata.file_size(), cluster_size);
    count_fixed(image, references);
    count_active(
        image, references, [](std::uint64_t, std::uint64_t, const ClusterEntry&, bool) {},
        [](const Error& error) { throw error; });
    const bool keep_leaks = !unknown_owner(header).empty();
    Present present;
    present.tail_start = round_up(metadata.file_size(), cluster_size);
    Refcounts refcounts(image.file(), header, metadata.file_size());
    for_each_cluster(refcounts, references.clusters(), [&](std::uint64_t cluster, std::uint64_t refcount) {
        const std::uint64_t used = references.at(cluster).references;
        if (refcount < used) {
            throw_damaged(image.file().path(),
                          fmt::format("the cluster at offset {} is used {} times and has refcount {}",
                                      cluster * cluster_size, used, refcount));
        }
        if (refcount != 0 && cluster >= largest_file / cluster_size) {
            throw_damaged(
                image.file().path(),
                fmt::format("cluster {} has a refcount, which is beyond what a file can be", cluster));
        }
        present.used += used != 0 ? cluster_size : 0;
        if (keep_leaks && refcount != used) {
            if (present.leaks.size() == max_leaks) {
                throw Error(
                    ErrorCode::unsupported,
                    fmt::format("{} has more than {} leaked clusters, and something unknown that may own "
                                "them; mend it first with \"qemu-img check -r leaks\"",
                                image.file().path(), max_leaks));
            }
            present.leaks[cluster] = refcount - used;
            present.tail_start = std::max(present.tail_start, (cluster + 1) * cluster_size);
        }
    });
    return present;
}

} // namespace disktool::qcow2

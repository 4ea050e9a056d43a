// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mend.h"

#include "free_step.h"
#include "reclaim.h"
#include "reference_walk.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <string>
#include <utility>

namespace disktool::qcow2 {

namespace {

constexpr std::size_t max_sentences = 10;
/// Damaged entries after which the walk ends: such an image needs no exact number.
constexpr std::uint64_t max_faults = 10'000;

void add_error(CheckReport& report, std::string sentence) {
    ++report.errors;
    if (report.sentences.size() < max_sentences) {
        report.sentences.push_back(std::move(sentence));
    }
}

void compare(Image& image, const ReferenceCount& references, CheckReport& report) {
    const Metadata& metadata = image.metadata();
    Refcounts refcounts(image.file(), metadata.header(), metadata.file_size());
    const std::uint64_t cluster_size = refcounts.cluster_size();
    for_each_cluster(refcounts, references.clusters(), [&](std::uint64_t cluster, std::uint64_t refcount) {
        const ReferenceCount::Cell cell = references.at(cluster);
        if (refcount < cell.references) {
            add_error(report, fmt::format("The cluster at offset {} is used {} times and has refcount {}.",
                                          cluster * cluster_size, cell.references, refcount));
        } else if (refcount != 1 && cell.said_to_be_one) {
            add_error(report, fmt::format("The cluster at offset {} is said to have one user and has "
                                          "refcount {}.",
                                          cluster * cluster_size, refcount));
        } else if (refcount == 1 && cell.said_to_be_more) {
            add_error(report, fmt::format("The cluster at offset {} is said to have more than one user and "
                                          "has refcount 1.",
                                          cluster * cluster_size));
        }
        report.leaks += refcount > cell.references;
    });
}

} // namespace

void plan_mend(Image& image, Plan& plan) {
    plan_free(image, &plan, {});
}

CheckReport check(Image& image) {
    CheckReport report;
    try {
        image.metadata().forget();
        ReferenceCount references(image.file().path(), image.metadata().file_size(),
                                  image.metadata().header().cluster_size());
        count_fixed(image, references);
        count_active(
            image, references, [](std::uint64_t, std::uint64_t, const ClusterEntry&, bool) {},
            [&](const Error& error) {
                add_error(report, error.what());
                if (report.errors > max_faults) {
                    throw error;
                }
            });
        compare(image, references, report);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) {
            throw;
        }
        add_error(report, error.what());
    }
    return report;
}

} // namespace disktool::qcow2

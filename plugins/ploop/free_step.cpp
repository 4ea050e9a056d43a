// SPDX-License-Identifier: LGPL-2.1-or-later
#include "change_steps.h"
#include "image.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace disktool::ploop {

namespace {

struct Freeable {
    std::vector<std::uint64_t> clusters; ///< of the guest
    std::uint64_t shining = 0;           ///< free, but what lies below would show through
};

bool holds_below(Image& image, std::uint64_t offset, std::uint64_t length) {
    BlockDevice* const below = image.below();
    if (below == nullptr || offset >= below->size()) {
        return false;
    }
    const Range range{offset, std::min(length, below->size() - offset)};
    return std::ranges::any_of(below->extents(range),
                               [](const Extent& extent) { return extent.kind == ExtentKind::data; });
}

/// Clusters that are not all holes already.
Freeable freeable_of_raw(Image& image, const ExtentSet& discardable) {
    Freeable result;
    const std::uint64_t unit = image.delta().cluster_size();
    const std::uint64_t size = image.delta().disk_size();
    for (const Range& range : discardable) {
        const std::uint64_t first = round_up(range.offset, unit);
        const std::uint64_t end = range.end() >= size ? size : round_down(range.end(), unit);
        if (first >= end) {
            continue;
        }
        std::uint64_t next = 0; // the extents come sorted, and one cluster may have several
        for (const Extent& extent : image.device().extents({first, end - first})) {
            if (extent.kind != ExtentKind::data) {
                continue;
            }
            for (next = std::max(next, extent.range.offset / unit); next < divide_up(extent.range.end(), unit);
                 ++next) {
                result.clusters.push_back(next);
            }
        }
    }
    return result;
}

Freeable freeable(Image& image, const ExtentSet& discardable) {
    if (image.raw()) {
        return freeable_of_raw(image, discardable);
    }
    Freeable result;
    const Delta& delta = image.delta();
    const std::uint64_t unit = delta.cluster_size();
    for (const Range& range : discardable) {
        // The end of the disk ends its last cluster.
        const std::uint64_t end = range.end() >= delta.disk_size() ? delta.clusters() : range.end() / unit;
        for (std::uint64_t cluster = divide_up(range.offset, unit); cluster < end;) {
            const std::uint64_t count = delta.run(cluster, end - cluster);
            if (delta.place(cluster)) {
                for (std::uint64_t i = cluster; i < cluster + count; ++i) {
                    if (holds_below(image, i * unit, unit)) {
                        ++result.shining;
                    } else {
                        result.clusters.push_back(i);
                    }
                }
            }
            cluster += count;
        }
    }
    return result;
}

/// Bytes of the file that nothing refers to already.
std::uint64_t unused_bytes(Image& image) {
    const Delta& delta = image.delta();
    if (delta.raw()) {
        return 0;
    }
    const std::uint64_t used = (delta.file_clusters() - delta.hole_count()) * delta.cluster_size();
    return image.info().file_size - std::min(image.info().file_size, used);
}

class FreeStep final : public Step {
  public:
    FreeStep(Image& image, ExtentSet discardable, std::uint64_t clusters, std::uint64_t unused)
        : image_(image), discardable_(std::move(discardable)), clusters_(clusters), unused_(unused) {}

    std::string kind() const override { return clusters_ > 0 ? "ploop.free-clusters" : "ploop.compact"; }
    std::string text() const override {
        const std::uint64_t unit = image_.delta().cluster_size();
        if (image_.raw()) {
            return fmt::format("give the host back {} clusters of {} ({}) of the raw image that hold only free "
                               "space: they become holes of the file",
                               clusters_, size_text(unit), size_text(clusters_ * unit));
        }
        return clusters_ > 0
                   ? fmt::format(
                         "free {} clusters of {} ({}) that hold only free space, move the tail into the holes, "
                         "and cut the file",
                         clusters_, size_text(unit), size_text(clusters_ * unit))
                   : fmt::format("move the tail into holes of {}, and cut the file", size_text(unused_));
    }
    Cost cost() const override {
        const std::uint64_t unit = image_.delta().cluster_size();
        const std::uint64_t stays =
            image_.delta().allocated_clusters() - std::min(image_.delta().allocated_clusters(), clusters_);
        Cost cost;
        cost.discarded = clusters_ * unit + unused_;
        if (image_.raw()) {
            return cost;
        }
        // At most so many have to move as there are holes to be filled, or clusters to fill them.
        cost.read = cost.written = std::min(stays * unit, cost.discarded);
        return cost;
    }
    Details details() const override { return {{"clusters", clusters_}}; }
    std::string needs_no_undo() const override { return {}; }
    /// What is freed held nothing, and a cluster is moved only when its copy is safe: nothing has to come back.
    void undo(StepContext&) override { image_.close_after_failure(); }
    void commit(StepContext& context) override {
        context.cancel().check();
        image_.reload();
        const Freeable found = freeable(image_, discardable_);
        const std::uint64_t before = image_.delta().file().status().allocated;
        if (!found.clusters.empty()) {
            image_.call_expanded();
        }
        image_.delta().begin();
        // In runs: punching a hole takes its time, be it large or small.
        for (std::size_t i = 0; i < found.clusters.size();) {
            std::size_t count = 1;
            while (i + count < found.clusters.size() &&
                   found.clusters[i + count] == found.clusters[i] + count) {
                ++count;
            }
            image_.delta().free(found.clusters[i], count);
            i += count;
        }
        image_.delta().flush();
        image_.delta().compact();
        image_.delta().end();
        image_.reload();
        const std::uint64_t after = image_.delta().file().status().allocated;
        context.report("clusters_discarded", found.clusters.size());
        context.report("bytes_freed", before - std::min(before, after));
        context.advance(cost().work());
    }

  private:
    Image& image_;
    ExtentSet discardable_;
    std::uint64_t clusters_;
    std::uint64_t unused_;
};

class MendStep final : public Step {
  public:
    explicit MendStep(Image& image) : image_(image) {}
    std::string kind() const override { return "ploop.mend"; }
    std::string text() const override {
        return "take the in-use mark of the interrupted run off, and cut what nothing refers to";
    }
    std::string needs_no_undo() const override { return "the BAT was read and is sound"; }
    void commit(StepContext& context) override {
        context.cancel().check();
        context.report("bytes_freed", image_.give_back());
    }

  private:
    Image& image_;
};

} // namespace

CompactEstimate plan_free(Image& image, Plan* plan, const ExtentSet& discardable) {
    const Freeable found = freeable(image, discardable);
    const std::uint64_t unit = image.delta().cluster_size();
    CompactEstimate estimate;
    estimate.allocated = image.info().allocated;
    estimate.clusters = found.clusters.size();
    estimate.shared = found.shining * unit;
    estimate.leaked = unused_bytes(image);
    estimate.reclaimable = std::min(estimate.allocated, estimate.clusters * unit + estimate.leaked);
    if (plan != nullptr && (estimate.clusters > 0 || estimate.leaked > 0)) {
        plan->add(std::make_unique<FreeStep>(image, discardable, estimate.clusters, estimate.leaked));
    }
    return estimate;
}

void plan_mend(Image& image, Plan& plan, bool dirty) {
    if (dirty || unused_bytes(image) > 0) {
        plan.add(std::make_unique<MendStep>(image));
    }
}

CheckReport check_delta(Image& image) {
    // Opening it has believed no entry unseen: what could be found here would have been an error there.
    CheckReport report;
    report.leaks = unused_bytes(image) / image.delta().cluster_size();
    if (image.info().dirty) {
        report.sentences.push_back(image.info().path + " is marked as in use");
    }
    return report;
}

} // namespace disktool::ploop

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_step.h"

#include "big_endian.h"
#include "free_rule.h"
#include "give_back.h"
#include "in_place.h"
#include "reclaim.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace disktool::qcow2 {

namespace {

std::string text_of(const Reclaim& reclaim, std::uint64_t cluster_size) {
    std::vector<std::string> parts;
    if (reclaim.clusters() > 0) {
        parts.push_back(fmt::format("discard {} clusters of {} ({}) that hold only free space",
                                    reclaim.clusters(), size_text(cluster_size),
                                    size_text(reclaim.clusters() * cluster_size)));
    }
    if (reclaim.leaked_clusters() > 0) {
        parts.push_back(fmt::format("mend {} leaked clusters", reclaim.leaked_clusters()));
    }
    if (parts.empty()) {
        parts.push_back("give clusters back that are free and still held by the host");
    }
    return fmt::format("{}", fmt::join(parts, ", "));
}

/// The order of its stages, and why each may be the last: docs/qcow2-writing.md.
class FreeStep final : public Step {
  public:
    FreeStep(Image& image, const Reclaim& reclaim)
        : image_(image), discardable_(reclaim.discardable()),
          kind_(reclaim.clusters() > 0 ? "qcow2.free-clusters" : "qcow2.mend"),
          text_(text_of(reclaim, image.metadata().header().cluster_size())) {
        const std::uint64_t metadata_clusters = reclaim.tables().size() + reclaim.changed_blocks();
        cost_.written = metadata_clusters * image.metadata().header().cluster_size();
        cost_.discarded = reclaim.held().total();
        details_ = {{"clusters", reclaim.clusters()},
                    {"leaked_clusters", reclaim.leaked_clusters()},
                    {"holes", static_cast<std::uint64_t>(reclaim.holes().count())}};
    }

    std::string kind() const override { return kind_; }
    std::string text() const override { return text_; }
    Cost cost() const override { return cost_; }
    Details details() const override { return details_; }
    std::string needs_no_undo() const override {
        return "what is given back held nothing, and every stage leaves a valid image";
    }
    void commit(StepContext& context) override;

  private:
    void write_metadata(const Reclaim& reclaim);
    void erase_entries(const Reclaim& reclaim);
    void punch(StepContext& context, const Reclaim& reclaim);

    Image& image_;
    ExtentSet discardable_;
    std::string kind_;
    std::string text_;
    Cost cost_;
    Details details_;
};

void FreeStep::commit(StepContext& context) {
    context.cancel().check();
    File& file = image_.file();
    const std::uint64_t allocated_before = file.status().allocated;
    // Worked out anew: a step before this one may have changed the image.
    image_.metadata().forget();
    const Reclaim reclaim(image_, discardable_);
    write_metadata(reclaim);
    context.advance(cost_.written);
    context.report("clusters_discarded", reclaim.clusters());
    context.report("leaks_mended", reclaim.leaked_clusters());
    punch(context, reclaim);
    file.sync();
    image_.metadata().forget();
    const std::uint64_t allocated_after = file.status().allocated;
    context.report("bytes_freed", allocated_before - std::min(allocated_before, allocated_after));
}

void FreeStep::write_metadata(const Reclaim& reclaim) {
    File& file = image_.file();
    const Metadata& metadata = image_.metadata();
    HeaderSector sector(file);
    if (sector.clear_unknown_autoclear(metadata.header())) {
        sector.write();
    }
    erase_entries(reclaim);
    if (reclaim.changed_blocks() > 0) {
        Refcounts refcounts(file, metadata.header(), metadata.file_size());
        refcounts.visit_blocks([&](RefcountBlock& block) {
            for (std::uint64_t index = 0; index < block.size(); ++index) {
                const std::uint64_t refcount = block.get(index);
                const auto cell = reclaim.references().at(block.first_cluster() + index);
                if (const std::uint64_t after = reclaim.target(refcount, cell); after != refcount) {
                    block.set(index, after);
                }
            }
        });
        file.sync_data();
    }
}

void FreeStep::erase_entries(const Reclaim& reclaim) {
    if (reclaim.tables().empty()) {
        return;
    }
    File& file = image_.file();
    const Metadata& metadata = image_.metadata();
    const Header& header = metadata.header();
    const std::uint32_t words = header.words_per_entry();
    FreeRule rule(header, image_.backing() != nullptr, reclaim.discardable(), reclaim.references());
    for (const std::uint64_t l1_index : reclaim.tables()) {
        const std::uint64_t offset = *metadata.l2_offset(l1_index);
        std::vector<std::uint64_t> table(header.cluster_size() / 8);
        file.read(offset, std::as_writable_bytes(std::span(table)));
        std::vector<std::uint64_t> before = table;
        swap_words(table);
        for (std::size_t index = 0; index < header.l2_entries(); ++index) {
            const std::uint64_t guest_cluster = l1_index * header.l2_entries() + index;
            const ClusterEntry entry = metadata.decoder().l2(table, index, offset);
            // A table that is a snapshot's too has no entries to erase and is not in the list.
            if (rule.decide(guest_cluster, entry, false) == Fate::free) {
                rule.erase(std::span(table).subspan(index * words, words));
            }
        }
        swap_words(table);
        write_changed(file, offset, std::as_bytes(std::span(before)), std::as_bytes(std::span(table)));
    }
    file.sync_data();
}

void FreeStep::punch(StepContext& context, const Reclaim& reclaim) {
    give_back(
        image_.file(), image_.metadata().file_size(), {reclaim.held(), reclaim.holes(), reclaim.used_end()},
        [&] { context.cancel().check(); }, [&](std::uint64_t bytes) { context.advance(bytes); });
}

} // namespace

CompactEstimate plan_free(Image& image, Plan* plan, const ExtentSet& discardable) {
    image.metadata().forget(); // a job that failed may have left it stale
    const Reclaim reclaim(image, discardable);
    CompactEstimate estimate;
    estimate.allocated = image.file().status().allocated;
    estimate.reclaimable = reclaim.held().total();
    estimate.clusters = reclaim.clusters();
    estimate.leaked = reclaim.leaked();
    estimate.shared = reclaim.shared();
    if (plan != nullptr && !reclaim.nothing_to_do()) {
        plan->add(std::make_unique<FreeStep>(image, reclaim));
        if (!reclaim.unknown_owner().empty()) {
            plan->note(fmt::format("leaked clusters are left alone: the image has {}, which may own them",
                                   reclaim.unknown_owner()));
        }
    }
    return estimate;
}

} // namespace disktool::qcow2

// SPDX-License-Identifier: LGPL-2.1-or-later
// From the content of a new state to an image that has it: all of its metadata, then the switch.
#pragma once

#include "give_back.h"
#include "header_switch.h"
#include "image.h"
#include "new_disk.h"
#include "new_refcounts.h"
#include "present.h"
#include "reference_count.h"

#include <disktool/working_disk.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace disktool::qcow2 {

/// Used once, its calls in their order. Until switch_over nothing changes that the present state consists of;
/// why each instant is valid: docs/qcow2-writing.md. Refers to all that it is made of. Threads: one at a time.
class Commit {
  public:
    /// Throws unsupported where this image cannot be changed so, size_impossible.
    Commit(Image& image, NewDisk& disk, const Present& present, const WorkCommit& request);

    /// Places for guest clusters that need one besides those written. Throws no_space.
    void prepare();
    /// Behind the end of the file; synced.
    void write_metadata();
    void switch_over();
    /// The header's write failed in a way that leaves it open which state there is.
    bool undecided() const { return switch_ && switch_->undecided(); }
    /// What only the old state needed. The image has to be told of its new state before.
    void give_back();
    /// Takes back what was reserved of clusters of the old state, as far as the host lets it.
    void unreserve() noexcept;

  private:
    void clear_exposed();
    void finish_ends();
    void place_hidden_zeros();
    void reserve_clusters();
    void check_room(std::uint64_t clusters);
    void count_references();
    void write_tables();
    bool renew_table(std::uint64_t l1_index, std::span<std::uint64_t> table) const;
    void renew_entry(std::uint64_t guest_cluster, std::uint64_t word, std::span<std::uint64_t> entry) const;
    bool keeps_l1() const;
    void write_l1();
    void find_unneeded();
    void reserve_blocks();
    void fill_file();
    std::uint64_t references(std::uint64_t offset) const;

    Image& image_;
    NewDisk& disk_;
    const Present& present_;
    const WorkCommit request_;
    Metadata& metadata_;
    const Header header_;
    File& file_;
    const std::uint64_t cluster_size_;
    const std::uint64_t clusters_; ///< of the new disk
    std::uint64_t backing_size_;   ///< that shows through in the new state; 0: none
    Refcounts present_counts_;
    ReferenceCount references_;
    std::vector<std::uint64_t> l1_;
    HeaderChange change_;
    std::optional<NewRefcounts> counts_;
    std::optional<HeaderSwitch> switch_;
    ExtentSet needed_;
    ExtentSet free_;
    ExtentSet becoming_free_;
    std::uint64_t needed_end_ = 0;
    ExtentSet reserved_; ///< bytes of the old state's clusters that were holes
};

} // namespace disktool::qcow2

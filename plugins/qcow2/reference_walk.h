// SPDX-License-Identifier: LGPL-2.1-or-later
// One walk over everything that an image's metadata refers to.
#pragma once

#include "free_rule.h"
#include "image.h"
#include "reference_count.h"

#include <disktool/error.h>

#include <cstdint>
#include <functional>
#include <string>

namespace disktool::qcow2 {

/// Counts header, refcount table and blocks, snapshots, bitmaps and the encryption header. Errors: damaged.
void count_fixed(Image& image, ReferenceCount& counts);
// Parts of it.
void count_bitmap(Image& image, const Bitmap& bitmap, ReferenceCount& counts); ///< table and bits
void count_snapshots(Image& image, ReferenceCount& counts);

/// Told of each allocated entry of the active tables, in guest order, when it has been counted.
using EntryVisitor = std::function<void(std::uint64_t l1_index, std::uint64_t guest_cluster,
                                        const ClusterEntry& entry, bool table_shared)>;
/// Told of what cannot be believed; what it does not throw on is left out of the count.
using FaultReceiver = std::function<void(const Error& error)>;

/// Counts the active L1, its L2 tables and what they refer to. Must come after count_fixed: whether a table
/// belongs to a snapshot too is known from there.
void count_active(Image& image, ReferenceCount& counts, const EntryVisitor& visit, const FaultReceiver& fault);

/// An unknown extension or autoclear feature, or bitmaps that are not valid any more, may own clusters that no
/// known structure refers to. Names what it is; empty: there is none.
std::string unknown_owner(const Header& header);

} // namespace disktool::qcow2

// SPDX-License-Identifier: LGPL-2.1-or-later
// The two --info verbs: what a disk could shrink to, and what a compact would bring.
#pragma once

#include "verb/survey.h"
#include "verb/verb_context.h"

#include <disktool/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// The estimates of `resize --info`, in bytes. Both minima are sizes that this disk can really be given:
/// neither is ever above the present size.
struct ResizeInfo {
    DiskSurvey survey;
    std::uint64_t size = 0;
    std::uint64_t minimum = 0;
    std::string minimum_because;
    std::uint64_t minimum_without_last = 0; ///< without resizing the last partition
    std::string minimum_without_last_because;
    /// The last partition's file system has no usable minimum, so that `minimum` is the other one.
    bool last_is_fixed = false;
};

DISKTOOL_API ResizeInfo resize_info(VerbContext& context);

/// The estimates of `compact --info`.
struct CompactInfo {
    DiskSurvey survey;
    std::uint64_t size = 0;                  ///< bytes
    std::uint64_t allocated = 0;             ///< host bytes of this image
    std::uint64_t used = 0;                  ///< bytes: the size less what file systems say is free
    std::optional<CompactEstimate> estimate; ///< native only: what a compact would give back
    std::string why_no_estimate;             ///< a sentence, where one was tried for and could not be had
    std::uint64_t discardable_gaps = 0;      ///< bytes outside partitions that count
};

DISKTOOL_API CompactInfo compact_info(VerbContext& context);

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// What `ploop snapshot-list` prints.
#pragma once

#include "descriptor.h"

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <optional>
#include <string>

namespace disktool::ploop {

struct SnapshotListOptions {
    bool header = true;         ///< -H turns it off
    std::string fields{};       ///< -o: names by commas, of any case; empty: parent_uuid,current,uuid,fname
    std::optional<Uuid> uuid{}; ///< -u: this one and what is below it, in that order
    bool snapshots = false;     ///< -s: without the top; its parent is the current one
    /// What to show as the file of an image; none: ImageEntry::path.
    std::function<std::string(const ImageEntry&)> path_of{};
};

/// As the original prints it, to the byte. Throws PloopError with exit code 1 for a field or a uuid that is not
/// there.
std::string snapshot_list_text(const Descriptor& descriptor, const SnapshotListOptions& options);
/// The same rows: objects with all fields, and "temporary". `header` and `fields` mean nothing here.
nlohmann::json snapshot_list_json(const Descriptor& descriptor, const SnapshotListOptions& options);

} // namespace disktool::ploop

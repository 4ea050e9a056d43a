// SPDX-License-Identifier: LGPL-2.1-or-later
// What lies on a disk: its table, and in each partition (or on the whole disk) a file system and its figures.
// Every verb begins with this.
#pragma once

#include "partition/table.h"
#include "plugin/registry.h"

#include <disktool/appliance.h>
#include <disktool/devices.h>
#include <disktool/error.h>
#include <disktool/filesystem.h>
#include <disktool/volumes.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// Why the content of a partition cannot be worked with.
struct Problem {
    ErrorCode code = ErrorCode::unsupported;
    Reason reason = Reason::none;
    std::string sentence;
};

/// What one partition holds, or the whole disk, or a volume in one of these. Figures are missing where they
/// could not be had; `problem` then says why.
struct Content {
    int partition = 0;  ///< its number; 0: the whole disk
    std::string volume; ///< "vg/lv" for what a volume holds
    Range range;        ///< bytes of the disk; for a volume, of the volume itself
    std::string type;   ///< "ext4", "xfs", "swap", ...; empty: nothing that is known
    FilesystemState state;
    std::optional<FilesystemUsage> usage;
    std::optional<MinimumSize> minimum;
    std::optional<Problem> problem;
    Details details;

    /// "partition 2 (ext4)", "the whole disk (xfs)", "volume vg/lv (ext4)".
    std::string text() const;
    /// A file system, or volumes, that a plugin has opened.
    bool opened() const { return filesystem != nullptr || volumes != nullptr; }
    /// Of a native survey, for what is only asked for by some verbs. They refer to the disk.
    std::unique_ptr<Window> window;
    std::unique_ptr<Filesystem> filesystem;
    std::unique_ptr<Volumes> volumes;
    std::vector<Content> inner; ///< what the volumes hold, as volumes->volumes() counts them
};

struct DiskSurvey {
    PartitionTable table;
    std::vector<Content> contents; ///< in the table's order, without extended partitions
    std::string engine;            ///< "native" or "appliance"

    /// The content that lies last on the disk, by place; none on a disk with nothing known on it.
    const Content* last() const;
    Content* last();
    /// Calls `visit` for every content, and for those of volumes.
    template <typename Visit>
    void each(Visit visit) const {
        for (const Content& content : contents) {
            visit(content);
            for (const Content& inner : content.inner) {
                visit(inner);
            }
        }
    }
    /// Neither a table nor a known content.
    bool blank() const { return contents.empty(); }
    /// Is a file system not clean, so that its figures may be off?
    bool dirty() const;
};

struct SurveyOptions {
    bool minimum_sizes = false; ///< also the least size of each file system
};

/// In-process. Damage of one file system is its content's `problem`, not an error; a damaged table throws.
/// Contents refer to `disk` and to the registry, which must outlive the survey.
DISKTOOL_API DiskSurvey survey_disk(BlockDevice& disk, Registry& registry, SurveyOptions options);

/// The same figures from a launched appliance, for cross-checking. `filesystem` is not set.
DISKTOOL_API DiskSurvey survey_by_appliance(Appliance& appliance, SurveyOptions options);

} // namespace disktool

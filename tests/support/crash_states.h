// SPDX-License-Identifier: LGPL-2.1-or-later
// What a folder holds after a crash, for each moment of one recorded run. One moment is made from the one
// before it, in memory.
//
// A file's content and its names are kept apart, as a file system keeps them. Content is durable once that file
// was synced; names are durable once the folder was synced, and since file systems keep changes to names in a
// journal in order, all earlier ones are so, too.
#pragma once

#include "support/folder_state.h"
#include "support/recording_door.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace disktool::test {

/// Goes through the moments of a run, first to last. Threads: one at a time.
class CrashStates {
  public:
    /// Only when the run is over.
    explicit CrashStates(const RecordingDoor& door);

    /// To the moment after so many changes; not backwards.
    void advance(std::size_t cut);
    FolderState state(Survivors survivors, std::uint32_t seed = 0) const;
    /// Empties the folder and puts the state there, as RecordingDoor::put does. A job's record names files by
    /// their inode numbers and by their folder: it gets those of the new files.
    void store(const FolderState& state, const std::filesystem::path& target) const;

  private:
    /// Of one file, what is not part of durable_. No sync makes good what was written before a failed one: that
    /// stays here for good, and with it what comes after, which must not be done before it.
    struct Pending {
        struct Entry {
            const Change* change;
            bool durable;
        };
        std::vector<Entry> entries;
        std::size_t doubtful = 0; ///< so many of them come before a failed sync
    };

    void settle_content(std::size_t file);
    void settle_names(const Change& sync);
    FolderState synced_state() const;
    FolderState random_state(std::uint32_t seed) const;
    FolderState torn_state() const;

    const RecordingDoor& door_;
    std::map<std::uint64_t, std::size_t> numbers_by_inode_; ///< of the files that were there before
    FolderState seen_;                                      ///< all that was done
    FolderState before_last_;                               ///< all but the last change
    FolderState durable_;                                   ///< what surely is on stable storage
    std::vector<const Change*> pending_names_;
    std::map<std::size_t, Pending> pending_content_; ///< by file
    std::size_t cut_ = 0;
};

} // namespace disktool::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// What a folder holds after a crash, for each of thousands of moments of one recorded run. The rules are those
// of RecordingDoor::materialise, but one moment is made from the one before it, in memory.
#pragma once

#include "memory_file.h"
#include "support/recording_door.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace disktool::test {

/// Files with their names, as a crash leaves them.
struct FolderState {
    std::map<std::size_t, MemoryFile> files; ///< by the recorder's number
    std::map<std::string, std::size_t> names;

    /// Equal for equal states.
    std::uint64_t signature() const;
};

/// Goes through the moments of a run, first to last. Threads: one at a time.
class CrashStates {
  public:
    /// Only when the run is over. No change may have failed.
    explicit CrashStates(const RecordingDoor& door);

    /// To the moment after so many changes; not backwards.
    void advance(std::size_t cut);
    FolderState state(Survivors survivors, std::uint32_t seed = 0) const;
    /// Empties the folder and puts the state there. A job's record names files by their inode numbers and by
    /// their folder: it gets those of the new files.
    void store(const FolderState& state, const std::filesystem::path& target) const;

  private:
    void settle_names(const Change& sync);
    FolderState random_state(std::uint32_t seed) const;
    FolderState torn_state() const;

    const RecordingDoor& door_;
    std::map<std::uint64_t, std::size_t> numbers_by_inode_; ///< of the files that were there before
    FolderState seen_;                                      ///< all that was done
    FolderState before_last_;                               ///< all but the last change
    FolderState durable_;                                   ///< what surely is on stable storage
    std::vector<const Change*> pending_names_;
    std::map<std::size_t, std::vector<const Change*>> pending_content_; ///< by file
    std::size_t cut_ = 0;
};

} // namespace disktool::test

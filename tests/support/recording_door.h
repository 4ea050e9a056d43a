// SPDX-License-Identifier: LGPL-2.1-or-later
// A file door that remembers every change, can make one fail, and can show what a crash would have left: the
// base of the tests that kill and cut the power.
//
//     RecordingDoor door(folder.path());
//     work({door, real_doors().processes});
//     TemporaryFolder after;
//     for (std::size_t cut : door.cuts()) {
//         SCOPED_TRACE(door.describe(cut));
//         door.materialise(cut, Survivors::synced, after.path());
//         check(after / "disk.qcow2");
//     }
//
// What is left is made in memory (left_by), so that equal states can be told by their signature before anything
// is written to a disk (put) and judged.
#pragma once

#include "support/folder_state.h"
#include "support/hasty_door.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace disktool::test {

enum class ChangeKind {
    write,
    punch_hole,
    zero,
    allocate,
    truncate,
    sync,        ///< of a file's content
    failed_sync, ///< what was not on stable storage before it may never get there, whatever later syncs say
    create,
    rename,
    link,
    remove,
    sync_directory,
};

struct Change {
    ChangeKind kind;
    std::size_t file = 0;          ///< which file, by a number of ours: names may change
    std::string path{};            ///< relative to the folder
    std::string new_path{};        ///< of rename and link
    Range range{};                 ///< for truncate, the length is the new size
    std::vector<std::byte> data{}; ///< of write
    bool keep_size = false;        ///< of allocate
    std::uint32_t mode = 0;        ///< of create

    std::string text() const;
};

/// What is left after a cut.
enum class Survivors {
    all,  ///< the process was killed between two changes
    torn, ///< the process was killed in the last change: of a write, only the pages of its first half are there
    synced, ///< the power went: nothing that was not synced is there
    /// The power went: a random part of what was not synced is there, sector by sector, in no order. Of changes
    /// to names, the first few, since file systems keep their journal in order.
    random,
};

class CrashStates;

/// Everything that goes through this door and changes something must lie in `folder`. What other programs do
/// there is not seen. Threads: any, as for every FileDoor; materialise and the like when the work is over.
class RecordingDoor : public FileDoor {
  public:
    /// Takes a copy of the folder as it is now. Syncs are recorded; whether they are done is for `real` to say.
    explicit RecordingDoor(const std::filesystem::path& folder, FileDoor& real = hasty_doors().files);
    ~RecordingDoor() override;

    // What to let fail; counted from now, the next one is 1.
    void fail_change(std::size_t number, int error_number);
    void fail_sync(std::size_t number, int error_number);
    /// So many more bytes can be written, zeroed and allocated (each counts, also over old ones); what lies
    /// beyond fails with ENOSPC, a write after the part that fits.
    void limit_space(std::uint64_t bytes);
    /// Files here share blocks (File::share_range), as on XFS; not unless this is called.
    void pretend_to_share() { shares_ = true; }
    /// Has everything that was to fail failed?
    bool failed() const;

    const std::vector<Change>& changes() const { return changes_; }
    /// How many there are; while others work, too.
    std::size_t count() {
        const std::lock_guard lock(mutex_);
        return changes_.size();
    }
    // What there was before the first change.
    using Identity = std::pair<std::uint64_t, std::uint64_t>; ///< device and inode
    const std::filesystem::path& folder() const { return folder_; }
    const std::filesystem::path& before() const { return before_.path(); } ///< the copy
    const std::map<std::size_t, std::string>& first_names() const { return first_names_; }
    const std::map<Identity, std::size_t>& first_identities() const { return first_identities_; }
    /// Another program has run: the files that it has made are recorded, each as one creation and one write.
    void notice_new_files();
    /// 0 (nothing was done) up to the number of changes (all was done).
    std::vector<std::size_t> cuts() const;
    /// "after 3 changes, the last: write 512 bytes at offset 0 of disk.img".
    std::string describe(std::size_t cut) const;
    /// What the cut leaves. Fast where a cut is the same as the last one asked for or a later one.
    FolderState left_by(std::size_t cut, Survivors survivors, std::uint32_t seed = 0) const;
    /// Empties `target`, which must be another folder, and puts the state there.
    void put(const FolderState& state, const std::filesystem::path& target) const;
    void materialise(std::size_t cut, Survivors survivors, const std::filesystem::path& target,
                     std::uint32_t seed = 0) const {
        put(left_by(cut, survivors, seed), target);
    }

    std::unique_ptr<File> open(const std::string& path, OpenFlags flags) override;
    std::optional<FileStatus> status(const std::string& path, bool follow_links) override;
    std::string real_path(const std::string& path) override;
    std::vector<std::string> list(const std::string& directory) override;
    void rename(const std::string& from, const std::string& to) override;
    void link(const std::string& existing, const std::string& name) override;
    void remove(const std::string& path) override;
    void sync_directory(const std::string& directory) override;
    std::uint64_t free_space(const std::string& path) override;

  private:
    class RecordingFile;

    /// Throws when it is this change's turn to fail; else does it and remembers it.
    template <typename Action>
    void perform(Change change, Action action);
    /// How many of `bytes` still fit.
    std::uint64_t take_space(std::uint64_t bytes);
    std::string relative(const std::string& path, bool follow_links) const;

    FileDoor& real_;
    std::filesystem::path folder_;
    TemporaryFolder before_;
    std::map<std::size_t, std::string> first_names_; ///< of the files in the copy
    std::map<Identity, std::size_t> first_identities_;

    bool shares_ = false;
    std::recursive_mutex mutex_; ///< of what follows
    std::map<Identity, std::size_t> numbers_;
    std::size_t files_ = 0;
    std::vector<Change> changes_;
    struct Failure {
        std::size_t countdown;
        int error_number;
    };
    std::optional<Failure> change_failure_;
    std::optional<Failure> sync_failure_;
    std::optional<std::uint64_t> space_;
    bool space_ended_ = true;

    struct Replay;
    mutable std::shared_ptr<Replay> replay_; ///< of left_by; shared, since it is not complete here
};

} // namespace disktool::test

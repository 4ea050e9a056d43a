// SPDX-License-Identifier: LGPL-2.1-or-later
// Is what a crash or a failure left the old disk or the new one, and does recovery bring all in order?
#pragma once

#include "disk_content.h"
#include "scenario.h"
#include "support/hasty_door.h"

#include <filesystem>
#include <map>
#include <set>
#include <string>

namespace disktool::test {

/// Expectations of GoogleTest: a state that is not as it should be fails the test that runs.
class Judge {
  public:
    /// `before`: the folder before the verb; `after`: when it has ended.
    Judge(const Scenario& scenario, const std::filesystem::path& before, const std::filesystem::path& after,
          const std::filesystem::path& notes);

    /// From now on a new disk may come of another run than the one that gave `after`: where programs of the
    /// host write the time of day to it, it is asked for its files and not compared byte by byte.
    void other_runs() { other_runs_ = scenario_.uses_programs; }

    /// What a VM would see that starts before any recovery.
    void as_it_lies(const std::filesystem::path& folder);
    /// Recovers and looks again. `leaks_allowed`: those that the host's failure left, for the next run to find.
    void after_recovery(const std::filesystem::path& folder, bool leaks_allowed = false);
    /// The verb once more, on what the recovery left.
    void after_another_run(const std::filesystem::path& folder);

    /// Whether a guest could tell the old disk from the new one.
    bool guest_sees_change() const { return !(old_content_ == new_content_); }
    unsigned old_ones() const { return old_; }
    unsigned new_ones() const { return new_; }

  private:
    using Names = std::set<std::string>;
    static Names names_in(const std::filesystem::path& folder);
    void expect_content(const std::string& image, bool by_qemu);
    void expect_snapshots(const std::string& image);
    void expect_clean_chain(const std::filesystem::path& folder, bool leaks_allowed);
    bool eighth() { return looked_at_++ % 8 == 0; }

    const Scenario& scenario_;
    std::filesystem::path notes_;
    DiskContent old_content_;
    DiskContent new_content_;
    std::map<std::string, DiskContent> snapshots_; ///< of the old state
    Names old_names_;
    Names new_names_;
    HastyDoor files_;
    bool other_runs_ = false;
    unsigned looked_at_ = 0;
    unsigned old_ = 0;
    unsigned new_ = 0;
};

} // namespace disktool::test

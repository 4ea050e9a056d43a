// SPDX-License-Identifier: LGPL-2.1-or-later
// Which verbs are tried on which images.
#pragma once

#include "image/session.h"
#include "plan/job.h"
#include "support/temporary_folder.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace disktool::test {

/// Every scenario's image, the one that the verb is given.
inline const std::string top_name = "disk.qcow2";

struct Scenario {
    std::string name;
    /// Makes the image and what belongs to it. What is there besides images goes to `notes`.
    std::function<void(const std::filesystem::path& folder, const std::filesystem::path& notes)> make;
    /// The verb on the image of that path.
    std::function<void(Doors doors, const std::string& image)> run;
    /// Throws what is wrong with a finished image, asking independent tools.
    std::function<void(const std::string& image, const std::filesystem::path& notes, bool leaks_allowed)>
        verify;
    std::string output{}; ///< a file that the verb makes, and that holds the same disk
    /// Programs of the host take part: a run takes longer, and the new disk has the time of day in it.
    bool uses_programs = false;
    /// Frees in stages, like compact: an error between two of them leaves leaks and no record, and the next run
    /// finds them by itself.
    bool frees_in_stages = false;

    friend void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }
};

Registry& registry();

/// Opens the image as the command line does.
std::unique_ptr<Session> open_session(Doors doors, const std::string& image, Access access,
                                      bool whole_chain = false);

std::vector<Scenario> resize_scenarios();
std::vector<Scenario> merge_scenarios();
std::vector<Scenario> convert_scenarios();

} // namespace disktool::test

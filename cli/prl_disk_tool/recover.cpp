// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include <fmt/format.h>

namespace disktool::cli {

void run_recover(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write);
    const bool found = read_job_record(session.doors(), session.path()).has_value();
    run.recover(!arguments.dry_run); // tells what it finds and does
    run.json()["dry_run"] = arguments.dry_run;
    run.json()["image"] = image_json(session.image().info());
    run.json()["result"] = {{"found", found}, {"changed", found && !arguments.dry_run}};
    if (!found) {
        run.say(fmt::format("{}: no interrupted job: nothing to do", arguments.image));
    }
}

} // namespace disktool::cli

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapshot_list.h"

#include "command.h"
#include "words.h"

namespace disktool::ploop::cli {

int run_snapshot_list(Options& options, const std::vector<std::string>& words) {
    SnapshotListOptions request;
    // Scripts know 1 for what is wrong with this command's words.
    CommandLine line(options, words, "Hho:u:s",
                     {{"no-header", false, 'H'},
                      {"output", true, 'o'},
                      {"uuid", true, 'u'},
                      {"id", true, 'u'},
                      {"snapshot", false, 's'}},
                     Exit::no_memory_or_failure);
    while (const char letter = line.next()) {
        switch (letter) {
        case 'H':
            request.header = false;
            break;
        case 'o':
            request.fields = line.value();
            break;
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        case 's':
            request.snapshots = true;
            break;
        default:
            throw HelpRequested{};
        }
    }
    // For reading: no lock is taken, so that the list of a disk that is being worked on can be seen.
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor_operand(line), Access::read);
    if (request.uuid) {
        demand_snapshot(*disk, *request.uuid);
    }
    options.output->result(snapshot_list_text(disk->descriptor, request));
    options.output->json()["snapshots"] = snapshot_list_json(disk->descriptor, request);
    return 0;
}

} // namespace disktool::ploop::cli

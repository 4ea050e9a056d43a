// SPDX-License-Identifier: LGPL-2.1-or-later
// ploop-device: the process of one ploop device. Started by `ploop mount` (docs/ploop-devices.md).
#include "block/direct_file.h"
#include "device_process.h"
#include "ploop_error.h"
#include "ploop_source.h"

#include <disktool/doors.h>

int main(int count, char** words) {
    using namespace disktool;
    const Doors real = real_doors();
    static DirectFileDoor files(real.files, HostCache::small_reads); // outlives whatever has files open
    const Doors doors{files, real.processes};
    return server::run_device_process(count, words,
                                      {"ploop-device",
                                       [&](server::Config& config, const ploop::Say& say) {
                                           return std::make_unique<server::PloopSource>(doors, config, say);
                                       },
                                       [](const Error& error) { return ploop::exit_code_of(error); }});
}

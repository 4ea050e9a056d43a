// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/host_file.h"
#include "block/host_process.h"

#include <disktool/doors.h>

namespace disktool {

Doors real_doors() {
    static HostFileDoor files;
    static HostProcessDoor processes;
    return {files, processes};
}

} // namespace disktool

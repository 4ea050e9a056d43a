// SPDX-License-Identifier: LGPL-2.1-or-later
// disk-device: the process of a device whose image QEMU reads and writes. Started by `prl_disk_tool mount`
// (docs/ploop-devices.md).
#include "device_process.h"
#include "qemu_source.h"

#include <disktool/doors.h>

int main(int count, char** words) {
    using namespace disktool;
    return server::run_device_process(
        count, words,
        {"disk-device",
         [](server::Config& config, const std::function<void(const std::string&)>&) {
             return std::make_unique<server::QemuSource>(real_doors(), config);
         },
         [](const Error& error) { return static_cast<int>(error.code()); }});
}

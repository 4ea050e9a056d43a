// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_start.h"

#include "command.h"
#include "errors.h"
#include "ready_words.h"

namespace disktool::ploop::cli {

namespace {

ControlMessage config_of(const DeviceStart& start) {
    const RunningSource& source = start.source;
    ControlMessage config = ControlMessage::object();
    if (source.descriptor.empty()) {
        config["images"] = source.images;
        if (source.raw_base) {
            config["raw"] = true;
            config["cluster"] = source.raw_cluster_sectors;
        }
    } else {
        config["descriptor"] = source.descriptor;
        if (source.uuid) {
            config["uuid"] = source.uuid->text();
        }
    }
    config["read_only"] = source.read_only;
    config["allowed"] = source.allowed;
    config["component"] = start.component;
    config["backend"] = start.backend;
    return config;
}

/// That one and no other: who has it is no affair of the disk.
std::unique_ptr<DeviceNumber> wanted_number(int minor) {
    try {
        return DeviceNumber::take(minor);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::locked) {
            throw;
        }
        throw PloopError(Exit::device_open, error.code(), error.what(), error.reason());
    }
}

} // namespace

DeviceState start_device(const Options& options, const DeviceStart& start) {
    if (!start.source.descriptor.empty() && !start.source.read_only) {
        finish_core_job(options, start.source.descriptor);
    }
    const std::unique_ptr<DeviceNumber> number = start.minor ? wanted_number(*start.minor) : nullptr;
    return start_device_process(options, config_of(start), number.get());
}

} // namespace disktool::ploop::cli

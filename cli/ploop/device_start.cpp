// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_start.h"

#include "engine/own_place.h"
#include "errors.h"
#include "ready_words.h"

#include <disktool/doors.h>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <span>

namespace disktool::ploop::cli {

namespace {

constexpr int config_number = 3, ready_number = 4, lock_number = 5; // in the process that is started

ControlMessage config_of(const DeviceStart& start) {
    const RunningSource& source = start.source;
    ControlMessage config = {{"version", control_version}};
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

/// A file without a name, to be read from its beginning.
disktool::Descriptor file_with(const std::string& text) {
    disktool::Descriptor file(memfd_create("ploop-device", MFD_CLOEXEC));
    if (!file) {
        throw SystemError("Cannot make", "a file in memory", errno);
    }
    for (std::span<const char> rest(text); !rest.empty();) {
        const ssize_t count = write(file.get(), rest.data(), rest.size());
        if (count < 0) {
            throw SystemError("Cannot write", "a file in memory", errno);
        }
        rest = rest.subspan(static_cast<std::size_t>(count));
    }
    lseek(file.get(), 0, SEEK_SET);
    return file;
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
    const disktool::Descriptor config =
        file_with(config_of(start).dump(-1, ' ', false, Json::error_handler_t::replace));
    Pipe ready;
    disktool::Command command;
    command.arguments = {own_prefix() + "/" DISKTOOL_LIBEXEC_DIR "/ploop-device", "--config-fd",
                         std::to_string(config_number), "--ready-fd", std::to_string(ready_number)};
    command.descriptors = {{config.get(), config_number}, {ready.writer.get(), ready_number}};
    const std::unique_ptr<DeviceNumber> number = start.minor ? wanted_number(*start.minor) : nullptr;
    if (number != nullptr) {
        command.arguments.insert(command.arguments.end(), {"--lock-fd", std::to_string(lock_number)});
        command.descriptors.emplace_back(number->descriptor(), lock_number);
    }
    try {
        const std::unique_ptr<Process> process = real_doors().processes.start(command);
        ready.writer.close();
        const ControlMessage word = hear_until_ready(options, ready.reader.get(), command.arguments.front());
        const int minor = word.at("state").at("minor").get<int>();
        if (std::optional<DeviceState> state = device_state(minor)) {
            return *state;
        }
        throw PloopError(Exit::device_open, ErrorCode::failure,
                         fmt::format("/dev/ploop{} has gone already; the system's log may say why", minor));
    } catch (const Error& error) {
        if (error.code() == ErrorCode::program_missing) { // no FUSE, no loop devices, no program
            throw PloopError(Exit::device_open, error.code(), error.what(), error.reason());
        }
        throw;
    } catch (const nlohmann::json::exception& error) {
        throw PloopError(Exit::device_open, ErrorCode::failure,
                         fmt::format("{} tells of its device what cannot be understood: {}",
                                     command.arguments.front(), error.what()));
    }
}

} // namespace disktool::ploop::cli

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

std::string descriptor_operand(const std::string& word) {
    std::optional<std::string> path = descriptor_of(real_doors().files, word);
    if (!path) {
        throw UsageError(fmt::format("{} is no descriptor: give a DiskDescriptor.xml (any name that ends in "
                                     ".xml), or the folder it is in",
                                     word));
    }
    return *path;
}

std::string descriptor_operand(const CommandLine& line) {
    return descriptor_operand(line.operand());
}

Say say_of(const Options& options) {
    return [output = options.output](const std::string& line) { output->say(line); };
}

std::unique_ptr<PloopDisk> open_disk(const Options& options, const std::string& descriptor, Access access) {
    DiskOptions request;
    request.access = options.dry_run ? Access::read : access;
    request.allowed = options.allowed;
    request.cancel = options.cancel;
    request.say = say_of(options);
    request.lock_base_image = request.access == Access::write;
    return PloopDisk::open(real_doors(), descriptor, request);
}

void demand_snapshot(const PloopDisk& disk, const Uuid& uuid) {
    if (disk.descriptor.snapshot(uuid) == nullptr) {
        throw PloopError(
            Exit::no_snapshot, ErrorCode::not_found,
            fmt::format("Can't find snapshot by uuid {} in {}; ploop snapshot-list shows which there are",
                        uuid.text(), disk.path()));
    }
}

} // namespace disktool::ploop::cli

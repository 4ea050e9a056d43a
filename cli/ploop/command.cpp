// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include "core_disk.h"
#include "membership.h"
#include "plan/job.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

std::string descriptor_operand(const std::string& word) {
    std::optional<std::string> path = descriptor_of(real_doors().files, word);
    if (!path) {
        throw UsageError(fmt::format("{} {}: give a DiskDescriptor.xml (any name that ends in .xml), or the "
                                     "folder it is in",
                                     word,
                                     real_doors().files.status(word) ? "is no descriptor" : "does not exist"));
    }
    return *path;
}

std::string descriptor_operand(const CommandLine& line) {
    return descriptor_operand(line.operand());
}

Say say_of(const Options& options) {
    return [output = options.output](const std::string& line) { output->say(line); };
}

void finish_core_job(const Options& options, const std::string& descriptor) {
    FileDoor& files = real_doors().files;
    if (!options.dry_run && files.status(job_record_path(top_of(files, descriptor)), false)) {
        const CoreDisk put_right(options, descriptor, Access::write);
    }
}

std::unique_ptr<PloopDisk> open_disk(const Options& options, const std::string& descriptor, Access access) {
    DiskOptions request;
    request.access = options.dry_run ? Access::read : access;
    request.allowed = options.allowed;
    request.cancel = options.cancel;
    request.say = say_of(options);
    request.lock_base_image = request.access == Access::write;
    if (access == Access::write) {
        finish_core_job(options, descriptor);
    }
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

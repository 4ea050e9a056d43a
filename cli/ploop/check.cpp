// SPDX-License-Identifier: LGPL-2.1-or-later
// check and fsck: one image file, or all of a descriptor's chain.
#include "check.h"

#include "command.h"
#include "running.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

struct CheckRequest {
    CheckOptions options;
    std::optional<Uuid> uuid;
    bool any_option = false; ///< besides -u
    std::string operand;
};

CheckRequest parse(Options& options, const std::vector<std::string>& words) {
    CheckRequest request;
    CommandLine line(options, words, "fFcrsdRb:Su:",
                     {{"force", false, 'f'},
                      {"hard-force", false, 'F'},
                      {"check", false, 'c'},
                      {"ro", false, 'r'},
                      {"silent", false, 's'},
                      {"drop-inuse", false, 'd'},
                      {"raw", false, 'R'},
                      {"blocksize", true, 'b'},
                      {"repair-sparse", false, 'S'},
                      {"uuid", true, 'u'}});
    CheckOptions& check = request.options;
    while (const char letter = line.next()) {
        request.any_option = request.any_option || letter != 'u';
        switch (letter) {
        case 'f':
            check.force = true;
            break;
        case 'F':
            check.force = check.hard = true;
            break;
        case 'c':
            check.thorough = true;
            break;
        case 'r':
            check.read_only = true;
            break;
        case 's':
            check.silent = true;
            break;
        case 'd':
            check.drop_in_use = true;
            break;
        case 'R':
            check.raw = true;
            break;
        case 'b':
            check.raw_cluster_sectors = parse_number("-b", line.value());
            break;
        case 'S':
            check.fill_sparse = true;
            break;
        default:
            request.uuid = parse_uuid(line.value());
        }
    }
    request.operand = line.operand();
    return request;
}

CheckWriter writer_of(Output& output) {
    return {[&output](const std::string& line) { output.say(line); },
            [&output](const std::string& line) { output.error(line); }};
}

std::unique_ptr<File> open_image(const std::string& path, bool write) {
    if (write) {
        refuse_running(real_doors().files, path);
    }
    return real_doors().files.open(path, {.write = write});
}

int report(Output& output, const CheckResult& result, const std::string& path) {
    output.json()["image"] = path;
    output.json()["check"] = {{"exit", result.exit_code},
                              {"changed", result.changed},
                              {"was_dirty", result.was_dirty},
                              {"out_of_range", result.out_of_range},
                              {"misaligned", result.misaligned},
                              {"behind_end_of_file", result.behind_eof},
                              {"in_tables", result.in_tables},
                              {"duplicates", result.duplicates},
                              {"holes", result.holes},
                              {"tail_bytes", result.tail_bytes},
                              {"wrong_empty_flag", result.wrong_empty_flag},
                              {"wrong_entries", result.wrong_entries},
                              {"unknown_in_use", result.unknown_in_use},
                              {"wrong_extension", result.wrong_extension},
                              {"extension_dropped", result.extension_dropped},
                              {"sparse", result.sparse}};
    if (result.exit_code != 0) {
        output.json()["error"] = {{"code", name(ErrorCode::damaged)},
                                  {"exit", result.exit_code},
                                  {"message", fmt::format("{} is not in order", path)}};
    }
    return result.exit_code;
}

int check_file(const Options& options, const CheckRequest& request) {
    if (request.uuid) {
        throw UsageError("Option -u chooses a snapshot of a DiskDescriptor.xml; an image file has none");
    }
    CheckOptions check = request.options;
    check.read_only = check.read_only || options.dry_run;
    if (check.raw && check.raw_cluster_sectors == 0) {
        throw ParameterError("A raw image does not tell its cluster size: give it with -b");
    }
    refuse_running_image(request.operand, Exit::dirty);
    const std::unique_ptr<File> file = open_image(request.operand, false);
    const CheckResult result = check_image(*file, check, writer_of(*options.output),
                                           [&] { return open_image(request.operand, true); });
    if (result.was_dirty && result.exit_code == static_cast<int>(Exit::dirty)) {
        options.output->warn(fmt::format(
            "{0} was not closed, or another program is using it. Where nobody does, \"ploop check -d {0}\" "
            "repairs it, and so does ploop check of the DiskDescriptor.xml that has it as the top",
            request.operand));
    }
    return report(*options.output, result, request.operand);
}

/// The chain without any change: what check_stack would do, as far as it can be told by looking.
CheckResult look_at_stack(const std::vector<CheckedImage>& images, std::uint32_t cluster_sectors,
                          const CheckWriter& writer) {
    CheckOptions look;
    look.thorough = look.read_only = look.silent = true;
    CheckResult result;
    for (const CheckedImage& image : images) {
        look.raw = look.allow_sparse = image.raw;
        look.raw_cluster_sectors = cluster_sectors;
        result = check_image(*image.file, look, writer, image.writable);
        if (result.exit_code != 0) {
            break;
        }
    }
    return result;
}

int check_disk(const Options& options, const CheckRequest& request, const std::string& descriptor) {
    Output& output = *options.output;
    if (request.any_option) {
        output.warn("WARNING: options are ignored for DiskDescriptor.xml form");
    }
    refuse_while_running(descriptor, Exit::dirty, "check");
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    const Uuid uuid = request.uuid.value_or(disk->descriptor.top);
    demand_snapshot(*disk, uuid);
    std::vector<std::unique_ptr<File>> files;
    std::vector<CheckedImage> images;
    for (const Uuid& member : disk->descriptor.chain(uuid)) {
        const std::string path = disk->file_of(member);
        files.push_back(open_image(path, false));
        const ImageEntry* entry = disk->descriptor.image(member);
        images.push_back(
            {files.back().get(), entry != nullptr && entry->raw, [path] { return open_image(path, true); }});
    }
    const std::uint32_t cluster_sectors = disk->descriptor.cluster_sectors;
    const CheckWriter writer = writer_of(output);
    const CheckResult result = options.dry_run ? look_at_stack(images, cluster_sectors, writer)
                                               : check_stack(images, cluster_sectors, writer);
    return report(output, result, disk->path());
}

} // namespace

int run_check(Options& options, const std::vector<std::string>& words) {
    const CheckRequest request = parse(options, words);
    options.output->json()["dry_run"] = options.dry_run;
    if (const std::optional<std::string> descriptor = descriptor_of(real_doors().files, request.operand)) {
        return check_disk(options, request, *descriptor);
    }
    return check_file(options, request);
}

int run_fsck(Options& options, const std::vector<std::string>& words) {
    options.output->warn("WARNING: ploop fsck is the old name of ploop check");
    return run_check(options, words);
}

} // namespace disktool::ploop::cli

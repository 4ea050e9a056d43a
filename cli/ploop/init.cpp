// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_disk.h"
#include "new_filesystem.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {
constexpr std::uint64_t largest_with_filesystem = (std::uint64_t{16} << 40) / 512; ///< sectors
} // namespace

int run_init(Options& options, const std::vector<std::string>& words) {
    InitRequest request;
    NewFilesystem filesystem;
    CommandLine line(options, words, "s:b:B:f:t:v:nk:", {{"nolazy", false, 'n'}});
    while (const char letter = line.next()) {
        switch (letter) {
        case 's':
            request.disk_sectors = parse_size("-s", line.value());
            break;
        case 'b':
            if (const std::uint32_t sectors = parse_number("-b", line.value()); sectors != 0) {
                request.cluster_sectors = sectors;
            }
            break;
        case 'B':
            if (const std::uint32_t bytes = parse_number("-B", line.value()); bytes != 0) {
                filesystem.block_size = bytes;
            }
            break;
        case 'f':
            request.mode = parse_format(line.value());
            break;
        case 't':
            filesystem.type = parse_filesystem(line.value());
            break;
        case 'v':
            request.version = parse_version(line.value());
            break;
        case 'n':
            filesystem.lazy = false;
            break;
        default:
            throw ParameterError(
                "Option -k: encryption is done by the original's kernel module, which this program does "
                "without; make the image without -k");
        }
    }
    request.image = line.operand();
    if (is_block_device(request.image)) {
        filesystem.cluster_sectors = request.cluster_sectors;
        return init_device(options, request.image, filesystem);
    }
    if (request.disk_sectors == 0) {
        throw UsageError("");
    }
    if (filesystem.type != "none") {
        if (request.disk_sectors > largest_with_filesystem) {
            throw ParameterError(fmt::format(
                "{} sectors are too many for a file system: ext4 is made up to 16 TiB; with -t none "
                "the disk may be larger",
                request.disk_sectors));
        }
        filesystem.cluster_sectors = request.cluster_sectors;
        request.fill = [filesystem](StepContext& context, BlockDevice& disk, const std::string& scratch) {
            make_filesystem(context, disk, scratch, filesystem);
        };
        request.fill_text = make_filesystem_text(filesystem);
    }
    Plan plan = plan_init(real_doors(), request, say_of(options));
    options.output->json()["image"] = request.image;
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli

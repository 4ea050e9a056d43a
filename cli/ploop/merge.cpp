// SPDX-License-Identifier: LGPL-2.1-or-later
// The low-level form: image files by their names, no descriptor; or those of a running device by their levels.
#include "command.h"
#include "merge_request.h"
#include "merge_words.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

/// As snapshot-merge, with distances from the base in the place of uuids.
int merge_running(const Options& options, const std::string& node, const std::optional<Levels>& levels,
                  const std::string& new_file) {
    const DeviceState device = device_of_word(node);
    if (device.descriptor.empty()) {
        throw ParameterError(
            fmt::format("{} runs without a DiskDescriptor.xml, so nothing could tell afterwards which of its "
                        "files still belong to it: unmount it (ploop umount -d {}), and merge its files by "
                        "their names",
                        device.node, device.node));
    }
    const Descriptor descriptor = Descriptor::load(real_doors().files, device.descriptor);
    const std::vector<Uuid> chain = descriptor.chain(descriptor.top);
    const std::size_t top = chain.size() - 1;
    const Levels wanted = levels.value_or(Levels{0, top});
    if (top == 0) {
        throw ParameterError(
            fmt::format("{} has a single image, {}: there is nothing to merge", device.node, device.disk));
    }
    if (wanted.high > top) {
        throw ParameterError(
            fmt::format("{} has the levels 0 to {}, and no {}", device.node, top, wanted.high));
    }
    MergeRequest request;
    request.uuid = chain[wanted.high];
    request.range_end = chain[wanted.low];
    request.new_file = new_file;
    return carry_out(options, device, merge_request(request));
}

int merge_files(const Options& options, const std::vector<std::string>& deltas, const std::string& new_file,
                bool raw_base) {
    for (const std::string& delta : deltas) {
        if (ends_in_xml(delta)) {
            throw ParameterError(fmt::format(
                "{}: ploop merge takes image files; for a DiskDescriptor.xml there is ploop snapshot-merge",
                delta));
        }
    }
    if (deltas.size() < 2) {
        throw UsageError("");
    }
    for (const std::string& delta : deltas) {
        refuse_running_image(delta, Exit::dirty);
    }
    Plan plan = plan_merge_files(real_doors(), deltas, new_file, raw_base, say_of(options));
    return carry_out(options, plan);
}

} // namespace

int run_merge(Options& options, const std::vector<std::string>& words) {
    std::string new_file, node;
    std::optional<Levels> levels;
    bool raw_base = false;
    CommandLine line(options, words, "f:d:l:n:u:A");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'f':
            raw_base = parse_format(line.value()) == DiskMode::raw;
            break;
        case 'd':
            node = line.value();
            break;
        case 'l':
            levels = parse_levels(line.value());
            break;
        case 'n':
            new_file = line.value();
            break;
        default:
            throw UsageError(fmt::format(
                "Option -{} is of ploop snapshot-merge, which works on a DiskDescriptor.xml", letter));
        }
    }
    if (node.empty() && levels) {
        throw UsageError("Option -l names images of the running device that -d names: give both");
    }
    if (node.empty()) {
        return merge_files(options, line.operands(), new_file, raw_base);
    }
    line.operands(0);
    return merge_running(options, node, levels, new_file);
}

} // namespace disktool::ploop::cli

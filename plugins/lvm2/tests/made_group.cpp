// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_group.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace disktool::lvm2::test {

namespace dt = disktool::test;
namespace fs = std::filesystem;

namespace {

std::string trimmed(std::string text) {
    text.erase(0, std::min(text.find_first_not_of(" \n"), text.size()));
    text.erase(text.find_last_not_of(" \n") + 1);
    return text;
}

/// The place behind the } that ends the section whose name starts at `at`.
std::size_t section_end(const std::string& text, std::size_t at) {
    int depth = 0;
    for (; at < text.size(); ++at) {
        if (text[at] == '{')
            ++depth;
        if (text[at] == '}' && --depth == 0)
            return at + 1;
    }
    throw std::runtime_error("a section does not end");
}

} // namespace

MadeGroup::MadeGroup(std::vector<std::uint64_t> sizes, std::uint64_t before) {
    try {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            std::ofstream(path(i)).close();
            fs::resize_file(path(i), before + sizes[i]);
            loops_.push_back(trimmed(
                dt::run_tool({"losetup", "--find", "--show", "--offset", std::to_string(before), path(i)})));
        }
    } catch (...) {
        detach();
        throw;
    }
}

MadeGroup::~MadeGroup() {
    detach();
}

void MadeGroup::detach() {
    for (const std::string& loop : loops_)
        dt::result_of({"losetup", "--detach", loop});
}

std::string MadeGroup::path(std::size_t number) const {
    return folder_ / fmt::format("disk{}.img", number);
}

std::vector<std::string> MadeGroup::command(const std::string& words) const {
    std::string filter;
    for (const std::string& loop : loops_)
        filter += fmt::format("\"a|^{}$|\", ", loop);
    const std::string config = fmt::format(
        "devices {{ scan=[\"/dev\"] filter=[{}\"r|.*|\"] use_devicesfile=0 obtain_device_list_from_udev=0 "
        "external_device_info_source=\"none\" }} global {{ activation=0 use_lvmpolld=0 use_lvmlockd=0 "
        "event_activation=0 locking_dir=\"{}\" }} backup {{ backup=0 archive=0 }} "
        "activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}",
        filter, folder_ / "lock");
    std::vector<std::string> result = {"env", "LVM_SUPPRESS_FD_WARNINGS=1",
                                       "LVM_SYSTEM_DIR=" + folder_ / "system", "lvm"};
    std::istringstream stream(words);
    for (std::string word; stream >> word;) {
        if (word == "@")
            word = loops_.front();
        else if (word.size() == 2 && word[0] == '@')
            word = loops_.at(static_cast<std::size_t>(word[1] - '0'));
        result.push_back(word);
        if (result.size() == 5)
            result.insert(result.end(), {"--config", config});
    }
    return result;
}

std::string MadeGroup::lvm(const std::string& words) {
    return dt::run_tool(command(words));
}

bool MadeGroup::lvm_takes(const std::string& words) {
    return dt::exit_status_of(command(words)) == 0;
}

void MadeGroup::create(const std::string& physical, const std::string& group) {
    std::string all;
    for (const std::string& loop : loops_)
        all += " " + loop;
    lvm("pvcreate -y " + physical + all);
    lvm("vgcreate -y vg " + group + all);
}

void MadeGroup::volume(const std::string& name, int extents) {
    lvm(fmt::format("lvcreate -an -Zn -Wn -y -n {} -l {} vg", name, extents));
}

std::string MadeGroup::field(const std::string& command_name, const std::string& name) {
    return trimmed(lvm(fmt::format("{} --noheadings --nosuffix --units b -o {}", command_name, name)));
}

void MadeGroup::edit(const std::function<void(std::string&)>& change) {
    const std::string file = beside("metadata");
    lvm("vgcfgbackup -f " + file + " vg");
    std::string text = dt::read_file(file);
    change(text);
    dt::write_file(file, text);
    lvm("vgcfgrestore --force --yes -f " + file + " vg");
}

void MadeGroup::replace_volumes(const std::string& text) {
    edit([&](std::string& metadata) {
        std::size_t at = metadata.find("logical_volumes {");
        if (at != std::string::npos) {
            metadata.erase(at, section_end(metadata, at) - at);
        } else {
            at = section_end(metadata, metadata.find("physical_volumes {"));
        }
        metadata.insert(at, "\nlogical_volumes {\n" + text + "}\n");
    });
}

const Volume& Opened::operator[](const std::string& name) const {
    for (const Volume& volume : volumes->volumes())
        if (volume.name == name)
            return volume;
    throw std::runtime_error("no volume " + name);
}

std::string segment_text(int number, int first, int count, const std::string& rest) {
    return fmt::format("segment{} {{\nstart_extent = {}\nextent_count = {}\n{}}}\n", number, first, count,
                       rest);
}

std::string striped_text(const std::string& areas, int stripes, int stripe_sectors) {
    return fmt::format("type = \"striped\"\nstripe_count = {}\n{}stripes = [ {} ]\n", stripes,
                       stripes > 1 ? fmt::format("stripe_size = {}\n", stripe_sectors) : "", areas);
}

std::string volume_text(const std::string& name, const std::vector<std::string>& segments,
                        const std::string& status, const std::string& flags) {
    static int serial = 0;
    std::string text = fmt::format("{} {{\nid = \"abcdef-0123-4567-89ab-cdef-0123-{:06}\"\nstatus = [{}]\n"
                                   "flags = [{}]\nsegment_count = {}\n",
                                   name, ++serial, status, flags, segments.size());
    for (const std::string& segment : segments)
        text += segment;
    return text + "}\n";
}

} // namespace disktool::lvm2::test

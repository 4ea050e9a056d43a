// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scenario.h"

#include "support/run.h"
#include "verb/convert.h"
#include "verb/merge.h"
#include "verb/resize.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <stdexcept>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

const std::string images = DISKTOOL_SOURCE_DIR "/tests/images/";

void make_disk(const fs::path& folder, const fs::path& notes, const std::string& name,
               std::vector<std::string> how) {
    std::vector<std::string> command{"bash", images + "make-disk.sh", (notes / name).string()};
    command.insert(command.end(), how.begin(), how.end());
    run_tool(command);
    run_tool({"mv", (notes / name).string(), (folder / name).string()});
}

std::uint64_t size_of(const std::string& image) {
    const std::string text = run_tool({"qemu-img", "info", "-f", "qcow2", "--output=json", image});
    const std::size_t at = text.find("\"virtual-size\": ");
    return std::stoull(text.substr(at + 16));
}

/// The files of the file system in it, by other people's tools; and the disk's size.
void check_disk(const std::string& image, const fs::path& notes, std::uint64_t size, bool leaks_allowed) {
    const std::string offset = read_file((notes / "disk.qcow2.offset").string());
    run_tool({"bash", images + "check-disk.sh", image, (notes / "disk.qcow2.sha256").string(),
              std::to_string(std::stoull(offset)), leaks_allowed ? "leaks" : ""});
    if (size_of(image) != size) {
        throw std::runtime_error(fmt::format("{} bytes instead of {}", size_of(image), size));
    }
}

auto whole_disk_of(std::uint64_t size) {
    return [size](const std::string& image, const fs::path& notes, bool leaks_allowed) {
        check_disk(image, notes, size, leaks_allowed);
    };
}

/// As the command line does: what an interrupted job left is mended first.
struct Opened {
    Opened(Doors doors, const std::string& image, bool whole_chain = false)
        : session(open_session(doors, image, Access::write, whole_chain)), context{*session,
                                                                                   Engine::native,
                                                                                   nullptr,
                                                                                   {}} {
        recover_job(*session, {}, true);
        if (whole_chain) {
            session->reopen_chain(true);
        }
    }
    std::unique_ptr<Session> session;
    VerbContext context;
};

std::function<void(Doors, const std::string&)> resize(std::uint64_t mib, bool partition) {
    return [=](Doors doors, const std::string& image) {
        Opened opened(doors, image);
        ResizePlan resize = plan_resize(opened.context, {.new_size = mib * MiB, .resize_partition = partition});
        run_job(*opened.session, resize.plan, {});
    };
}

Scenario resize_of(const std::string& name, std::vector<std::string> disk, std::uint64_t mib, bool partition) {
    Scenario scenario;
    scenario.name = name;
    scenario.make = [disk](const fs::path& folder, const fs::path& notes) {
        make_disk(folder, notes, top_name, disk);
    };
    scenario.run = resize(mib, partition);
    scenario.verify = whole_disk_of(mib * MiB);
    scenario.uses_programs = partition;
    return scenario;
}

/// By ntfsresize, after which Windows must check the volume before it is resized again.
Scenario resize_of_ntfs(const std::string& name, const std::string& table, std::uint64_t from,
                        std::uint64_t to) {
    Scenario scenario;
    scenario.name = name;
    scenario.make = [=](const fs::path& folder, const fs::path& notes) {
        const std::string made = (notes / top_name).string();
        run_tool({"bash", images + "make-fs-disk.sh", made, "ntfs", table, std::to_string(from)});
        run_tool({"mv", made, (folder / top_name).string()});
    };
    scenario.run = [=](Doors doors, const std::string& image) {
        if (size_of(image) != to * MiB) {
            resize(to, true)(doors, image);
        }
    };
    scenario.verify = [=](const std::string& image, const fs::path& notes, bool leaks_allowed) {
        run_tool({"bash", images + "check-fs-disk.sh", image,
                  (notes / (std::string(top_name) + ".sha256")).string(), "ntfs",
                  leaks_allowed ? "leaks" : ""});
        if (size_of(image) != to * MiB) {
            throw std::runtime_error(fmt::format("{} bytes instead of {} MiB", size_of(image), to));
        }
    };
    scenario.uses_programs = true;
    return scenario;
}

void write_pattern(const std::string& image, int pattern, std::uint64_t kib, std::uint64_t length_kib) {
    run_tool(
        {"qemu-io", "-f", "qcow2", "-c", fmt::format("write -P {} {}k {}k", pattern, kib, length_kib), image});
}

void overlay(const fs::path& folder, const std::string& name, const std::string& base,
             const std::string& options, const std::string& size) {
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, "-o", options,
              (folder / name).string(), size});
}

} // namespace

Registry& registry() {
    static Registry all(plugin_search_path({}));
    return all;
}

std::unique_ptr<Session> open_session(Doors doors, const std::string& image, Access access, bool whole_chain) {
    OpenOptions options;
    options.access = access;
    options.whole_chain = whole_chain;
    return Session::open(doors, registry(), image, options);
}

std::vector<Scenario> resize_scenarios() {
    const std::vector<std::string> gpt{"table=gpt", "size=48", "big=2", "small=20"};
    const std::vector<std::string> logical{"table=logical", "size=48", "big=2", "small=20"};
    const std::vector<std::string> old{"table=mbr", "size=48", "big=2", "small=20", "compat=0.10"};
    const std::vector<std::string> bitmap{"table=none", "size=48", "big=2", "small=20", "cluster=4096"};
    return {
        resize_of("GrowGpt", gpt, 72, false),
        resize_of("GrowLogicalSmallClusters", {"table=logical", "size=32", "big=1", "small=10", "cluster=512"},
                  80, false),
        resize_of("CutGpt", {"table=gpt", "size=48", "big=2", "small=20"}, 47, true),
        resize_of("GrowPartitionGpt", gpt, 64, true),
        resize_of("ShrinkPartitionGpt", gpt, 32, true),
        resize_of("ShrinkPartitionLogical", logical, 36, true),
        resize_of("ShrinkPartitionVersion2", old, 36, true),
        resize_of("GrowPartitionNone", bitmap, 60, true),
        resize_of_ntfs("ShrinkPartitionNtfs", "gpt", 160, 132),
    };
}

std::vector<Scenario> merge_scenarios() {
    std::vector<Scenario> all;
    const auto snapshots = [](std::vector<std::string> disk) {
        return [disk](const fs::path& folder, const fs::path& notes) {
            make_disk(folder, notes, top_name, disk);
            const std::string image = (folder / top_name).string();
            for (int i = 1; i <= 3; ++i) {
                run_tool({"qemu-img", "snapshot", "-c", fmt::format("s{}", i), image});
                write_pattern(image, i, 30 << 10, 512 + 256 * i); // free space of the file system
            }
        };
    };
    Scenario internal;
    internal.name = "Snapshots";
    internal.make = snapshots({"table=gpt", "size=48", "big=2", "small=20"});
    internal.run = [](Doors doors, const std::string& image) {
        Opened opened(doors, image);
        Plan plan = plan_merge_snapshots(opened.context);
        run_job(*opened.session, plan, {});
    };
    internal.verify = whole_disk_of(48 * MiB);
    all.push_back(internal);
    internal.name = "SnapshotsVersion2";
    internal.make = snapshots({"table=mbr", "size=48", "big=2", "small=20", "cluster=4096", "compat=0.10"});
    all.push_back(internal);

    Scenario external;
    external.run = [](Doors doors, const std::string& image) {
        Opened opened(doors, image, true);
        ExternalMergePlan merge = plan_merge_external(opened.context, {});
        run_job(*opened.session, merge.plan, {});
    };
    external.verify = whole_disk_of(56 * MiB);
    // Little on a large base.
    external.name = "IntoBase";
    external.make = [](const fs::path& folder, const fs::path& notes) {
        make_disk(folder, notes, top_name, {"table=mbr", "size=40", "big=2", "small=20"});
        fs::rename(folder / top_name, folder / "base.qcow2");
        overlay(folder, "middle.qcow2", "base.qcow2", "cluster_size=4k", "48M");
        write_pattern((folder / "middle.qcow2").string(), 0x11, 39 << 10, 3072);
        overlay(folder, top_name, "middle.qcow2", "cluster_size=64k", "56M");
        write_pattern((folder / top_name).string(), 0x22, 41 << 10, 512);
        write_pattern((folder / top_name).string(), 0x33, 50 << 10, 1536);
    };
    all.push_back(external);
    // Much on a small base.
    external.name = "IntoTop";
    external.make = [](const fs::path& folder, const fs::path& notes) {
        make_disk(folder, notes, top_name, {"table=none", "size=24", "big=1", "small=10"});
        const auto note = [&](const char* name) { return (notes / name).string(); };
        run_tool({"qemu-img", "convert", "-O", "raw", (folder / top_name).string(), note("whole")});
        fs::remove(folder / top_name);
        run_tool({"dd", "status=none", "bs=1M", "count=4", "if=" + note("whole"), "of=" + note("first")});
        run_tool({"dd", "status=none", "bs=1M", "skip=4", "if=" + note("whole"), "of=" + note("rest")});
        run_tool({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "compat=0.10", note("first"),
                  (folder / "base.qcow2").string()});
        overlay(folder, "middle.qcow2", "base.qcow2", "cluster_size=4k", "44M");
        write_pattern((folder / "middle.qcow2").string(), 0x55, 41 << 10, 512);
        overlay(folder, top_name, "middle.qcow2", "cluster_size=16k", "56M");
        run_tool({"qemu-io", "-f", "qcow2", "-c", fmt::format("write -s {} 4M 20M", note("rest")),
                  (folder / top_name).string()});
    };
    all.push_back(external);
    return all;
}

std::vector<Scenario> convert_scenarios() {
    std::vector<Scenario> all;
    Scenario scenario;
    const auto disk = [](std::vector<std::string> how) {
        return
            [how](const fs::path& folder, const fs::path& notes) { make_disk(folder, notes, top_name, how); };
    };
    scenario.make = disk({"table=gpt", "size=32", "big=2", "small=20"});
    scenario.verify = whole_disk_of(32 * MiB);
    scenario.name = "Plain";
    scenario.run = [](Doors doors, const std::string& image) {
        Opened opened(doors, image);
        Plan plan = plan_convert_to_plain(opened.context);
        run_job(*opened.session, plan, {});
    };
    all.push_back(scenario);

    scenario.frees_in_stages = true;
    scenario.name = "Expanding";
    scenario.make = [disk](const fs::path& folder, const fs::path& notes) {
        disk({"table=gpt", "size=32", "big=2", "small=20", "options=preallocation=falloc"})(folder, notes);
        write_pattern((folder / top_name).string(), 0, 20 << 10, 4096);
    };
    scenario.run = [](Doors doors, const std::string& image) {
        Opened opened(doors, image);
        Plan plan = plan_convert_to_expanding(opened.context);
        run_job(*opened.session, plan, {});
    };
    all.push_back(scenario);

    scenario.frees_in_stages = false;
    scenario.name = "Format";
    scenario.make = disk({"table=gpt", "size=32", "big=2", "small=20"});
    scenario.output = "copy.qcow2";
    scenario.run = [](Doors doors, const std::string& image) {
        const std::unique_ptr<Session> session = open_session(doors, image, Access::read);
        VerbContext context{*session, Engine::native, nullptr, {}};
        Plan plan = plan_convert_format(
            context, {"qcow2", (fs::path(image).parent_path() / "copy.qcow2").string(), true});
        run_job(*session, plan, {});
    };
    all.push_back(scenario);
    return all;
}

} // namespace disktool::test

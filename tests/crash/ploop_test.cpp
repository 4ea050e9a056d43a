// SPDX-License-Identifier: LGPL-2.1-or-later
// Ploop disks: every verb that changes one, killed and failing at each of its changes. The disk is first read
// as it lies, then opened for writing (which puts right what a kill left), then the verb runs again.
#include "descriptor_lock.h"
#include "image/session.h"
#include "operations.h"
#include "plan/job.h"
#include "scenario.h"
#include "support/crash_states.h"
#include "support/run.h"
#include "verb/compact.h"
#include "verb/resize.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <set>
#include <thread>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

using ploop::DiskMode;
using ploop::PloopDisk;
using ploop::Uuid;

const std::string descriptor_name = "DiskDescriptor.xml";
constexpr std::uint32_t cluster_sectors = 64;
constexpr std::uint64_t cluster = cluster_sectors * 512;

struct PloopScenario {
    std::string name;
    std::function<void(const fs::path& folder)> make;
    std::function<void(Doors doors, const std::string& xml)> run;
    /// The disk has another size or content afterwards; else only its files change.
    bool guest_sees_change = false;
    /// What holds, too, once the disk was opened for writing.
    std::function<void(const PloopDisk& disk)> recovered{};
    friend void PrintTo(const PloopScenario& scenario, std::ostream* out) { *out << scenario.name; }
};

void run_plan_of(Doors doors, Plan plan) {
    ploop::run_plan(plan, doors, nullptr, {});
}

std::unique_ptr<PloopDisk> open_disk(Doors doors, const std::string& xml) {
    return PloopDisk::open(doors, xml, {});
}

void init(const fs::path& folder, std::uint64_t clusters, DiskMode mode,
          ploop::Version version = ploop::Version::v2) {
    ploop::InitRequest request;
    request.image = (folder / "root.hdd").string();
    request.disk_sectors = clusters * cluster_sectors;
    request.mode = mode;
    request.version = version;
    request.cluster_sectors = cluster_sectors;
    run_plan_of(real_doors(), ploop::plan_init(real_doors(), request, [](const std::string&) {}));
}

/// Every `step`th cluster from `first` on, with content of its own.
void fill(const fs::path& folder, std::uint64_t first, std::uint64_t step, unsigned seed) {
    const auto disk = open_disk(real_doors(), (folder / descriptor_name).string());
    const auto chain = disk->open_chain(disk->descriptor.top, Access::write);
    chain->begin();
    std::mt19937 random(seed);
    std::vector<std::byte> data(cluster);
    for (std::uint64_t at = first * cluster; at < chain->size(); at += step * cluster) {
        std::generate(data.begin(), data.end(), [&] { return static_cast<std::byte>(random()); });
        chain->write(at, data);
    }
    chain->end();
}

constexpr Range unused{20 * cluster, 25 * cluster};

/// Clusters that are allocated and hold nothing, as a file system leaves them: whether they are freed or not,
/// the disk reads the same.
void fill_unused(const fs::path& folder) {
    const auto disk = open_disk(real_doors(), (folder / descriptor_name).string());
    const auto chain = disk->open_chain(disk->descriptor.top, Access::write);
    chain->begin();
    const std::vector<std::byte> zeros(unused.length);
    chain->write(unused.offset, zeros);
    chain->end();
}

/// Frees those clusters, moves the tail into the holes and cuts the file.
void compact(Doors doors, const std::string& xml) {
    OpenOptions options;
    options.access = Access::write;
    const auto session = Session::open(doors, registry(), xml, options);
    recover_job(*session, {}, true);
    Plan plan("compact", session->path());
    session->image().plan_compact(plan, ExtentSet::from_unsorted({unused}));
    run_job(*session, plan, {});
}

void snapshot(const fs::path& folder, const std::string& uuid) {
    const auto disk = open_disk(real_doors(), (folder / descriptor_name).string());
    run_plan_of(real_doors(), ploop::plan_snapshot(*disk, {Uuid::parse(uuid), {}}));
}

/// Equal for disks that read the same.
std::vector<std::byte> content_of(const std::string& xml) {
    ploop::DiskOptions options;
    options.access = Access::read;
    const auto disk = PloopDisk::open(real_doors(), xml, options);
    std::vector<std::unique_ptr<ploop::Delta>> deltas;
    for (const Uuid& uuid : disk->descriptor.chain(disk->descriptor.top)) {
        const bool raw = disk->descriptor.image(uuid)->raw;
        auto file = real_doors().files.open(disk->file_of(uuid), {});
        // In use is how a kill leaves it: whoever reads it all the same must see a whole disk.
        deltas.push_back(
            raw ? ploop::Delta::open_raw(std::move(file), Access::read, disk->descriptor.cluster_sectors)
                : ploop::Delta::open(std::move(file), Access::read, true));
    }
    ploop::ChainDevice chain(std::move(deltas), xml);
    // The size, and the clusters that are not zero with their numbers: a disk may be large and nearly empty.
    std::vector<std::byte> content;
    const auto append = [&](std::uint64_t number) {
        const auto bytes = std::as_bytes(std::span(&number, 1));
        content.insert(content.end(), bytes.begin(), bytes.end());
    };
    append(chain.size());
    std::vector<std::byte> data(cluster);
    std::uint64_t next = 0; // holes of a raw file need not keep to clusters
    for (const Extent& extent : chain.extents({0, chain.size()})) {
        for (std::uint64_t at = std::max(next, round_down(extent.range.offset, cluster));
             extent.kind == ExtentKind::data && at < extent.range.end(); at += cluster) {
            chain.read(at, data);
            if (!all_zero(data)) {
                append(at);
                content.insert(content.end(), data.begin(), data.end());
            }
            next = at + cluster;
        }
    }
    return content;
}

/// The switch of a whole BAT has begun: whoever knows the format refuses the image until it is finished.
bool is_converting(const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string bytes = read_file(entry.path().string()).substr(0, ploop::header_size);
        if (bytes.size() == ploop::header_size && bytes.starts_with("Withou") &&
            (static_cast<unsigned char>(bytes[52]) & ploop::flag_converting) != 0) {
            return true;
        }
    }
    return false;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (!name.ends_with(".lck")) {
            names.push_back(name);
        }
    }
    std::ranges::sort(names);
    return names;
}

/// Image files may have random names: how many there are of which kind.
std::vector<std::string> kinds_in(const fs::path& folder) {
    std::vector<std::string> kinds = names_in(folder);
    for (std::string& name : kinds) {
        name = name.substr(0, name.find('{'));
    }
    return kinds;
}

void resize(Doors doors, const std::string& xml, std::uint64_t clusters) {
    OpenOptions options;
    options.access = Access::write;
    const auto session = Session::open(doors, registry(), xml, options);
    recover_job(*session, {}, true);
    VerbContext context{*session, Engine::native, nullptr, {}};
    ResizePlan plan = plan_resize(context, {.new_size = clusters * cluster, .discard_tail = true});
    run_job(*session, plan.plan, {});
}

auto make_plain(std::uint64_t clusters, ploop::Version version = ploop::Version::v2) {
    return [=](const fs::path& folder) {
        init(folder, clusters, DiskMode::expanded, version);
        fill(folder, 1, 3, 1);
        fill(folder, 2, 5, 2);
    };
}

void make_chain(const fs::path& folder) {
    init(folder, 60, DiskMode::expanded);
    fill(folder, 0, 4, 1);
    snapshot(folder, "{11111111-1111-1111-1111-111111111111}");
    fill(folder, 1, 5, 2);
    snapshot(folder, "{22222222-2222-2222-2222-222222222222}");
    fill(folder, 2, 7, 3);
}

/// With a GPT, which moves with the end of the disk.
void make_raw(const fs::path& folder) {
    init(folder, 60, DiskMode::raw);
    fill(folder, 5, 3, 1);
    run_tool({"sgdisk", "-a", "1", "-n", "1:512:1535", (folder / "root.hdd").string()});
}

void make_raw_chain(const fs::path& folder) {
    make_raw(folder);
    snapshot(folder, "{11111111-1111-1111-1111-111111111111}");
    fill(folder, 6, 5, 2);
}

void has_one_version(const PloopDisk& disk) {
    std::set<ploop::Version> versions;
    for (const ploop::ImageEntry& entry : disk.descriptor.images) {
        versions.insert(disk.open_delta(entry.uuid, Access::read)->header().version);
    }
    EXPECT_EQ(versions.size(), 1u);
}

void has_no_tail(const PloopDisk& disk) {
    EXPECT_FALSE(disk.open_delta(disk.descriptor.top, Access::read)->has_tail());
}

template <typename PlanOf>
auto by_plan(PlanOf plan_of) {
    return [plan_of](Doors doors, const std::string& xml) {
        const auto disk = open_disk(doors, xml);
        run_plan_of(doors, plan_of(*disk));
    };
}

std::vector<PloopScenario> scenarios() {
    const auto to_mode = [](DiskMode mode) {
        return by_plan([mode](PloopDisk& disk) { return ploop::plan_convert_mode(disk, mode); });
    };
    const auto to_version = [](ploop::Version version) {
        return by_plan([version](PloopDisk& disk) { return ploop::plan_convert_version(disk, version); });
    };
    const auto resize_to = [](std::uint64_t clusters) {
        return [clusters](Doors doors, const std::string& xml) { resize(doors, xml, clusters); };
    };
    return {
        {"GrowLongerTable", make_plain(60), resize_to(8'200), true},
        {"GrowVersion1", make_plain(60, ploop::Version::v1), resize_to(100), true},
        {"GrowChain", make_chain, resize_to(90), true},
        {"ShrinkTail", make_plain(60), resize_to(31), true},
        {"GrowRaw", make_raw, resize_to(90), true},
        {"ShrinkRaw", make_raw, resize_to(50), true},
        {"GrowSnapshotOfRaw", make_raw_chain, resize_to(90), true},
        {"ShrinkSnapshotOfRaw", make_raw_chain, resize_to(50), true},
        {"Compact",
         [](const fs::path& folder) {
             init(folder, 60, DiskMode::expanded);
             fill_unused(folder);
             for (std::uint64_t number = 45; number < 60; number += 2) {
                 fill(folder, number, 60, static_cast<unsigned>(number));
             }
         },
         compact},
        {"CompactChain",
         [](const fs::path& folder) {
             init(folder, 60, DiskMode::expanded);
             fill(folder, 0, 60, 1);
             snapshot(folder, "{11111111-1111-1111-1111-111111111111}");
             fill_unused(folder);
             fill(folder, 50, 3, 2);
         },
         compact},
        {"ToRaw", make_plain(60), to_mode(DiskMode::raw)},
        {"FromRaw",
         [](const fs::path& folder) {
             init(folder, 60, DiskMode::raw);
             fill(folder, 1, 3, 1);
         },
         to_mode(DiskMode::expanded)},
        {"ToPreallocated", make_plain(60), to_mode(DiskMode::preallocated), false, has_no_tail},
        {"ToVersion1", make_chain, to_version(ploop::Version::v1), false, has_one_version},
        {"SnapshotMergeAll", make_chain,
         [](Doors doors, const std::string& xml) {
             const auto disk = open_disk(doors, xml);
             if (disk->descriptor.images.size() > 1) {
                 run_plan_of(doors, ploop::plan_snapshot_merge(
                                        *disk, {.uuid = {}, .range_end = {}, .all = true, .new_file = ""}));
             }
         }},
    };
}

class PloopVerb : public testing::TestWithParam<PloopScenario> {
  protected:
    void SetUp() override {
        set_log_receiver([](LogLevel, std::string_view) {});
        GetParam().make(folder.path());
        before = content_of(folder / descriptor_name);
        copy(saved.path(), folder.path());
    }
    void TearDown() override { set_log_receiver({}); }

    static void copy(const fs::path& target, const fs::path& source) {
        for (const auto& entry : fs::directory_iterator(target)) {
            fs::remove_all(entry.path());
        }
        run_tool({"cp", "-a", "--", (source / ".").string(), target.string()});
    }

    void find_after() {
        after = content_of(folder / descriptor_name);
        EXPECT_EQ(GetParam().guest_sees_change, before != after);
        kinds = kinds_in(folder.path());
    }

    bool old_or_new(const std::vector<std::byte>& content) {
        const bool is_new = content == after;
        (is_new ? new_ones : old_ones)++;
        return is_new || content == before;
    }

    void judge(const fs::path& state) {
        const std::string xml = (state / descriptor_name).string();
        if (!is_converting(state)) {
            EXPECT_NO_THROW(EXPECT_TRUE(old_or_new(content_of(xml))) << "as it lies");
        }
        try {
            if (GetParam().recovered) {
                GetParam().recovered(*open_disk(real_doors(), xml));
            }
            GetParam().run(real_doors(), xml);
            EXPECT_EQ(content_of(xml), after) << "after another run";
        } catch (const std::exception& error) {
            ADD_FAILURE() << "another run: " << error.what();
        }
        EXPECT_EQ(testing::PrintToString(kinds_in(state)), testing::PrintToString(kinds));
    }

    TemporaryFolder folder, saved, left;
    std::vector<std::byte> before, after;
    std::vector<std::string> kinds;
    int old_ones = 0, new_ones = 0;
};

TEST_P(PloopVerb, CutAnywhereLeavesOldOrNew) {
    RecordingDoor door(folder.path());
    GetParam().run({door, real_doors().processes}, folder / descriptor_name);
    find_after();
    CrashStates states(door);
    std::set<std::uint64_t> seen;
    const std::vector<std::size_t> cuts = door.cuts();
    const std::size_t step = std::max<std::size_t>(1, cuts.size() / 300);
    for (std::size_t i = 0; i < cuts.size(); i += step) {
        SCOPED_TRACE(door.describe(cuts[i]));
        states.advance(cuts[i]);
        const auto look = [&](Survivors survivors, std::uint32_t seed) {
            const FolderState state = states.state(survivors, seed);
            if (seen.insert(state.signature()).second) {
                SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors) << " " << seed);
                states.store(state, left.path());
                judge(left.path());
            }
        };
        look(Survivors::all, 0);
        look(Survivors::torn, 0);
        look(Survivors::synced, 0);
        look(Survivors::random, static_cast<std::uint32_t>(i));
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(old_ones + new_ones, 5);
    std::printf("%zu changes, %zu states\n", door.changes().size(), seen.size());
}

TEST_P(PloopVerb, FailingAnywhereLeavesOldOrNew) {
    const std::string xml = folder / descriptor_name;
    std::vector<std::string> changes;
    {
        RecordingDoor door(folder.path());
        GetParam().run({door, real_doors().processes}, xml);
        for (std::size_t done = 1; done <= door.changes().size(); ++done) {
            changes.push_back(door.describe(done));
        }
    }
    find_after();
    const std::size_t step = std::max<std::size_t>(1, changes.size() / 100);
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed && !HasFailure(); number += sync ? 1 : step) {
            copy(folder.path(), saved.path());
            SCOPED_TRACE(testing::Message()
                         << (sync ? "sync " : "change ") << number << " fails"
                         << (sync || number > changes.size() ? "" : ": " + changes[number - 1]));
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 != 0 ? ENOSPC : EIO);
            try {
                GetParam().run({door, real_doors().processes}, xml);
            } catch (const Error&) {
                EXPECT_TRUE(door.failed());
            }
            failed = door.failed();
            judge(folder.path());
        }
    }
}

TEST(PloopSession, AnImageThatGotASnapshotWhileWeWaitedIsNotWritten) {
    TemporaryFolder folder;
    make_plain(20)(folder.path());
    const std::string xml = folder / descriptor_name;
    auto lock =
        std::make_unique<ploop::DescriptorLock>(real_doors().files, xml, std::chrono::seconds(0), nullptr);
    std::string sentence = "it was opened";
    std::thread opening([&] {
        try {
            OpenOptions options;
            options.access = Access::write;
            Session::open(real_doors(), registry(), xml, options);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::locked);
            sentence = error.what();
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    ploop::Descriptor changed = ploop::Descriptor::load(real_doors().files, xml);
    {
        const auto file = real_doors().files.open(folder / "above", {.write = true, .create = true});
        ploop::Delta::create(*file, {20 * cluster_sectors, cluster_sectors, ploop::Version::v2, false});
    }
    changed.add_snapshot(Uuid::random(), "above");
    changed.store(real_doors().files, xml);
    lock.reset();
    opening.join();
    EXPECT_NE(sentence.find("was changed by another program"), std::string::npos) << sentence;
}

/// Killed when the descriptor named the new file: whoever opens it for writing works on the one that stays.
TEST(PloopSession, FollowsADiskWhoseFileIsChanging) {
    for (const bool raw : {false, true}) {
        TemporaryFolder folder, left;
        raw ? make_raw(folder.path()) : make_plain(60)(folder.path());
        RecordingDoor door(folder.path());
        const std::string xml = folder / descriptor_name;
        if (raw) {
            resize({door, real_doors().processes}, xml, 70);
        } else {
            const auto disk = open_disk({door, real_doors().processes}, xml);
            run_plan_of({door, real_doors().processes}, ploop::plan_convert_mode(*disk, DiskMode::raw));
        }
        int changing = 0;
        for (const std::size_t cut : door.cuts()) {
            door.materialise(cut, Survivors::all, left.path());
            const std::string text = read_file(left / descriptor_name);
            if (text.find(".disktool-") == std::string::npos) {
                continue;
            }
            ++changing;
            SCOPED_TRACE(door.describe(cut));
            fs::remove(left / "root.hdd.disktool-job"); // which tells of other inodes
            OpenOptions options;
            options.access = Access::write;
            const auto session = Session::open(real_doors(), registry(), left / descriptor_name, options);
            EXPECT_EQ(fs::path(session->path()).filename(), "root.hdd");
            EXPECT_EQ(session->image().info().virtual_size, (raw ? 70 : 60) * cluster);
            EXPECT_EQ(session->image().info().chain.size(), 1u);
        }
        EXPECT_GT(changing, 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Crash, PloopVerb, testing::ValuesIn(scenarios()),
                         [](const auto& scenario) { return scenario.param.name; });

} // namespace

} // namespace disktool::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Random work on a whole disk, by its verbs and with every cluster size, beside a plain list of what each
// snapshot must hold. A short run by default; DISKTOOL_MODEL_STEPS and DISKTOOL_MODEL_SEEDS make it a long one.
#include "made_disk.h"

#include <disktool/size.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

namespace disktool::ploop::operations_test {

namespace {

constexpr std::uint64_t block = 4096;
constexpr std::size_t most_snapshots = 8;

unsigned from_environment(const char* name, unsigned usual) {
    const char* text = std::getenv(name);
    return text == nullptr ? usual : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

/// What a disk holds: for each block a number that fills it, 0 for zeros.
using Tags = std::vector<std::uint32_t>;

void fill(std::span<std::byte> bytes, std::uint32_t tag) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof tag) {
        std::memcpy(bytes.data() + at, &tag, sizeof tag);
    }
}

/// None: it is not one number throughout.
std::optional<std::uint32_t> tag_of(std::span<const std::byte> bytes) {
    std::uint32_t tag = 0;
    std::memcpy(&tag, bytes.data(), sizeof tag);
    const bool even = std::memcmp(bytes.data(), bytes.data() + sizeof tag, bytes.size() - sizeof tag) == 0;
    return even ? std::optional(tag) : std::nullopt;
}

struct Setting {
    std::uint32_t cluster_sectors;
    DiskMode mode;
    Version version;
    unsigned steps;

    friend void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.cluster_sectors; }
};

class DiskModel {
  public:
    DiskModel(const Setting& setting, unsigned seed)
        : setting_(setting), random_(seed), unit_(setting.cluster_sectors * sector_size),
          path_(folder_ / "DiskDescriptor.xml") {
        const std::uint64_t clusters = unit_ > 4 * MiB ? 3 : 6 + number(10);
        InitRequest request;
        request.image = folder_ / "root.hds";
        request.disk_sectors = clusters * setting.cluster_sectors;
        request.mode = setting.mode;
        request.version = setting.version;
        request.cluster_sectors = setting.cluster_sectors;
        run(plan_init(real_doors(), request, [](const std::string&) {}));
        snapshots_[Uuid::top().lower()] = Tags(clusters * unit_ / block);
    }

    void step() {
        const unsigned dice = number(100);
        if (dice < 55) {
            change_content();
        } else if (dice < 68) {
            snapshot();
        } else if (dice < 77) {
            remove();
        } else if (dice < 88) {
            merge();
        } else if (dice < 94) {
            switch_to();
        } else if (dice < 97) {
            grow();
        } else {
            compare_all();
        }
    }

    void compare_all() {
        ASSERT_EQ(descriptor().snapshots.size(), snapshots_.size());
        for (const SnapshotEntry& entry : descriptor().snapshots) {
            ASSERT_NO_FATAL_FAILURE(compare(entry.uuid)) << entry.uuid.text();
        }
        expect_sound();
    }

    /// Down to one image, which another program reads, too.
    void finish() {
        compare_all();
        if (descriptor().snapshots.size() > 1) {
            const Uuid top = descriptor().top;
            const std::vector<Uuid> chain = descriptor().chain(top);
            for (bool removed = true; removed;) {
                removed = false;
                for (const SnapshotEntry& entry : descriptor().snapshots) {
                    if (std::ranges::find(chain, entry.uuid) == chain.end() &&
                        descriptor().children(entry.uuid).empty()) {
                        verb([&](PloopDisk& disk) { return plan_snapshot_delete(disk, entry.uuid); });
                        removed = true;
                        break;
                    }
                }
            }
            if (descriptor().snapshots.size() > 1) {
                verb([](PloopDisk& disk) {
                    return plan_snapshot_merge(disk,
                                               {.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
                });
            }
        }
        ASSERT_EQ(descriptor().snapshots.size(), 1u);
        compare(Uuid::top());
        expect_sound();
    }

  private:
    unsigned number(std::uint64_t below) { return static_cast<unsigned>(random_() % below); }
    Descriptor descriptor() const { return Descriptor::load(real_doors().files, path_); }
    Tags& top() { return snapshots_.at(Uuid::top().lower()); }
    Uuid any_snapshot() {
        const Descriptor now = descriptor();
        return now.snapshots[number(now.snapshots.size())].uuid;
    }

    /// False where it is refused (exit 38), which must change nothing.
    bool verb(const std::function<Plan(PloopDisk&)>& plan) {
        const auto opened = open_disk(path_);
        try {
            run(plan(*opened.disk));
            return true;
        } catch (const PloopError& error) {
            EXPECT_EQ(error.exit(), Exit::invalid_parameter) << error.what();
            return false;
        }
    }

    /// Those that are still there hold what they held.
    void forget_gone() {
        const Descriptor now = descriptor();
        std::erase_if(snapshots_, [&](const auto& known) {
            return std::ranges::none_of(
                now.snapshots, [&](const SnapshotEntry& entry) { return entry.uuid.lower() == known.first; });
        });
    }

    void change_content() {
        const auto opened = open_disk(path_);
        const auto chain = opened.disk->open_chain(Uuid::top(), Access::write);
        chain->begin();
        for (unsigned count = 1 + number(6); count > 0; --count) {
            const std::uint64_t blocks = top().size();
            const std::uint64_t first = number(blocks);
            const std::uint64_t most = number(2) == 0 ? 4 : 3 * unit_ / block;
            const std::uint64_t length = std::min<std::uint64_t>(1 + number(most), blocks - first);
            change(*chain, first, length, number(10));
        }
        if (number(4) == 0) {
            chain->flush();
        }
        chain->end();
    }

    void change(ChainDevice& chain, std::uint64_t first, std::uint64_t length, unsigned dice) {
        const Range range{first * block, length * block};
        const auto tags = std::span(top()).subspan(first, length);
        if (dice < 7) {
            const std::uint32_t tag = ++last_tag_;
            std::vector<std::byte> bytes(range.length);
            fill(bytes, tag);
            chain.write(range.offset, bytes);
            std::ranges::fill(tags, tag);
        } else if (dice < 9) {
            chain.zero(range);
            std::ranges::fill(tags, 0u);
        } else {
            chain.discard(range);
            // Zero or what it was, and it stays so.
            std::vector<std::byte> bytes(range.length);
            chain.read(range.offset, bytes);
            for (std::size_t i = 0; i < tags.size(); ++i) {
                const auto found = tag_of(std::span(bytes).subspan(i * block, block));
                ASSERT_TRUE(found && (*found == 0 || *found == tags[i])) << "block " << first + i;
                tags[i] = *found;
            }
        }
    }

    void snapshot() {
        if (snapshots_.size() >= most_snapshots) {
            return;
        }
        const Uuid uuid = Uuid::random();
        verb([&](PloopDisk& disk) { return plan_snapshot(disk, {.uuid = uuid, .bitmap = {}}); });
        snapshots_[uuid.lower()] = top();
    }

    void remove() {
        const Uuid uuid = any_snapshot();
        const Descriptor before = descriptor();
        if (before.children(uuid).size() > 1 || snapshots_.size() == 1) {
            return; // marked as temporary: of that there are tests
        }
        const Uuid parent = before.snapshot(uuid)->parent;
        if (!verb([&](PloopDisk& disk) { return plan_snapshot_delete(disk, uuid); })) {
            return;
        }
        if (uuid == before.top) {
            snapshots_.at(uuid.lower()) = snapshots_.at(parent.lower());
        }
        forget_gone();
    }

    void merge() {
        MergeRequest request;
        switch (number(4)) {
        case 0:
            request.all = true;
            break;
        case 1:
            request.uuid = any_snapshot();
            request.range_end = any_snapshot();
            break;
        case 2:
            request.uuid = any_snapshot();
            break;
        default:
            break;
        }
        if (number(4) == 0 && setting_.mode != DiskMode::raw) {
            request.new_file = folder_ / ("new." + std::to_string(++files_));
        }
        if (snapshots_.size() > 1 &&
            verb([&](PloopDisk& disk) { return plan_snapshot_merge(disk, request); })) {
            forget_gone();
        }
    }

    void switch_to() {
        const Uuid uuid = any_snapshot();
        if (uuid == Uuid::top()) {
            return;
        }
        verb([&](PloopDisk& disk) { return plan_snapshot_switch(disk, {uuid, false}); });
        top() = Tags(snapshots_.at(uuid.lower()));
    }

    void grow() {
        const std::uint64_t clusters = descriptor().disk_sectors / setting_.cluster_sectors;
        if (clusters >= (unit_ > 4 * MiB ? 5 : 40)) {
            return;
        }
        const std::uint64_t more = clusters + 1 + number(unit_ > 4 * MiB ? 1 : 5);
        if (verb([&](PloopDisk& disk) { return plan_grow(disk, more * setting_.cluster_sectors); })) {
            top().resize(more * unit_ / block);
        }
    }

    void compare(const Uuid& uuid) {
        DiskOptions options;
        options.access = Access::read;
        const auto disk = PloopDisk::open(real_doors(), path_, options);
        const auto chain = disk->open_chain(uuid, Access::read);
        const Tags& tags = snapshots_.at(uuid.lower());
        ASSERT_EQ(chain->size(), tags.size() * block);
        std::vector<std::byte> bytes(MiB);
        for (const Extent& extent : chain->extents({0, chain->size()})) {
            for (std::uint64_t at = extent.range.offset; at < extent.range.end(); at += bytes.size()) {
                const std::uint64_t length = std::min<std::uint64_t>(bytes.size(), extent.range.end() - at);
                const auto expected = std::span(tags).subspan(at / block, length / block);
                if (extent.kind != ExtentKind::data) {
                    ASSERT_TRUE(std::ranges::all_of(expected, [](std::uint32_t tag) { return tag == 0; }))
                        << at;
                    continue;
                }
                const auto part = std::span(bytes).first(length);
                chain->read(at, part);
                for (std::size_t i = 0; i < expected.size(); ++i) {
                    ASSERT_EQ(tag_of(part.subspan(i * block, block)), expected[i]) << "at " << at + i * block;
                }
            }
        }
    }

    /// No file that nobody names, and by our check no fault.
    void expect_sound() {
        std::set<std::string> expected = {"DiskDescriptor.xml", "DiskDescriptor.xml.lck"};
        for (const ImageEntry& entry : descriptor().images) {
            expected.insert(std::filesystem::path(entry.file).filename().string());
            const auto file = real_doors().files.open(disk_file(entry), {});
            CheckOptions options;
            options.force = options.thorough = options.read_only = options.silent = options.allow_sparse = true;
            options.raw = entry.raw;
            options.raw_cluster_sectors = setting_.cluster_sectors;
            const auto hear = [](const std::string&) {};
            const CheckResult result = check_image(*file, options, {hear, hear}, {});
            EXPECT_EQ(result.exit_code, 0) << entry.file;
            EXPECT_EQ(result.duplicates + result.out_of_range + result.behind_eof + result.misaligned, 0u);
        }
        EXPECT_EQ(names_in(folder_.path()), expected);
    }
    std::string disk_file(const ImageEntry& entry) const {
        return entry.file.starts_with('/') ? entry.file : folder_ / entry.file;
    }

    const Setting setting_;
    std::mt19937_64 random_;
    const std::uint64_t unit_;
    TemporaryFolder folder_;
    const std::string path_;
    std::map<std::string, Tags> snapshots_; ///< by uuid; the top, too
    std::uint32_t last_tag_ = 0;
    unsigned files_ = 0;
};

class PloopDiskModel : public testing::TestWithParam<Setting> {};

TEST_P(PloopDiskModel, EachSnapshotHoldsWhatItMust) {
    const unsigned steps = from_environment("DISKTOOL_MODEL_STEPS", GetParam().steps);
    for (unsigned seed = 1; seed <= from_environment("DISKTOOL_MODEL_SEEDS", 1); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        DiskModel model(GetParam(), seed);
        for (unsigned i = 0; i < steps; ++i) {
            ASSERT_NO_FATAL_FAILURE(model.step()) << "step " << i;
            if (HasFailure()) {
                FAIL() << "step " << i;
            }
        }
        ASSERT_NO_FATAL_FAILURE(model.finish());
    }
}

std::vector<Setting> settings() {
    std::vector<Setting> all;
    for (std::uint32_t cluster = smallest_cluster_sectors; cluster <= largest_cluster_sectors; cluster *= 2) {
        const unsigned steps = cluster <= 2048 ? 120 : cluster <= 16384 ? 25 : 12;
        all.push_back({cluster, DiskMode::expanded, Version::v2, steps});
    }
    all.push_back({64, DiskMode::expanded, Version::v1, 120});
    all.push_back({64, DiskMode::raw, Version::v2, 120});
    all.push_back({2048, DiskMode::preallocated, Version::v2, 60});
    return all;
}

INSTANTIATE_TEST_SUITE_P(, PloopDiskModel, testing::ValuesIn(settings()), [](const auto& one) {
    return std::to_string(one.param.cluster_sectors) + (one.param.mode == DiskMode::raw ? "_raw"
                                                        : one.param.mode == DiskMode::preallocated
                                                            ? "_preallocated"
                                                        : one.param.version == Version::v1 ? "_v1"
                                                                                           : "");
});

} // namespace

} // namespace disktool::ploop::operations_test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Every verb on a disk in use while a guest reads and writes it in four threads.
#include "made_disk.h"
#include "running_guest.h"

#include <cstdlib>

namespace disktool::ploop::operations_test {

namespace {

using engine_test::Bytes;
using engine_test::Guest;

constexpr std::uint64_t reach = 72 * cluster_bytes; ///< of the guest

struct Setting {
    const char* name;
    bool raw_base = false;
    Version version = Version::v2;
    std::uint64_t disk_clusters = 64;
    unsigned verbs = 40;

    friend void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }
};

/// Does verbs at random, and knows what each snapshot must hold.
class Work {
  public:
    Work(const Setting& setting, unsigned seed) : setting_(setting), random_(seed), seed_(seed) {
        MadeDelta base{
            .clusters = {0, 3, 5, 20, 33, 60}, .letter = 'a', .disk_clusters = setting.disk_clusters};
        MadeDelta top{.clusters = {1, 3, 21, 40}, .letter = 'b', .disk_clusters = setting.disk_clusters};
        base.version = top.version = setting.version;
        base.raw = setting.raw_base;
        path_ = make_chain(folder_.path(), {base, top});
        RunningSource source;
        source.descriptor = path_;
        source.batch_bytes = 3 * cluster_bytes;
        source.round_bytes = 7 * cluster_bytes;
        disk_ = RunningDisk::open(real_doors(), source, silent_);
        guest_ = std::make_unique<Guest>(disk_->device(), cluster_bytes, reach, seed);
        snapshots_[uuid_of('1').lower()] = at_rest(uuid_of('1'));
    }

    void run() {
        guest_->start();
        for (unsigned i = 0; i < setting_.verbs; ++i) {
            SCOPED_TRACE(testing::Message() << "verb " << i);
            ASSERT_NO_THROW(verb());
            ASSERT_EQ(guest_->complaint(), "");
        }
        guest_->stop();
        ASSERT_EQ(guest_->complaint(), "");
        EXPECT_GT(guest_->operations(), 1000u);
        ASSERT_TRUE(engine_test::first_bytes(disk_->device(), reach) == guest_->bytes());
        disk_->close();
        disk_.reset();
        ASSERT_TRUE(at_rest(Uuid::top()) == guest_->bytes());
        const Descriptor descriptor = load();
        ASSERT_EQ(descriptor.snapshots.size(), snapshots_.size() + 1);
        for (const auto& [uuid, bytes] : snapshots_) {
            ASSERT_TRUE(at_rest(*Uuid::parse(uuid)) == bytes) << uuid;
        }
        expect_sound();
    }

  private:
    std::uint64_t number(std::uint64_t below) { return random_() % below; }
    Descriptor load() const { return Descriptor::load(real_doors().files, path_); }

    Bytes at_rest(const Uuid& uuid) const {
        const Descriptor descriptor = load();
        std::vector<std::unique_ptr<Delta>> deltas;
        for (const Uuid& member : descriptor.chain(uuid)) {
            const ImageEntry& entry = *descriptor.image(member);
            auto file = real_doors().files.open(resolve(real_doors().files, path_, entry, {}), {});
            deltas.push_back(entry.raw ? Delta::open_raw(std::move(file), Access::read, small_cluster)
                                       : Delta::open(std::move(file), Access::read, true));
        }
        ChainDevice device(std::move(deltas), path_);
        return engine_test::first_bytes(device, reach);
    }

    void verb() {
        const std::size_t depth = disk_->images().size();
        const unsigned dice = static_cast<unsigned>(number(100));
        if (dice < 30 || depth < 3) {
            if (depth < 9) {
                snapshot();
            }
        } else if (dice < 45) {
            merge({}, {uuid_at(depth - 2)});
        } else if (dice < 58) {
            merge_range(depth);
        } else if (dice < 62) {
            all(depth);
        } else if (dice < 75) {
            remove(depth);
        } else if (dice < 82) {
            grow();
        } else if (dice < 90) {
            disk_->compact({});
        } else {
            replace(depth);
        }
    }

    Uuid uuid_at(std::size_t level) const {
        const Descriptor descriptor = load();
        return descriptor.chain(descriptor.top)[level];
    }

    void snapshot() {
        Bytes expected;
        Freezer freezer{[&] {
                            guest_->freeze();
                            expected = guest_->bytes();
                        },
                        [&] { guest_->thaw(); }};
        const auto done = disk_->snapshot({}, freezer, silent_);
        snapshots_[done.uuid.lower()] = std::move(expected);
    }
    void merge(const MergeRequest& request, const std::vector<Uuid>& going) {
        disk_->merge(request, silent_, unwatched_);
        for (const Uuid& uuid : going) {
            snapshots_.erase(uuid.lower());
        }
    }
    void merge_range(std::size_t depth) {
        const std::size_t low = number(depth - 1);
        const std::size_t high = low + 1 + number(depth - 1 - low);
        std::vector<Uuid> going;
        for (std::size_t level = low; level < high; ++level) {
            going.push_back(uuid_at(level));
        }
        MergeRequest request{.uuid = uuid_at(low), .range_end = uuid_at(high), .all = false, .new_file = {}};
        if (number(3) == 0 && !(setting_.raw_base && low == 0)) {
            request.new_file = folder_ / ("new." + std::to_string(++files_));
        }
        merge(request, going);
    }
    void all(std::size_t depth) {
        std::vector<Uuid> going;
        for (std::size_t level = 0; level + 1 < depth; ++level) {
            going.push_back(uuid_at(level));
        }
        merge({.uuid = {}, .range_end = {}, .all = true, .new_file = {}}, going);
    }
    void remove(std::size_t depth) {
        const Uuid uuid = uuid_at(number(depth - 1));
        disk_->remove_snapshot(uuid, silent_, unwatched_);
        snapshots_.erase(uuid.lower());
    }
    void grow() {
        const std::uint64_t clusters = disk_->device().size() / cluster_bytes;
        disk_->grow((clusters + number(3)) * small_cluster, silent_);
        guest_->follow_size();
    }
    void replace(std::size_t depth) {
        const std::size_t level = number(depth - 1);
        const std::string copy = folder_ / ("copy." + std::to_string(++files_));
        std::filesystem::copy_file(disk_->images()[level], copy);
        const std::string old = disk_->images()[level];
        RunningDisk::RunningReplace request;
        request.level = level;
        request.request.new_file = copy;
        request.request.keep_name = number(2) == 0;
        disk_->replace(request, silent_, unwatched_);
        if (!request.request.keep_name) {
            std::filesystem::remove(old);
        }
    }

    void expect_sound() const {
        const auto hear = [](const std::string&) {};
        const Descriptor descriptor = load();
        std::set<std::string> expected = {"DiskDescriptor.xml", "DiskDescriptor.xml.lck"};
        for (const ImageEntry& entry : descriptor.images) {
            expected.insert(entry.file);
            const auto file = real_doors().files.open(resolve(real_doors().files, path_, entry, {}), {});
            CheckOptions options;
            options.force = options.thorough = options.read_only = options.allow_sparse = true;
            options.raw = entry.raw;
            options.raw_cluster_sectors = small_cluster;
            const CheckResult result = check_image(*file, options, {hear, hear}, {});
            EXPECT_EQ(result.exit_code, 0) << entry.file;
            EXPECT_FALSE(result.was_dirty) << entry.file;
        }
        EXPECT_EQ(names_in(folder_.path()), expected);
    }

    const Setting setting_;
    std::mt19937_64 random_;
    const unsigned seed_;
    TemporaryFolder folder_;
    std::string path_;
    std::unique_ptr<RunningDisk> disk_;
    std::unique_ptr<Guest> guest_;
    std::map<std::string, Bytes> snapshots_; ///< by uuid
    unsigned files_ = 0;
    const Say silent_ = [](const std::string&) {};
    const RunningDisk::Watch unwatched_;
};

class PloopRunningIo : public testing::TestWithParam<Setting> {};

TEST_P(PloopRunningIo, EveryVerbBesideAGuest) {
    const char* wanted = std::getenv("DISKTOOL_SEEDS"); // many, for a long test by hand
    const unsigned seeds = wanted == nullptr ? 1 : static_cast<unsigned>(std::atoi(wanted));
    for (unsigned seed = 1; seed <= seeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Work work(GetParam(), seed);
        ASSERT_NO_FATAL_FAILURE(work.run());
    }
}

INSTANTIATE_TEST_SUITE_P(Settings, PloopRunningIo,
                         testing::Values(Setting{.name = "v2"}, Setting{.name = "v1", .version = Version::v1},
                                         Setting{.name = "raw_base", .raw_base = true},
                                         // The longer BAT of a grow needs another cluster of the file.
                                         Setting{.name = "long_bat", .disk_clusters = 8170, .verbs = 25}),
                         [](const auto& setting) { return std::string(setting.param.name); });

} // namespace

} // namespace disktool::ploop::operations_test

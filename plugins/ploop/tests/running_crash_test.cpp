// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk in use, cut at each change of each verb while a guest writes: every flushed byte is there, before the
// next mount and after it, and each snapshot is the old one or the new one.
#include "copied_job.h"
#include "left_over.h"
#include "made_disk.h"
#include "running_guest.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <random>
#include <thread>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::hasty_doors;
using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using engine_test::Bytes;

constexpr std::uint64_t watched_clusters = 24;
constexpr std::uint64_t watched = watched_clusters * cluster_bytes; ///< bytes; nothing is written behind

const Say silent = [](const std::string&) {};

/// The disk as it lies, before any recovery.
Bytes content_at(const std::string& path, const Uuid& uuid) {
    FileDoor& files = real_doors().files;
    const Descriptor descriptor = Descriptor::load(files, path);
    std::vector<std::unique_ptr<Delta>> deltas;
    for (const Uuid& member : descriptor.chain(uuid)) {
        const ImageEntry& entry = *descriptor.image(member);
        auto file = files.open(resolve(files, path, entry, {}), {});
        deltas.push_back(entry.raw ? Delta::open_raw(std::move(file), Access::read, small_cluster)
                                   : Delta::open(std::move(file), Access::read, true));
    }
    ChainDevice device(std::move(deltas), path);
    return engine_test::first_bytes(device, watched);
}

/// A guest of which is known what it had done at each change of the files.
class RecordedGuest {
  public:
    RecordedGuest(RecordingDoor& door, RunningDisk& disk, unsigned seed)
        : door_(door), disk_(disk), random_(seed) {
        steps_.push_back({0, 0, true, engine_test::first_bytes(disk.device(), watched)});
    }

    /// Something at random. An error is borne as a guest would; what it leaves is any of the two.
    void act() {
        const std::scoped_lock lock(mutex_);
        const std::uint64_t sectors = steps_.back().state.size() / sector_size;
        const auto dice = static_cast<unsigned>(random_() % 10);
        std::uint64_t first = random_() % sectors;
        std::uint64_t count = std::min<std::uint64_t>(sectors - first, 1 + random_() % 20);
        if (dice < 4) {
            const std::uint64_t unit = cluster_bytes / sector_size;
            first = first / unit * unit;
            count = std::min<std::uint64_t>(sectors - first, unit * (1 + random_() % 2));
        }
        if (dice == 9) {
            step(true, [&](Bytes&) { disk_.device().flush(); });
        } else if (dice == 3 || dice == 8) {
            clear({first * sector_size, count * sector_size}, false);
        } else {
            const Bytes data =
                engine_test::pattern(count * sector_size, static_cast<unsigned>(random_() % 9999));
            step(false, [&](Bytes& state) {
                disk_.device().write(first * sector_size, data);
                std::ranges::copy(data, state.begin() + static_cast<std::ptrdiff_t>(first * sector_size));
            });
        }
    }
    void zero(Range range) {
        const std::scoped_lock lock(mutex_);
        clear(range, false);
    }
    void discard(Range range) {
        const std::scoped_lock lock(mutex_);
        clear(range, true);
    }
    void flush() {
        const std::scoped_lock lock(mutex_);
        step(true, [&](Bytes&) { disk_.device().flush(); });
    }
    const Bytes& state() const { return steps_.back().state; }
    bool failed() const { return failed_; }

    /// The last flush that was over at the cut: the content is of no earlier state.
    std::size_t flushed_at(std::size_t cut) const {
        std::size_t flushed = 0;
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            flushed = steps_[i].to <= cut && steps_[i].lasting ? i : flushed;
        }
        return flushed;
    }
    /// Each sector is of a state between that flush and what was begun at the cut.
    void expect(const Bytes& content, std::size_t cut) const {
        const std::size_t first = flushed_at(cut);
        std::size_t last = 0;
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            last = steps_[i].from <= cut ? i : last;
        }
        for (std::uint64_t at = 0; at < content.size(); at += sector_size) {
            bool found = false;
            for (std::size_t i = first; i <= last && !found; ++i) {
                found = std::memcmp(content.data() + at, steps_[i].state.data() + at, sector_size) == 0;
            }
            ASSERT_TRUE(found) << "byte " << at << ", cluster " << at / cluster_bytes
                               << " is of no state that it may be of, " << first << " to " << last;
        }
    }

  private:
    struct Step {
        std::size_t from, to; ///< numbers of changes
        bool lasting;
        Bytes state; ///< after it
    };
    void clear(Range range, bool discarded) {
        step(false, [&](Bytes& state) {
            discarded ? disk_.device().discard(range) : disk_.device().zero(range);
            std::fill_n(state.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length, std::byte{0});
        });
    }
    template <typename Action>
    void step(bool lasting, Action action) {
        Step next{door_.count(), 0, lasting, steps_.back().state};
        try {
            action(next.state);
        } catch (const Error&) {
            failed_ = true;
            next.lasting = false;
            // A part of it may have been done: both are possible from here on.
            Bytes after(next.state.size());
            disk_.device().read(0, after);
            next.state = after;
        }
        next.to = door_.count();
        steps_.push_back(std::move(next));
    }

    RecordingDoor& door_;
    RunningDisk& disk_;
    std::mutex mutex_; ///< it acts in a thread of its own, and between the batches of a verb
    std::mt19937_64 random_;
    std::vector<Step> steps_;
    bool failed_ = false;
};

struct Verb {
    std::string name;
    std::vector<MadeDelta> deltas;
    std::function<void(RunningDisk& disk, RecordedGuest& guest, const std::string& folder)> act;
    std::vector<Uuid> going{}; ///< their content is nobody's concern once the verb has begun
    std::function<void(const std::string& path)> prepare{};
    std::set<std::string> others{}; ///< names of files that are no images, and stay

    friend void PrintTo(const Verb& verb, std::ostream* out) { *out << verb.name; }
};

class PloopRunningCrash : public testing::TestWithParam<Verb> {
  protected:
    void SetUp() override {
        path_ = make_chain(folder_.path(), GetParam().deltas);
        if (GetParam().prepare) {
            GetParam().prepare(path_);
        }
        old_text_ = read_file(path_);
        note_snapshots(path_);
    }

    void note_snapshots(const std::string& path) {
        const Descriptor descriptor = Descriptor::load(real_doors().files, path);
        for (const SnapshotEntry& entry : descriptor.snapshots) {
            if (!(entry.uuid == descriptor.top)) {
                snapshots_[entry.uuid.lower()] = content_at(path, entry.uuid);
            }
        }
    }

    std::unique_ptr<RunningDisk> open(const std::string& path, FileDoor& files) {
        RunningSource source;
        source.descriptor = path;
        source.batch_bytes = 2 * cluster_bytes;
        source.round_bytes = 4 * cluster_bytes;
        return RunningDisk::open({files, real_doors().processes}, source, silent);
    }

    /// Runs the verb with a guest beside it: in a thread, or between the batches.
    void record(bool threaded) {
        door_ = std::make_unique<RecordingDoor>(folder_.path());
        disk_ = open(path_, *door_);
        guest_ = std::make_unique<RecordedGuest>(*door_, *disk_, threaded ? 7 : 8);
        for (unsigned i = 0; i < 6; ++i) {
            guest_->act();
        }
        if (threaded) {
            std::atomic<bool> done = false;
            std::thread beside([&] {
                for (unsigned i = 0; i < 40 && !done; ++i) {
                    guest_->act();
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                }
            });
            try {
                GetParam().act(*disk_, *guest_, directory_of(path_));
            } catch (...) {
                done = true;
                beside.join();
                throw;
            }
            done = true;
            beside.join();
        } else {
            GetParam().act(*disk_, *guest_, directory_of(path_));
        }
        for (unsigned i = 0; i < 6; ++i) {
            guest_->act();
        }
        guest_->flush();
        disk_->close();
        disk_.reset();
        new_text_ = read_file(path_);
        // A snapshot that came is exact from its first moment on.
        note_snapshots(path_);
    }

    void expect_content(const std::string& path, std::size_t cut) {
        const Descriptor descriptor = Descriptor::load(real_doors().files, path);
        ASSERT_NO_FATAL_FAILURE(guest_->expect(content_at(path, descriptor.top), cut));
        for (const SnapshotEntry& entry : descriptor.snapshots) {
            if (entry.uuid == descriptor.top ||
                std::ranges::find(GetParam().going, entry.uuid) != GetParam().going.end()) {
                continue;
            }
            ASSERT_TRUE(snapshots_.contains(entry.uuid.lower())) << entry.uuid.text();
            ASSERT_TRUE(content_at(path, entry.uuid) == snapshots_[entry.uuid.lower()]) << entry.uuid.text();
        }
    }

    void judge(std::size_t cut, const std::string& path, bool reopen) {
        ASSERT_NO_FATAL_FAILURE(expect_content(path, cut));
        if (!reopen) {
            return;
        }
        {
            const auto again = open(path, hasty_doors().files);
            ASSERT_NO_FATAL_FAILURE(guest_->expect(engine_test::first_bytes(again->device(), watched), cut));
            again->device().write(0, Bytes());
            again->close();
        }
        ASSERT_NO_FATAL_FAILURE(expect_content(path, cut));
        expect_no_leftovers(path);
    }

    void expect_no_leftovers(const std::string& path) {
        const Descriptor descriptor = Descriptor::load(real_doors().files, path);
        std::set<std::string> expected = GetParam().others;
        expected.insert({"DiskDescriptor.xml", "DiskDescriptor.xml.lck"});
        for (const ImageEntry& entry : descriptor.images) {
            expected.insert(entry.file);
            const auto file = real_doors().files.open(resolve(real_doors().files, path, entry, {}), {});
            CheckOptions options;
            options.force = options.thorough = options.read_only = options.allow_sparse = true;
            options.raw = entry.raw;
            options.raw_cluster_sectors = small_cluster;
            EXPECT_EQ(check_image(*file, options, {silent, silent}, {}).exit_code, 0) << entry.file;
        }
        for (const std::string& name : names_in(directory_of(path))) {
            EXPECT_TRUE(expected.contains(name)) << name << " was left";
        }
    }

    /// Between two writes to one file: what is left is much the same as beside it.
    bool is_among_writes(std::size_t cut) const {
        const auto& changes = door_->changes();
        const auto is_write = [&](std::size_t i) { return changes[i].kind == test::ChangeKind::write; };
        return cut > 0 && cut < changes.size() && is_write(cut - 1) && is_write(cut) &&
               changes[cut - 1].file == changes[cut].file;
    }

    void cut_everywhere() {
        const TemporaryFolder after;
        // The same files may be too old after one more flush.
        std::set<std::pair<std::uint64_t, std::size_t>> seen;
        // Of a thousand writes of much the same kind, a part will do.
        const std::size_t step = 3 + door_->changes().size() / 100;
        for (const std::size_t cut : door_->cuts()) {
            SCOPED_TRACE(door_->describe(cut));
            if (is_among_writes(cut) && cut % step != 0) {
                continue;
            }
            const bool of_names =
                cut > 0 && (door_->changes()[cut - 1].kind == test::ChangeKind::rename ||
                            door_->changes()[cut - 1].kind == test::ChangeKind::remove ||
                            door_->changes()[cut - 1].kind == test::ChangeKind::sync_directory);
            for (const auto survivors :
                 {Survivors::all, Survivors::torn, Survivors::synced, Survivors::random}) {
                SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors));
                const auto left = door_->left_by(cut, survivors, static_cast<std::uint32_t>(cut));
                if (!seen.insert({left.signature(), guest_->flushed_at(cut)}).second) {
                    continue;
                }
                door_->put(left, after.path());
                adopt_inodes(after.path());
                ASSERT_NO_FATAL_FAILURE(judge(cut, after / "DiskDescriptor.xml", of_names || cut % 5 == 0));
            }
        }
    }

    TemporaryFolder folder_;
    std::string path_, old_text_, new_text_;
    std::map<std::string, Bytes> snapshots_; ///< old and new
    std::unique_ptr<RecordingDoor> door_;
    std::unique_ptr<RunningDisk> disk_;
    std::unique_ptr<RecordedGuest> guest_;
};

TEST_P(PloopRunningCrash, ACutLosesNothingThatWasFlushed) {
    ASSERT_NO_FATAL_FAILURE(record(false));
    EXPECT_GT(door_->changes().size(), 20u);
    ASSERT_NO_FATAL_FAILURE(cut_everywhere());
}

TEST_P(PloopRunningCrash, ACutWithAGuestInAThreadLosesNothingThatWasFlushed) {
    ASSERT_NO_FATAL_FAILURE(record(true));
    ASSERT_NO_FATAL_FAILURE(cut_everywhere());
}

/// Between two batches of a verb, and while the file systems are frozen, the guest does something.
RunningDisk::Watch acting(RecordedGuest& guest) {
    return {.progress = [&](std::uint64_t, std::uint64_t) {
        guest.act();
        guest.act();
    }};
}

/// Somebody changes his mind after the first part of it.
template <typename Work>
void cancelling(RecordedGuest& guest, const Work& work) {
    CancelToken cancel;
    const RunningDisk::Watch watch{.progress =
                                       [&](std::uint64_t, std::uint64_t) {
                                           guest.act();
                                           cancel.cancel();
                                       },
                                   .cancel = &cancel};
    try {
        work(watch);
        ADD_FAILURE() << "not cancelled";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted) << error.what();
    }
    guest.act();
}

const std::vector<MadeDelta> three = {
    {.clusters = {0, 1, 2, 9, 14}, .letter = 'a', .disk_clusters = 24},
    {.clusters = {1, 2, 3, 9, 10}, .letter = 'b', .disk_clusters = 24},
    {.clusters = {2, 3, 4, 15, 16, 20, 21}, .letter = 'c', .disk_clusters = 24}};

std::vector<MadeDelta> sized(std::uint64_t base, std::uint64_t middle, std::uint64_t top) {
    std::vector<MadeDelta> deltas = three;
    deltas[0].disk_clusters = base;
    deltas[1].disk_clusters = middle;
    deltas[2].disk_clusters = top;
    return deltas;
}

/// By the file "copy" of the folder, which copied() has made.
void replace_level(RunningDisk& disk, std::size_t level, bool keep_name, const std::string& folder,
                   const RunningDisk::Watch& watch) {
    RunningDisk::RunningReplace request;
    request.level = level;
    request.request.new_file = folder + "/copy";
    request.request.keep_name = keep_name;
    disk.replace(request, silent, watch);
}

std::function<void(const std::string&)> copied(const std::string& name) {
    return [name](const std::string& path) {
        std::filesystem::copy_file(directory_of(path) + "/" + name, directory_of(path) + "/copy");
    };
}

std::vector<Verb> verbs() {
    const auto merge = [](const MergeRequest& request) {
        return [request](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
            disk.merge(request, silent, acting(guest));
        };
    };
    const auto cancelled = [](const MergeRequest& request) {
        return [request](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
            cancelling(guest, [&](const auto& watch) { disk.merge(request, silent, watch); });
        };
    };
    std::vector<MadeDelta> raw = three, raw_parent = {three[0], three[2]};
    raw.front().raw = raw_parent.front().raw = true;
    return {
        {"snapshot", three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
             disk.snapshot({.request = {.uuid = uuid_of('9'), .bitmap = {}}}, {[&] { guest.flush(); }, [] {}},
                           silent);
         }},
        {"drain", three, merge({}), {uuid_of('2')}},
        {"drain_into_raw", raw_parent, merge({}), {uuid_of('1')}},
        // The parent's BAT becomes longer, so that clusters of it move; or it has clusters behind the end.
        {"drain_into_a_shorter", sized(24, 24, 8300), merge({}), {uuid_of('2')}},
        {"drain_into_a_longer", sized(24, 40, 24), merge({}), {uuid_of('2')}},
        {"merge_lower",
         three,
         merge({.uuid = uuid_of('2'), .range_end = {}, .all = false, .new_file = {}}),
         {uuid_of('1')}},
        {"merge_lower_into_a_shorter",
         sized(24, 8300, 8300),
         merge({.uuid = uuid_of('2'), .range_end = {}, .all = false, .new_file = {}}),
         {uuid_of('1')}},
        {"merge_all",
         raw,
         merge({.uuid = {}, .range_end = {}, .all = true, .new_file = {}}),
         {uuid_of('1'), uuid_of('2')}},
        {"merge_lower_new", three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string& folder) {
             disk.merge({.uuid = uuid_of('2'), .range_end = {}, .all = false, .new_file = folder + "/new.hds"},
                        silent, acting(guest));
         }},
        {"drain_new",
         three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string& folder) {
             disk.merge({.uuid = {}, .range_end = {}, .all = false, .new_file = folder + "/new.hds"}, silent,
                        acting(guest));
         },
         {uuid_of('2')}},
        {"drain_cancelled", three, cancelled({}), {uuid_of('2')}},
        {"drain_into_a_longer_cancelled", sized(24, 40, 24), cancelled({}), {uuid_of('2')}},
        {"merge_lower_cancelled",
         three,
         cancelled({.uuid = uuid_of('2'), .range_end = {}, .all = false, .new_file = {}}),
         {uuid_of('1')}},
        {"merge_all_cancelled",
         raw,
         cancelled({.uuid = {}, .range_end = {}, .all = true, .new_file = {}}),
         {uuid_of('1'), uuid_of('2')}},
        {"delete_lower",
         three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
             disk.remove_snapshot(uuid_of('1'), silent, acting(guest));
         },
         {uuid_of('1')}},
        {"grow", three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
             guest.act();
             disk.grow(8300 * small_cluster, silent);
         }},
        {"compact", three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string&) {
             guest.zero({2 * cluster_bytes, 3 * cluster_bytes});
             guest.discard({15 * cluster_bytes, cluster_bytes});
             for (unsigned i = 0; i < 3; ++i) {
                 guest.act();
             }
             disk.compact(acting(guest));
         }},
        {"replace",
         three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string& folder) {
             replace_level(disk, 0, false, folder, acting(guest));
         },
         {},
         copied("root.hds"),
         {"copy", "root.hds"}},
        {"replace_cancelled",
         three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string& folder) {
             cancelling(guest, [&](const auto& watch) { replace_level(disk, 0, false, folder, watch); });
         },
         {},
         copied("root.hds"),
         {"copy"}},
        {"replace_keeping_the_name",
         three,
         [](RunningDisk& disk, RecordedGuest& guest, const std::string& folder) {
             replace_level(disk, 1, true, folder, acting(guest));
         },
         {},
         copied("root.hds.1"),
         {"copy"}},
    };
}

INSTANTIATE_TEST_SUITE_P(, PloopRunningCrash, testing::ValuesIn(verbs()),
                         [](const auto& verb) { return verb.param.name; });

} // namespace

} // namespace disktool::ploop::operations_test

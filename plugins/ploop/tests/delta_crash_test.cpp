// SPDX-License-Identifier: LGPL-2.1-or-later
// Killed, or without power, at any moment: each sector of the disk then holds what it held at the last flush or
// what it was given since, and the image is whole.
#include "made_delta.h"
#include "support/recording_door.h"

#include <filesystem>
#include <functional>
#include <set>

namespace disktool::ploop::engine_test {
namespace {

using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using disktool::test::TemporaryFolder;

constexpr std::uint64_t sectors_per_cluster = cluster / sector_size;
constexpr std::uint64_t watched =
    12 * sectors_per_cluster; ///< sectors from the start of the disk on; no more is written

/// What a disk holds: a number a sector, 0 for zeros; nothing behind the watched ones.
struct State {
    std::uint64_t disk_sectors = 0;
    std::vector<std::uint32_t> ids = std::vector<std::uint32_t>(watched);
};

/// A sector that says which number was written to it, and that it is this sector.
Bytes sectors(std::uint64_t first, std::uint64_t count, std::uint32_t id) {
    Bytes bytes(count * sector_size);
    for (std::size_t i = 0; i < bytes.size(); i += 16) {
        const std::uint64_t mark[2] = {id, (first + i / sector_size) << 16 | i % sector_size};
        std::memcpy(bytes.data() + i, mark, 16);
    }
    return bytes;
}

bool holds(std::span<const std::byte> part, std::uint64_t sector, std::uint32_t id) {
    std::uint64_t marks[sector_size / 8];
    std::memcpy(marks, part.data(), sizeof marks);
    for (std::size_t i = 0; i < std::size(marks); i += 2) {
        if (marks[i] != id || marks[i + 1] != (sector << 16 | i * 8)) {
            return false;
        }
    }
    return true;
}

/// Does work on a disk through a recording door, and remembers what it must hold after each step.
class Recorder {
  public:
    Recorder(const TemporaryFolder& folder, bool raw_base)
        : door_(folder.path()), raw_base_(raw_base), folder_(folder.path()) {}

    void open() {
        disk_ = open_in(folder_, door_, Access::write);
        State state;
        state.disk_sectors = disk_->size() / sector_size;
        states_.push_back({0, 0, true, state});
        step(true, [](ChainDevice& disk, State&) { disk.begin(); });
        begun_ = door_.changes().size();
    }
    using Action = std::function<void(ChainDevice&, State&)>;
    /// `lasting`: what was done up to its end is on stable storage.
    void step(bool lasting, const Action& action) {
        Step next{door_.changes().size(), 0, lasting, states_.back().state};
        action(*disk_, next.state);
        next.to = door_.changes().size();
        states_.push_back(std::move(next));
    }
    void write(std::uint64_t first, std::uint64_t count) {
        step(false, [&](ChainDevice& disk, State& state) {
            ++id_;
            disk.write(first * sector_size, sectors(first, count, id_));
            std::fill_n(state.ids.begin() + static_cast<std::ptrdiff_t>(first), count, id_);
        });
    }
    void zero(std::uint64_t first, std::uint64_t count) {
        step(false, [&](ChainDevice& disk, State& state) {
            disk.zero({first * sector_size, count * sector_size});
            std::fill_n(state.ids.begin() + static_cast<std::ptrdiff_t>(first), count, 0);
        });
    }
    void flush() {
        step(true, [](ChainDevice& disk, State&) { disk.flush(); });
    }
    void compact() {
        step(true, [](ChainDevice& disk, State&) { disk.top().compact(); });
    }
    void resize(std::uint64_t disk_sectors) {
        step(true, [&](ChainDevice& disk, State& state) {
            if (disk_sectors > state.disk_sectors) {
                disk.top().grow(disk_sectors);
            } else {
                disk.top().shrink(disk_sectors);
                for (std::uint64_t i = disk_sectors; i < watched; ++i) {
                    state.ids[i] = 0;
                }
            }
            state.disk_sectors = disk_sectors;
        });
    }
    void end() {
        ending_ = door_.changes().size();
        step(true, [](ChainDevice& disk, State&) { disk.end(); });
    }

    /// Cuts it everywhere.
    void judge() {
        const TemporaryFolder after;
        for (const std::size_t cut : door_.cuts()) {
            // What lies between two syncs of header and BAT is the most delicate: there is more chance for it.
            const bool of_table = cut > 0 && door_.changes()[cut - 1].range.offset < cluster;
            std::vector<std::pair<Survivors, std::uint32_t>> fates = {
                {Survivors::all, 0}, {Survivors::torn, 0}, {Survivors::synced, 0}};
            for (std::uint32_t seed = 1; seed <= (of_table ? 6 : 2); ++seed) {
                fates.emplace_back(Survivors::random, seed);
            }
            for (const auto& [survivors, seed] : fates) {
                SCOPED_TRACE(door_.describe(cut) + ", survivors " +
                             std::to_string(static_cast<int>(survivors)));
                door_.materialise(cut, survivors, after.path(), seed + static_cast<std::uint32_t>(cut) * 7);
                ASSERT_NO_FATAL_FAILURE(judge(cut, after));
            }
        }
    }

    std::size_t changes() const { return door_.changes().size(); }

  private:
    struct Step {
        std::size_t from, to; ///< numbers of changes
        bool lasting;
        State state; ///< after it
    };

    std::unique_ptr<ChainDevice> open_in(const std::filesystem::path& folder, FileDoor& door, Access access) {
        std::vector<std::unique_ptr<Delta>> deltas;
        if (raw_base_) {
            deltas.push_back(Delta::open_raw(door.open(folder / "base", {}), Access::read, 64));
        }
        deltas.push_back(open_file(door, folder / "top", access, true));
        return std::make_unique<ChainDevice>(std::move(deltas), "disk");
    }

    void judge(std::size_t cut, const TemporaryFolder& after) {
        // Between the last step that was over and lasts, and the one that was being done.
        std::size_t first = 0, last = 0;
        for (std::size_t i = 0; i < states_.size(); ++i) {
            first = states_[i].to <= cut && states_[i].lasting ? i : first;
            last = states_[i].from < cut || states_[i].to <= cut ? i : last;
        }
        const auto left = open_in(after.path(), real_doors().files, Access::read);
        if (cut >= begun_ && cut <= ending_) {
            ASSERT_TRUE(left->top().header().is_in_use());
        }
        check(*left, first, last);
        if (testing::Test::HasFatalFailure()) {
            return;
        }
        if (cut % 4 != 0) {
            return;
        }
        // And who goes on with it finds a disk that can be written.
        const auto disk = open_in(after.path(), real_doors().files, Access::write);
        disk->begin();
        const std::uint64_t end = std::min(watched, disk->size() / sector_size);
        const Bytes before = read(*disk, end);
        disk->write(0, sectors(0, sectors_per_cluster + 3, 999999));
        disk->end();
        const auto again = open_in(after.path(), real_doors().files, Access::read);
        EXPECT_FALSE(again->top().header().is_in_use());
        Bytes wanted = before;
        std::ranges::copy(sectors(0, sectors_per_cluster + 3, 999999), wanted.begin());
        ASSERT_TRUE(read(*again, end) == wanted);
    }

    static Bytes read(ChainDevice& disk, std::uint64_t count) {
        Bytes bytes(count * sector_size);
        disk.read(0, bytes);
        return bytes;
    }

    void check(ChainDevice& disk, std::size_t first, std::size_t last) {
        const std::uint64_t size = disk.size() / sector_size;
        std::vector<const State*> candidates;
        for (std::size_t i = first; i <= last; ++i) {
            candidates.push_back(&states_[i].state);
        }
        ASSERT_TRUE(std::ranges::any_of(candidates, [&](const State* s) { return s->disk_sectors == size; }))
            << size;
        const std::uint64_t end = std::min(watched, size);
        const Bytes content = read(disk, end);
        std::set<std::uint64_t> open; // sectors for which no state is found yet
        for (std::uint64_t i = 0; i < end; ++i) {
            open.insert(i);
        }
        for (const State* state : candidates) {
            std::erase_if(open, [&](std::uint64_t i) {
                const auto part = std::span(content).subspan(i * sector_size, sector_size);
                return state->ids[i] == 0 ? all_zero(part) : holds(part, i, state->ids[i]);
            });
        }
        ASSERT_TRUE(open.empty()) << "sector " << *open.begin() << " of guest cluster "
                                  << *open.begin() / sectors_per_cluster << " holds none of what it may, steps "
                                  << first << " to " << last;
        if (size > watched) {
            EXPECT_EQ(disk.extents({watched * sector_size, (size - watched) * sector_size}).front().kind,
                      ExtentKind::unallocated);
        }
    }

    RecordingDoor door_;
    const bool raw_base_;
    const std::filesystem::path folder_;
    std::unique_ptr<ChainDevice> disk_;
    std::vector<Step> states_;
    std::uint32_t id_ = 0;
    std::size_t begun_ = 0, ending_ = 0; ///< between these the image is in use
};

constexpr std::uint64_t c = sectors_per_cluster;

TEST(PloopDeltaCrash, WritingFreeingAndPlacingAgain) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "top", small_delta(12, Version::v1));
    Recorder work(folder, false);
    work.open();
    work.write(3 * c, 2 * c);
    work.write(0, c);
    work.flush();
    work.write(3 * c + 5, 70); // in place
    work.zero(0, c);           // freed
    work.write(6 * c, c);      // must not take its place yet
    work.write(0, c);
    work.flush();
    work.zero(3 * c, 2 * c);
    work.flush();
    work.write(8 * c, 3 * c); // into holes and to the end
    work.zero(9 * c, c);
    work.end();
    ASSERT_NO_FATAL_FAILURE(work.judge());
}

TEST(PloopDeltaCrash, OnARawBase) {
    const TemporaryFolder folder;
    store(folder / "base", Bytes(5 * cluster + 512)); // zeros, but present
    make_file(real_doors().files, folder / "top", small_delta(12));
    Recorder work(folder, true);
    work.open();
    work.write(c - 3, 10);
    work.flush();
    work.zero(0, 7 * c);
    work.write(5 * c - 3, 20);
    work.end();
    ASSERT_NO_FATAL_FAILURE(work.judge());
}

TEST(PloopDeltaCrash, Compact) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "top", small_delta(12, Version::v2));
    Recorder work(folder, false);
    work.open();
    work.write(0, 9 * c);
    work.flush();
    work.zero(c, 3 * c);
    work.write(6 * c + 9, 20);
    work.compact(); // clusters 6..8 move to where 1..3 were
    work.write(10 * c, c);
    work.zero(0, c);
    work.compact();
    work.end();
    ASSERT_NO_FATAL_FAILURE(work.judge());
}

TEST(PloopDeltaCrash, GrowWithALongerBat) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "top", small_delta(12));
    Recorder work(folder, false);
    work.open();
    work.write(2 * c, 4 * c);
    work.zero(3 * c, c);
    work.flush();
    work.write(11 * c, c);
    work.resize(17000 * c); // three clusters of BAT in place of one
    work.write(5 * c, 20);
    work.end();
    ASSERT_NO_FATAL_FAILURE(work.judge());
}

TEST(PloopDeltaCrash, ShrinkAndGrowAgain) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "top", small_delta(12));
    Recorder work(folder, false);
    work.open();
    work.write(0, 2 * c);
    work.write(8 * c, 3 * c);
    work.flush();
    work.write(c, 5);
    work.resize(9 * c);
    work.write(3 * c, c); // into a place of the part that is gone
    work.flush();
    work.resize(12 * c);
    work.write(10 * c, c);
    work.end();
    ASSERT_NO_FATAL_FAILURE(work.judge());
}

} // namespace
} // namespace disktool::ploop::engine_test

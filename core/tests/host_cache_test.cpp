// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever way requests take past the host's page cache or through it, a file is one file.
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

namespace disktool {
namespace {

constexpr std::size_t page = 4096;
constexpr std::uint64_t longest = 2 * MiB;

/// Memory at a page; a request may begin within it.
class Memory {
  public:
    std::span<std::byte> get(std::size_t inside, std::size_t length) {
        return {memory_.get() + inside, length};
    }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, Free> memory_{static_cast<std::byte*>(std::aligned_alloc(page, longest + page))};
};

class HostCacheTest : public testing::TestWithParam<HostCache> {
  protected:
    std::unique_ptr<File> open(const std::string& name, bool fresh) {
        return real_doors().files.open(
            folder_ / name, {.write = true, .create = fresh, .exclusive = fresh, .cache = GetParam()});
    }
    test::TemporaryFolder folder_;
    Memory memory_;
};

TEST_P(HostCacheTest, ReadsWhatWasWrittenInAnyWay) {
    std::mt19937_64 random(7);
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    std::string model(8 * MiB + 1234, '\0');
    const auto file = open("file", true);
    const auto other = real_doors().files.open(folder_ / "file", {.write = true});
    file->truncate(model.size());
    for (int round = 0; round < 600; ++round) {
        // Of a page, of a sector, of none; in length, place and memory alike or not.
        constexpr std::array<std::uint64_t, 4> units{page, page, 512, 1};
        const std::uint64_t unit = units[below(units.size())];
        const std::uint64_t length =
            std::max<std::uint64_t>(1, (below(2) == 0 ? below(longest) : below(64 * KiB)) / unit) * unit;
        const std::uint64_t offset = std::min(below(model.size()), model.size() - length) / unit * unit;
        const auto part = memory_.get(below(4) == 0 ? 1 + below(page - 1) : 0, length);
        const bool by_other = below(4) == 0;
        if (below(2) == 0) {
            const std::string text(length, static_cast<char>('a' + round % 26));
            std::ranges::copy(std::as_bytes(std::span(text)), part.begin());
            (by_other ? other : file)->write(offset, part);
            model.replace(offset, length, text);
        } else {
            (by_other ? other : file)->read(offset, part);
            const std::string_view text(reinterpret_cast<const char*>(part.data()), part.size());
            ASSERT_TRUE(text == std::string_view(model).substr(offset, length))
                << "round " << round << ": " << length << " bytes at " << offset;
        }
        if (round % 100 == 99) {
            file->sync_data();
            ASSERT_EQ(posix_fadvise(other->descriptor(), 0, 0, POSIX_FADV_DONTNEED), 0);
        }
    }
    EXPECT_TRUE(test::read_file(folder_ / "file") == model);
}

TEST_P(HostCacheTest, ReadsUpToTheEndOfTheFile) {
    const std::string text(3 * MiB / 2 + 700, 'x');
    test::write_file(folder_ / "file", text);
    for (const bool forgotten : {false, true}) {
        const auto file = open("file", false);
        if (forgotten) {
            file->sync();
            ASSERT_EQ(posix_fadvise(file->descriptor(), 0, 0, POSIX_FADV_DONTNEED), 0);
        }
        EXPECT_EQ(file->read_some(MiB, memory_.get(0, MiB)), text.size() - MiB);
        EXPECT_EQ(file->read_some(2 * MiB, memory_.get(0, MiB)), 0U);
        EXPECT_EQ(file->read_some(0, memory_.get(0, 2 * MiB)), text.size());
    }
}

TEST_P(HostCacheTest, OtherFilesAreOpenedAsTheyAre) {
    const auto null = real_doors().files.open("/dev/null", {.write = true, .cache = GetParam()});
    EXPECT_EQ(null->read_some(0, memory_.get(0, MiB)), 0U);
    EXPECT_EQ(null->status().type, FileType::character_device);
}

INSTANTIATE_TEST_SUITE_P(Ways, HostCacheTest,
                         testing::Values(HostCache::all, HostCache::small_requests, HostCache::small_reads,
                                         HostCache::none));

TEST(HostFileSharing, SharesOrSaysThatItCannot) {
    const test::TemporaryFolder folder;
    std::string text(MiB, 'a');
    text.replace(64 * KiB, 64 * KiB, std::string(64 * KiB, 'b'));
    test::write_file(folder / "from", text);
    const auto from = real_doors().files.open(folder / "from", {});
    const auto to = real_doors().files.open(folder / "to", {.write = true, .create = true, .exclusive = true});
    if (to->share_range(0, *from, {64 * KiB, 128 * KiB})) {
        EXPECT_TRUE(test::read_file(folder / "to") == text.substr(64 * KiB, 128 * KiB));
    } else {
        EXPECT_EQ(to->status().size, 0U);
    }
    EXPECT_TRUE(to->copy_range(0, *from, {0, 64 * KiB})) << "Linux copies between any two files";
    EXPECT_TRUE(test::read_file(folder / "to").starts_with(text.substr(0, 64 * KiB)));
}

} // namespace
} // namespace disktool

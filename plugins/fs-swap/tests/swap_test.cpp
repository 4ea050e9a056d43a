// SPDX-License-Identifier: LGPL-2.1-or-later
// Swap areas made by mkswap: what is told of them, and resizing them, against blkid, swaplabel, file and mkswap
// itself.
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"
#include "swap_filesystem.h"
#include "swap_plugin.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>

namespace disktool::swap::test {

namespace dt = disktool::test;

namespace {

constexpr const char* uuid = "11111111-2222-3333-4444-555555555555";

/// The one window of a workbench that is a file.
class FileBench : public Workbench {
  public:
    explicit FileBench(const std::string& path) : device_(path, Access::write) {}
    WorkingDisk& disk() override { throw std::logic_error("not asked for"); }
    BlockDevice& window(int) override { return device_; }
    std::string path(int) override { throw std::logic_error("not asked for"); }
    CommandResult run(const Tool&, const Command&) override { throw std::logic_error("not asked for"); }
    Appliance& appliance() override { throw std::logic_error("not asked for"); }

  private:
    dt::FileDevice device_;
};

class Context : public StepContext {
  public:
    explicit Context(const std::string& path) : bench_(path) {}
    Doors doors() override { return real_doors(); }
    CancelToken& cancel() override { throw std::logic_error("not asked for"); }
    void advance(std::uint64_t bytes) override { advanced += bytes; }
    void report(const std::string&, std::uint64_t) override {}
    void warn(const std::string&) override {}
    void lend_image_to_child() override {}
    void take_image_back() override {}
    Appliance& appliance() override { throw std::logic_error("not asked for"); }
    Workbench& workbench() override { return bench_; }
    void commit_work(const WorkCommit&) override {}
    std::uint64_t advanced = 0;

  private:
    FileBench bench_;
};

class Swap : public testing::Test {
  protected:
    dt::TemporaryFolder folder;
    std::string path = folder / "swap.img";

    void make(std::uint64_t size, const std::string& page = "4096", const std::string& label = "swapper") {
        std::ofstream(path).close();
        std::filesystem::resize_file(path, size);
        dt::run_tool({"mkswap", "-q", "-p", page, "-L", label, "-U", uuid, path});
    }
    void patch(std::uint64_t offset, const std::string& bytes) {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    std::string blkid(const std::string& tag) {
        std::string value = dt::run_tool({"blkid", "-p", "-o", "value", "-s", tag, path});
        while (value.ends_with('\n'))
            value.pop_back();
        return value;
    }
    /// As the core does it: the window is as large as the larger of both sizes.
    void resize(std::uint64_t size) {
        const std::uint64_t old = std::filesystem::file_size(path);
        std::filesystem::resize_file(path, std::max(old, size));
        Plan plan("resize", path);
        {
            dt::FileDevice device(path);
            Plugin().open(device)->plan_resize(plan, {3, old, size});
        }
        ASSERT_EQ(plan.steps().size(), 1u);
        EXPECT_EQ(plan.steps().front()->kind(), "swap.resize");
        EXPECT_EQ(plan.steps().front()->engine(), "native");
        EXPECT_NE(plan.steps().front()->text().find("partition 3"), std::string::npos);
        Context context(path);
        plan.steps().front()->commit(context);
        EXPECT_EQ(context.advanced, plan.steps().front()->cost().work());
        std::filesystem::resize_file(path, size);
    }
};

std::string words(std::uint32_t value, bool big = false) {
    std::string text;
    for (int i = 0; i < 4; ++i)
        text += static_cast<char>(value >> (8 * (big ? 3 - i : i)));
    return text;
}

} // namespace

TEST_F(Swap, IsToldAsBlkidTellsIt) {
    for (const char* page : {"4096", "8192", "16384", "32768", "65536"}) {
        make(8 * MiB + 4096, page);
        dt::FileDevice device(path);
        EXPECT_EQ(Plugin().probe(device), 100);
        const auto swap = Plugin().open(device);
        EXPECT_EQ(swap->type(), blkid("TYPE"));
        EXPECT_TRUE(swap->state().clean());
        const FilesystemUsage usage = swap->usage();
        EXPECT_EQ(usage.label, blkid("LABEL"));
        EXPECT_EQ(usage.uuid, uuid);
        EXPECT_EQ(usage.block_size, std::stoull(page));
        EXPECT_EQ(usage.size, (8 * MiB + 4096) / std::stoull(page) * std::stoull(page));
        EXPECT_EQ(swap->free_extents().to_vector(),
                  (std::vector<Range>{{usage.block_size, usage.size - usage.block_size}}));
        EXPECT_EQ(usage.free, usage.size - usage.block_size);
        EXPECT_EQ(swap->minimum_size().bytes, 10 * usage.block_size);
        EXPECT_EQ(swap->can_grow(), Reason::none);
        EXPECT_EQ(swap->can_shrink(), Reason::none);
        EXPECT_TRUE(swap->resizes_natively());
    }
}

TEST_F(Swap, SaysTheSameWithAllThatIsFreeOverwritten) {
    make(8 * MiB);
    const std::string before = dt::run_tool({"swaplabel", path}) + dt::run_tool({"blkid", "-p", path});
    {
        dt::FileDevice device(path, Access::write);
        for (const Range& range : Plugin().open(device)->free_extents())
            device.write(range.offset, std::vector<std::byte>(range.length, std::byte{0xaa}));
    }
    EXPECT_EQ(dt::run_tool({"swaplabel", path}) + dt::run_tool({"blkid", "-p", path}), before);
}

// The resized header is, byte for byte, what mkswap would have written.
TEST_F(Swap, IsResizedAsMkswapWouldMakeIt) {
    for (const char* page : {"4096", "65536"})
        for (const std::uint64_t size : {3 * MiB, 20 * MiB, 20 * MiB + 5000, 10 * std::uint64_t{65536}}) {
            make(8 * MiB, page);
            resize(size);
            EXPECT_EQ(dt::run_tool({"swaplabel", path}), fmt::format("LABEL: swapper\nUUID:  {}\n", uuid));
            dt::FileDevice device(path);
            EXPECT_EQ(Plugin().open(device)->usage().size, size / std::stoull(page) * std::stoull(page));
            const std::string resized = dt::read_file(path);
            make(size, page);
            EXPECT_EQ(resized.substr(0, 65536), dt::read_file(path).substr(0, 65536)) << page << " " << size;
        }
}

TEST_F(Swap, FileSaysTheNewSize) {
    if (dt::exit_status_of({"sh", "-c", "command -v file"}) != 0)
        GTEST_SKIP() << "no program \"file\"";
    make(8 * MiB);
    resize(20 * MiB);
    EXPECT_NE(dt::run_tool({"file", path}).find("size 5119 pages"), std::string::npos)
        << dt::run_tool({"file", path});
}

TEST_F(Swap, BadPagesAreNotFreeAndStayWhileTheyAreWithin) {
    make(8 * MiB);
    patch(1032, words(3));
    patch(1536, words(2000) + words(5) + words(100));
    {
        dt::FileDevice device(path);
        EXPECT_EQ(
            Plugin().open(device)->free_extents().to_vector(),
            (std::vector<Range>{
                {4096, 4 * 4096}, {6 * 4096, 94 * 4096}, {101 * 4096, 1899 * 4096}, {2001 * 4096, 47 * 4096}}));
    }
    resize(4 * MiB);
    dt::FileDevice device(path);
    const auto header = read_header(device);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->bad_pages, (std::vector<std::uint32_t>{5, 100}));
    EXPECT_EQ(header->last_page, 1023u);
}

TEST_F(Swap, OfABigEndianMachineIsResizedInItsOrder) {
    make(8 * MiB);
    patch(1024, words(1, true) + words(2047, true));
    resize(4 * MiB);
    EXPECT_EQ(dt::read_file(path).substr(1024, 8), words(1, true) + words(1023, true));
    EXPECT_EQ(blkid("TYPE"), "swap");
}

TEST_F(Swap, OfASleepingSystemIsLeftAlone) {
    for (const char* signature : {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"}) {
        make(8 * MiB);
        patch(4086, std::string(10, '\0'));
        patch(4086, signature);
        dt::FileDevice device(path);
        EXPECT_EQ(Plugin().probe(device), 100) << signature;
        const auto swap = Plugin().open(device);
        EXPECT_EQ(swap->state().reason, Reason::hibernated);
        EXPECT_FALSE(swap->state().free_map_trusted);
        EXPECT_FALSE(swap->state().appliance_can_help);
        EXPECT_EQ(swap->usage().free, 0u);
        EXPECT_EQ(swap->can_shrink(), Reason::hibernated);
        EXPECT_EQ(swap->can_grow(), Reason::hibernated);
        Plan plan("resize", path);
        for (const auto& action :
             {std::function<void()>([&] { swap->free_extents(); }),
              std::function<void()>([&] { swap->minimum_size(); }), std::function<void()>([&] {
                  swap->plan_resize(plan, {1, 8 * MiB, 4 * MiB});
              })})
            try {
                action();
                ADD_FAILURE() << "worked on a sleeping system";
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::damaged);
                EXPECT_EQ(error.reason(), Reason::hibernated);
                EXPECT_NE(std::string(error.what()).find("a system sleeps"), std::string::npos);
            }
    }
}

TEST_F(Swap, TooSmallIsRefused) {
    make(8 * MiB);
    EXPECT_THROW(resize(39 * KiB), Error);
    resize(40 * KiB);
    dt::FileDevice device(path);
    EXPECT_EQ(Plugin().open(device)->minimum_size().reason, Reason::filesystem_full_to_size);
}

TEST_F(Swap, SomethingElseThanWasPlannedIsNotTouched) {
    make(8 * MiB);
    Plan plan("resize", path);
    {
        dt::FileDevice device(path);
        Plugin().open(device)->plan_resize(plan, {1, 8 * MiB, 4 * MiB});
    }
    make(8 * MiB, "8192");
    patch(4086, std::string(10, '\0'));
    const std::string before = dt::read_file(path);
    Context context(path);
    EXPECT_THROW(plan.steps().front()->commit(context), Error);
    EXPECT_EQ(dt::read_file(path), before);
}

TEST_F(Swap, DamageIsNamed) {
    struct {
        std::uint64_t offset;
        std::string bytes;
        const char* words;
    } const cases[] = {
        {1024, words(2), "its version is 2"},          {1028, words(2048), "its last page is number 2048"},
        {1028, words(0), "its last page is number 0"}, {1028, words(~0u), "its last page is number 4294967295"},
        {1032, words(638), "it counts 638 bad pages"}, {1032, words(~0u), "it counts 4294967295 bad pages"},
        {1032, words(1), "it calls page 0 bad"},
    };
    for (const auto& c : cases) {
        make(8 * MiB);
        patch(c.offset, c.bytes);
        dt::FileDevice device(path);
        EXPECT_EQ(Plugin().probe(device), 60);
        try {
            Plugin().open(device);
            ADD_FAILURE() << c.words;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
            EXPECT_EQ(error.reason(), Reason::filesystem_damaged);
            EXPECT_NE(std::string(error.what()).find(c.words), std::string::npos) << error.what();
        }
    }
}

TEST_F(Swap, OldVersionAndNothingAreRefusedByName) {
    make(8 * MiB);
    patch(4086, "SWAP-SPACE");
    dt::FileDevice device(path);
    EXPECT_EQ(Plugin().probe(device), 60);
    try {
        Plugin().open(device);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reason(), Reason::feature_not_supported);
        EXPECT_NE(std::string(error.what()).find("version 0"), std::string::npos);
    }
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{4095}, MiB}) {
        dt::MemoryDevice nothing(size);
        EXPECT_EQ(Plugin().probe(nothing), 0);
        EXPECT_THROW(Plugin().open(nothing), Error);
    }
}

} // namespace disktool::swap::test

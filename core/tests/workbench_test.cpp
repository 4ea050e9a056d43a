// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/workbench.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace disktool {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t mib = 1 << 20;

/// A working disk that is a copy of the image's file, and takes its place when it is committed.
class CopiedDisk final : public WorkingDisk {
  public:
    CopiedDisk(std::string path, std::uint64_t size) : path_(std::move(path)), copy_(path_ + ".work") {
        std::filesystem::copy_file(path_, copy_);
        std::filesystem::resize_file(copy_, size);
        device_ = std::make_unique<test::FileDevice>(copy_, Access::write);
    }
    ~CopiedDisk() override {
        std::error_code none;
        std::filesystem::remove(copy_, none);
    }
    std::uint64_t size() const override { return device_->size(); }
    std::string name() const override { return "copy"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override { device_->read(offset, buffer); }
    std::vector<Extent> extents(Range range) override { return device_->extents(range); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        if (offset + data.size() > full_from)
            throw Error(ErrorCode::no_space, "no room on the host for copy");
        device_->write(offset, data);
    }
    void discard(Range range) override { device_->discard(range); }
    void zero(Range range) override { device_->zero(range); }
    void flush() override { device_->flush(); }
    std::uint64_t space_taken() const override { return 0; }
    void commit(const WorkCommit& request) override {
        device_.reset();
        std::filesystem::resize_file(copy_, request.size);
        std::filesystem::rename(copy_, path_);
    }

    std::uint64_t full_from = ~std::uint64_t{0};

  private:
    std::string path_;
    std::string copy_;
    std::unique_ptr<test::FileDevice> device_;
};

class CopiedImage final : public Image {
  public:
    explicit CopiedImage(const std::string& path) : device_(path) {
        info_.path = path;
        info_.cluster_size = 64 << 10;
    }
    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return device_; }
    std::optional<Refusal> refusal(Capability) const override { return std::nullopt; }
    std::unique_ptr<WorkingDisk> begin_work(std::uint64_t size) override {
        auto made = std::make_unique<CopiedDisk>(info_.path, size);
        disk = made.get();
        return made;
    }

    CopiedDisk* disk = nullptr; ///< the last one

  private:
    ImageInfo info_;
    test::FileDevice device_;
};

/// Opens the disk as QEMU would, and keeps it open until it is shut down.
class FakeAppliance final : public Appliance {
  public:
    explicit FakeAppliance(std::vector<std::string>& events) : events_(events) {}
    void launch(const Disk& disk, CancelToken*) override {
        EXPECT_EQ(disk.format, "raw");
        EXPECT_FALSE(disk.read_only);
        file_ = open(disk.path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
        EXPECT_GE(file_, 0);
        events_.push_back("launched");
    }
    void shut_down() override {
        EXPECT_EQ(pwrite(file_, "machine", 7, 512), 7) << "what it still had to write";
        close(file_);
        events_.push_back("shut down");
    }
    bool emulated() const override { return true; }
    std::uint64_t boot_milliseconds() const override { return 0; }
    std::uint64_t disk_size() override { return 0; }
    std::optional<std::string> table_type() override { return std::nullopt; }
    std::vector<AppliancePartition> partitions() override { return {}; }
    std::vector<ApplianceFilesystem> filesystems() override { return {}; }
    ApplianceUsage usage(const std::string&) override { return {}; }
    std::optional<std::uint64_t> minimum_size(const std::string&) override { return std::nullopt; }
    void trim(const std::string&) override {}
    void resize_filesystem(const std::string&, const std::string&, std::uint64_t) override {}
    void resize_physical_volume(const std::string&, std::uint64_t) override {}
    void resize_logical_volume(const std::string&, std::uint64_t) override {}

  private:
    std::vector<std::string>& events_;
    int file_ = -1;
};

class WorkbenchTest : public testing::Test {
  protected:
    static constexpr Range part{mib, 48 * mib};

    void SetUp() override {
        if (access("/dev/fuse", W_OK) != 0)
            GTEST_SKIP() << "no /dev/fuse";
        test::write_file(path_, "");
        std::filesystem::resize_file(path_, 64 * mib);
    }
    void make_ext4() {
        std::filesystem::create_directory(folder_ / "tree");
        for (int i = 0; i < 40; ++i)
            test::write_file(folder_ / fmt::format("tree/file{}", i),
                             std::string(200'000, static_cast<char>('a' + i % 26)));
        test::run_tool({"mke2fs", "-q", "-t", "ext4", "-E", fmt::format("offset={}", part.offset), "-d",
                        folder_ / "tree", path_, fmt::format("{}k", part.length / 1024)});
    }
    std::unique_ptr<OwnWorkbench> begin(CopiedImage& image) {
        return make_workbench(real_doors(), image,
                              {.size = 64 * mib, .windows = {{1, part}, {12, {50 * mib, mib}}}}, nullptr,
                              [this] { return std::make_unique<FakeAppliance>(events_); });
    }
    static CommandResult run(Workbench& bench, const std::string& package, std::vector<std::string> words,
                             const std::string& version = "") {
        Command command;
        command.arguments = std::move(words);
        return bench.run({command.arguments[0], version, package}, command);
    }
    /// Of the image's partition, as a file.
    std::string extracted(std::uint64_t length) {
        test::run_tool({"dd", "if=" + path_, "of=" + (folder_ / "part"), "bs=1M", "skip=1",
                        fmt::format("count={}", length / mib), "conv=sparse", "status=none"});
        return folder_ / "part";
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "image";
    std::vector<std::string> events_;
};

TEST_F(WorkbenchTest, ShrinksExt4InTheSandbox) {
    make_ext4();
    const std::string before = test::read_file(path_);
    CopiedImage image(path_);
    const auto bench = begin(image);
    const std::string file = bench->path(1);
    EXPECT_EQ(std::filesystem::file_size(file), part.length);
    const CommandResult checked = run(*bench, "e2fsprogs", {"e2fsck", "-f", "-y", file});
    EXPECT_EQ(checked.exit_status, 0) << checked.output << checked.errors;
    const CommandResult shrunk = run(*bench, "e2fsprogs", {"resize2fs", file, "20M"});
    EXPECT_EQ(shrunk.exit_status, 0) << shrunk.output << shrunk.errors;
    EXPECT_THAT(shrunk.errors, testing::Not(HasSubstr("truncate")));
    EXPECT_EQ(test::read_file(path_), before) << "the image is the old one until the commit";
    bench->commit({.size = 22 * mib});
    EXPECT_EQ(std::filesystem::file_size(path_), 22 * mib);
    EXPECT_FALSE(std::filesystem::exists(file));
    const std::string result = extracted(20 * mib);
    EXPECT_EQ(test::exit_status_of({"e2fsck", "-fn", result}), 0);
    for (int i : {0, 39})
        EXPECT_EQ(test::run_tool({"debugfs", "-R", fmt::format("cat /file{}", i), result}),
                  std::string(200'000, static_cast<char>('a' + i % 26)));
}

TEST_F(WorkbenchTest, GrowsExt4InTheSandbox) {
    make_ext4();
    std::filesystem::resize_file(path_, 49 * mib);
    CopiedImage image(path_);
    const auto bench =
        make_workbench(real_doors(), image, {.size = 96 * mib, .windows = {{1, {mib, 90 * mib}}}}, nullptr, {});
    ASSERT_EQ(run(*bench, "e2fsprogs", {"e2fsck", "-f", "-y", bench->path(1)}).exit_status, 0);
    ASSERT_EQ(run(*bench, "e2fsprogs", {"resize2fs", bench->path(1)}).exit_status, 0);
    bench->commit({.size = 96 * mib});
    const std::string result = extracted(90 * mib);
    EXPECT_EQ(test::exit_status_of({"e2fsck", "-fn", result}), 0);
    EXPECT_THAT(test::run_tool({"dumpe2fs", "-h", result}),
                HasSubstr(fmt::format("Block count:              {}", 90 * 1024)));
}

TEST_F(WorkbenchTest, ShrinksNtfsInTheSandbox) {
    test::write_file(folder_ / "part", "");
    std::filesystem::resize_file(folder_ / "part", part.length);
    test::run_tool({"mkntfs", "-q", "-Q", "-F", folder_ / "part"});
    test::write_file(folder_ / "content", std::string(3 * mib, 'n'));
    test::run_tool({"ntfscp", "-f", folder_ / "part", folder_ / "content", "content"});
    test::run_tool({"dd", "if=" + (folder_ / "part"), "of=" + path_, "bs=1M", "seek=1", "conv=notrunc,sparse",
                    "status=none"});
    CopiedImage image(path_);
    const auto bench = begin(image);
    const CommandResult shrunk =
        run(*bench, "ntfs-3g", {"ntfsresize", "-f", "-f", "-s", "30M", bench->path(1)});
    EXPECT_EQ(shrunk.exit_status, 0) << shrunk.output << shrunk.errors;
    bench->commit({.size = 40 * mib});
    const std::string result = extracted(32 * mib);
    test::run_tool({"ntfsfix", "-d", result}); // ntfsresize leaves the dirty flag, for Windows to check
    EXPECT_EQ(test::run_tool({"ntfscat", result, "content"}), std::string(3 * mib, 'n'));
    EXPECT_THAT(test::run_tool({"ntfsresize", "-i", "-f", result}), HasSubstr("Current volume size: 29"));
}

TEST_F(WorkbenchTest, MakesSwapInTheSandbox) {
    CopiedImage image(path_);
    const auto bench = begin(image);
    const CommandResult made =
        run(*bench, "util-linux", {"mkswap", "-U", "0f1e2d3c-0000-4000-8000-123456789abc", bench->path(12)});
    EXPECT_EQ(made.exit_status, 0) << made.output << made.errors;
    std::string signature(10, '?');
    bench->window(12).read(4086, std::as_writable_bytes(std::span(signature)));
    EXPECT_EQ(signature, "SWAPSPACE2");
}

TEST_F(WorkbenchTest, ShowsOnlyWhatTheCommandNames) {
    CopiedImage image(path_);
    const auto bench = begin(image);
    const std::string folder = std::filesystem::path(bench->path(0)).parent_path();
    EXPECT_EQ(run(*bench, "dash", {"sh", "-c", fmt::format("ls {}; : {}", folder, bench->path(12))}).output,
              "p12\n");
    EXPECT_EQ(
        run(*bench, "dash", {"sh", "-c", fmt::format("ls {}; : {}?offset=3", folder, bench->path(1))}).output,
        "p1\n");
    EXPECT_NE(run(*bench, "dash", {"ls", folder}).exit_status, 0);
}

TEST_F(WorkbenchTest, WindowsAndFilesAreOne) {
    CopiedImage image(path_);
    const auto bench = begin(image);
    const auto text = [&] {
        return test::run_tool({"dd", "if=" + bench->path(1), "bs=5", "count=1", "status=none"});
    };
    const auto put = [](BlockDevice& device, std::uint64_t offset, const std::string& words) {
        device.write(offset, std::as_bytes(std::span(words)));
    };
    put(bench->window(1), 0, "first");
    EXPECT_EQ(text(), "first");
    put(bench->window(1), 0, "again");
    EXPECT_EQ(text(), "again");
    put(bench->disk(), part.offset, "whole");
    EXPECT_EQ(text(), "whole");
    EXPECT_EQ(bench->window(0).size(), 64 * mib);
    EXPECT_THROW(bench->window(2), std::logic_error);
}

TEST_F(WorkbenchTest, AFullHostIsToldAndNeverCommitted) {
    make_ext4();
    const std::string before = test::read_file(path_);
    CopiedImage image(path_);
    const auto bench = begin(image);
    image.disk->full_from = 30 * mib;
    for (int i = 0; i < 2; ++i) {
        try {
            run(*bench, "coreutils", {"dd", "if=/dev/zero", "of=" + bench->path(1), "bs=1M", "conv=notrunc"});
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::no_space);
            EXPECT_STREQ(error.what(), "no room on the host for copy");
        }
    }
    EXPECT_THROW(bench->commit({.size = 64 * mib}), Error);
    bench->abandon();
    EXPECT_EQ(test::read_file(path_), before);
}

TEST_F(WorkbenchTest, AMissingProgramIsNamed) {
    CopiedImage image(path_);
    const auto bench = begin(image);
    try {
        run(*bench, "fsck-tools", {"no-such-fsck"}, "1.0");
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::program_missing);
        EXPECT_THAT(error.what(), HasSubstr("fsck-tools"));
    }
    EXPECT_THROW(run(*bench, "e2fsprogs", {"e2fsck"}, "999.0"), Error);
}

TEST_F(WorkbenchTest, TheApplianceEndsBeforeAnyoneElseLooks) {
    CopiedImage image(path_);
    const auto bench = begin(image);
    Appliance& machine = bench->appliance();
    EXPECT_EQ(&bench->appliance(), &machine) << "the one that runs";
    std::string text(7, '?');
    bench->window(0).read(512, std::as_writable_bytes(std::span(text)));
    EXPECT_EQ(text, "machine");
    bench->appliance();
    bench->commit({.size = 64 * mib});
    EXPECT_THAT(events_, testing::ElementsAre("launched", "shut down", "launched", "shut down"));
    EXPECT_EQ(test::read_file(path_).substr(512, 7), "machine");
}

TEST_F(WorkbenchTest, AbandonedItLeavesTheImage) {
    CopiedImage image(path_);
    std::string file;
    {
        const auto bench = begin(image);
        file = bench->path(0);
        bench->appliance();
        const std::string words = "gone";
        bench->window(0).write(0, std::as_bytes(std::span(words)));
        bench->appliance();
    }
    EXPECT_EQ(events_.back(), "shut down");
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(file).parent_path().parent_path()));
    EXPECT_FALSE(std::filesystem::exists(path_ + ".work"));
    EXPECT_EQ(test::read_file(path_).substr(0, 4), std::string(4, '\0'));
}

} // namespace
} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// Each test that boots takes 10 to 40 s where KVM does not work: few of them, with much in each.
#include "engine/appliance_loader.h"
#include "engine/own_place.h"
#include "engine/qemu.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <regex>
#include <thread>

namespace disktool {
namespace {

using std::chrono::milliseconds;
using test::run_tool;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr const char* uuid = "0f7c3f0c-8f5e-4d0b-9a0c-1d2e3f405162";
constexpr std::uint64_t ext4_offset = 1 * MiB;
constexpr std::uint64_t ext4_size = 96 * MiB;

Error error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error;
    }
    throw std::runtime_error("no error");
}

/// The number behind `label` in a tool's output.
std::uint64_t number_in(const std::string& text, const std::string& label) {
    std::smatch match;
    if (!std::regex_search(text, match, std::regex(label + ":\\s+(\\d+)")))
        throw std::runtime_error(label + " is not in\n" + text);
    return std::stoull(match[1]);
}

enum class Layout { partitions, whole_disk };

/// An ext4 with a file kept and a file deleted; on the whole disk, or the first of three partitions: then with
/// a journal to replay, beside swap and nothing known.
class Disk {
  public:
    explicit Disk(Layout layout) {
        make_ext4(layout == Layout::partitions ? ext4_size : 20 * GiB);
        if (layout == Layout::partitions)
            make_partitions();
        run_tool({"qemu-img", "convert", "-f", "raw", "-O", "qcow2",
                  layout == Layout::partitions ? raw_ : ext4_, image});
    }

    /// Of an ext4 on the whole disk: the file that was kept is as it was, and e2fsck finds nothing wrong.
    void check_files() const {
        run_tool({"qemu-img", "check", "-q", image});
        run_tool({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw_});
        run_tool({"e2fsck", "-fn", raw_});
        run_tool({"debugfs", "-R", "dump kept " + (folder_ / "now"), raw_});
        run_tool({"cmp", folder_ / "now", folder_ / "files/kept"});
    }
    std::uint64_t allocated() const { return real_doors().files.status(image)->allocated; }

  private:
    void make_ext4(std::uint64_t size) {
        std::filesystem::create_directory(folder_ / "files");
        run_tool({"sh", "-c", "cd \"$0\" && head -c 8M /dev/urandom >kept && head -c 32M /dev/urandom >deleted",
                  folder_ / "files"});
        run_tool({"truncate", "-s", std::to_string(size), ext4_});
        run_tool({"mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "data", "-U", uuid, "-d", folder_ / "files",
                  ext4_});
        run_tool({"debugfs", "-w", "-R", "rm deleted", ext4_});
        free = number_in(run_tool({"dumpe2fs", "-h", ext4_}), "Free blocks") * 4096;
        minimum = number_in(run_tool({"resize2fs", "-P", ext4_}), "minimum size of the filesystem") * 4096;
    }
    void make_partitions() {
        run_tool({"truncate", "-s", "128M", raw_});
        run_tool({"sh", "-c",
                  "printf 'label: gpt\nstart=1MiB, size=96MiB\nstart=97MiB, size=16MiB, type=S\nsize=8MiB\n' | "
                  "sfdisk -q \"$0\"",
                  raw_});
        run_tool({"debugfs", "-w", "-R", "feature needs_recovery", ext4_});
        run_tool({"truncate", "-s", "16M", swap_});
        run_tool({"mkswap", "-q", "-L", "more", swap_});
        for (const auto& [part, megabyte] : {std::pair{ext4_, 1}, {swap_, 97}})
            run_tool({"dd", "status=none", "bs=1M", "conv=notrunc,sparse", "if=" + part, "of=" + raw_,
                      fmt::format("seek={}", megabyte)});
    }

    test::TemporaryFolder folder_;
    const std::string raw_ = folder_ / "disk.raw";
    const std::string ext4_ = folder_ / "ext4.raw";
    const std::string swap_ = folder_ / "swap.raw";

  public:                                                // made before the constructor's body, filled in by it
    const std::string image = folder_ / "di,sk:1.qcow2"; ///< characters that mean something to QEMU
    std::uint64_t free = 0;                              ///< bytes of the ext4
    std::uint64_t minimum = 0;                           ///< bytes of the ext4
};

class ApplianceTest : public testing::Test {
  protected:
    ApplianceTest() {
        set_log_receiver([this](LogLevel level, std::string_view line) {
            if (level == LogLevel::warning)
                warnings_.emplace_back(line);
        });
    }
    ~ApplianceTest() override { set_log_receiver({}); }

    static std::unique_ptr<Appliance> make() { return load_appliance(ApplianceConfig{}); }

    Disk disk_{Layout::partitions};
    std::vector<std::string> warnings_;
};

TEST_F(ApplianceTest, TellsOfADiskAndChangesNothing) {
    const std::string before = test::read_file(disk_.image);
    CancelToken cancel;
    ApplianceConfig config;
    config.remembers_kvm = false; // another test's failure would spare this one the warning
    const auto appliance = load_appliance(config);
    appliance->launch({disk_.image, "qcow2", true}, &cancel);
    EXPECT_GT(appliance->boot_milliseconds(), 500);
    const bool kvm_failed = appliance->emulated() && std::filesystem::exists("/dev/kvm");
    ASSERT_EQ(warnings_.size(), kvm_failed ? 1 : 0);
    if (kvm_failed) {
        EXPECT_THAT(warnings_.front(), HasSubstr("does not start with KVM"));
    }

    EXPECT_EQ(appliance->disk_size(), 128 * MiB);
    EXPECT_EQ(appliance->table_type(), "gpt");
    const std::vector<AppliancePartition> partitions = appliance->partitions();
    ASSERT_EQ(partitions.size(), 3);
    EXPECT_EQ(partitions[0].number, 1);
    EXPECT_EQ(partitions[0].offset, ext4_offset);
    EXPECT_EQ(partitions[0].length, ext4_size);
    EXPECT_EQ(partitions[2].number, 3);
    EXPECT_EQ(partitions[2].offset, 113 * MiB);

    const std::vector<ApplianceFilesystem> found = appliance->filesystems();
    ASSERT_EQ(found.size(), 3);
    EXPECT_EQ(found[0].device, "/dev/sda1");
    EXPECT_EQ(found[0].type, "ext4");
    EXPECT_EQ(found[0].label, "data");
    EXPECT_EQ(found[0].uuid, uuid);
    EXPECT_EQ(found[1].type, "swap");
    EXPECT_EQ(found[1].label, "more");
    EXPECT_EQ(found[2].type, "unknown");

    const ApplianceUsage usage = appliance->usage("/dev/sda1");
    EXPECT_EQ(usage.block_size, 4096);
    EXPECT_EQ(usage.free, disk_.free);
    EXPECT_LT(usage.size, ext4_size); // df leaves out what the metadata takes
    EXPECT_GT(usage.size, ext4_size * 8 / 10);
    EXPECT_EQ(appliance->minimum_size("/dev/sda1"), disk_.minimum);
    EXPECT_EQ(appliance->minimum_size("/dev/sda2"), std::nullopt);
    const Error swap = error_of([&] { appliance->usage("/dev/sda2"); });
    EXPECT_EQ(swap.code(), ErrorCode::failure);
    EXPECT_THAT(swap.what(), HasSubstr("/dev/sda2"));
    EXPECT_THAT(swap.what(), HasSubstr("swap space"));
    EXPECT_EQ(error_of([&] { appliance->usage("/dev/sda3"); }).code(), ErrorCode::failure);
    EXPECT_EQ(error_of([&] { appliance->trim("/dev/sda2"); }).code(), ErrorCode::failure);

    // A ctrl-C in the middle of an operation.
    const std::jthread user([&] {
        std::this_thread::sleep_for(milliseconds(300));
        cancel.cancel();
    });
    const Clock::time_point begin = Clock::now();
    const Error interrupted = error_of([&] {
        for (;;)
            appliance->filesystems();
    });
    EXPECT_EQ(interrupted.code(), ErrorCode::interrupted);
    EXPECT_LT(Clock::now() - begin, milliseconds(2000));
    appliance->shut_down();
    EXPECT_TRUE(test::read_file(disk_.image) == before);
}

TEST(Appliance, TrimsAFilesystemOnTheWholeDisk) {
    const Disk disk(Layout::whole_disk);
    const std::uint64_t before = disk.allocated();
    const auto appliance = load_appliance(ApplianceConfig{});
    appliance->launch({disk.image, "qcow2", false}, nullptr);
    EXPECT_EQ(appliance->table_type(), std::nullopt);
    EXPECT_TRUE(appliance->partitions().empty());
    appliance->trim("/dev/sda");
    appliance->shut_down();
    // QEMU makes an L2 table (64 KiB) for each 512 MiB of the disk that is discarded.
    EXPECT_LT(disk.allocated() + 32 * MiB, before + 40 * 64 * KiB + MiB);
    disk.check_files();
}

TEST_F(ApplianceTest, StopsBootingWhenCancelledAndComplainsOfKvmOnce) {
    for (int round = 0; round < 2; ++round) {
        CancelToken cancel;
        const std::jthread user([&] {
            std::this_thread::sleep_for(milliseconds(1500)); // in the midst of the second, emulated boot
            cancel.cancel();
        });
        const Clock::time_point begin = Clock::now();
        const auto appliance = make();
        const Error error = error_of([&] {
            for (;;) // a host whose KVM works may be done before
                appliance->launch({disk_.image, "qcow2", true}, &cancel);
        });
        EXPECT_EQ(error.code(), ErrorCode::interrupted) << error.what();
        EXPECT_LT(Clock::now() - begin, milliseconds(10000)); // a whole emulated boot takes longer
    }
    EXPECT_LE(warnings_.size(), 1);
    for (const std::string& warning : warnings_)
        EXPECT_THAT(warning, HasSubstr("does not start with KVM"));
}

TEST_F(ApplianceTest, GivesUpABootThatTakesTooLong) {
    ApplianceConfig config;
    config.acceleration = ApplianceConfig::Acceleration::emulation;
    config.boot_timeout = std::chrono::seconds(1);
    const auto appliance = load_appliance(config);
    const Error error = error_of([&] { appliance->launch({disk_.image, "qcow2", true}, nullptr); });
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_EQ(error.reason(), Reason::appliance_unavailable);
    EXPECT_THAT(error.what(), HasSubstr("did not come up within 1 s"));
}

TEST_F(ApplianceTest, SaysWhoHoldsTheLock) {
    const auto holder = NbdDevice::open(real_doors(), disk_.image, "qcow2", {.writable = true});
    const Error error = error_of([&] { make()->launch({disk_.image, "qcow2", false}, nullptr); });
    EXPECT_EQ(error.code(), ErrorCode::locked);
    EXPECT_THAT(error.what(), HasSubstr(disk_.image));
    EXPECT_THAT(error.what(), HasSubstr("(qemu-nbd)"));
    EXPECT_THAT(warnings_, testing::IsEmpty()); // KVM is not to blame
}

TEST_F(ApplianceTest, SaysThatTheImageIsNone) {
    test::write_file(disk_.image, "no image");
    for (const bool read_only : {true, false}) {
        const Error error = error_of([&] { make()->launch({disk_.image, "qcow2", read_only}, nullptr); });
        EXPECT_EQ(error.code(), ErrorCode::failure);
        EXPECT_EQ(error.what(),
                  fmt::format("The appliance cannot open {}: Image is not in qcow2 format", disk_.image));
    }
    EXPECT_THAT(warnings_, testing::IsEmpty());
}

TEST_F(ApplianceTest, NamesAMissingEmulator) {
    setenv("LIBGUESTFS_HV", "/usr/bin/qemu-system-none", 1);
    const Error error = error_of([&] { make()->launch({disk_.image, "qcow2", true}, nullptr); });
    unsetenv("LIBGUESTFS_HV");
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_EQ(error.reason(), Reason::appliance_unavailable);
    EXPECT_THAT(error.what(), HasSubstr("/usr/bin/qemu-system-none is missing (package qemu-system-x86)"));
    EXPECT_THAT(warnings_, testing::IsEmpty());
}

TEST_F(ApplianceTest, NamesTheImageThatIsNotThere) {
    const Error error = error_of([&] { make()->launch({"/nowhere/disk.qcow2", "qcow2", true}, nullptr); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/disk.qcow2"));
}

TEST(ApplianceLoader, NamesThePackageOfAMissingLibrary) {
    // The real one, made to ask for a library that no host has.
    std::string code = test::read_file(own_prefix() + "/lib/disktool/engines/appliance.so");
    const std::string needed = "libguestfs.so.0";
    const std::size_t at = code.find(needed);
    ASSERT_NE(at, std::string::npos);
    code.replace(at, needed.size(), "libguestfs.so.9");
    const test::TemporaryFolder folder;
    test::write_file(folder / "appliance.so", code);
    const Error error = error_of([&] { load_appliance(ApplianceConfig{}, folder / "appliance.so"); });
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_EQ(error.reason(), Reason::appliance_unavailable);
    EXPECT_THAT(error.what(), HasSubstr("libguestfs.so.9: cannot open shared object file"));
    EXPECT_THAT(error.what(), HasSubstr("package libguestfs0"));
}

TEST(ApplianceLoader, NamesItsOwnMissingPart) {
    const Error error = error_of([&] { load_appliance(ApplianceConfig{}, "/nowhere/appliance.so"); });
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/appliance.so: cannot open shared object file"));
    EXPECT_THAT(error.what(), HasSubstr("package libguestfs0"));
}

} // namespace
} // namespace disktool

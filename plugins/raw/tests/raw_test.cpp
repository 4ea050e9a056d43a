// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_plugin.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

namespace disktool::raw {
namespace {

using testing::HasSubstr;

class FileOpener final : public ImageOpener {
  public:
    explicit FileOpener(const std::string& path) : file_(real_doors().files.open(path, {})) {}
    Doors doors() override { return real_doors(); }
    Access access() const override { return Access::read; }
    File& file() override { return *file_; }
    std::unique_ptr<Image> open_backing(const std::string&, const std::string&) override { return nullptr; }
    std::unique_ptr<File> open_data_file(const std::string&) override { return nullptr; }

  private:
    std::unique_ptr<File> file_;
};

class RawTest : public testing::Test {
  protected:
    std::unique_ptr<Image> open() { return Plugin().open(std::make_unique<FileOpener>(path_)); }
    void write_at(std::uint64_t offset, const std::string& text) {
        real_doors()
            .files.open(path_, {.write = true, .create = true})
            ->write(offset, std::as_bytes(std::span(text)));
    }
    std::string read(BlockDevice& device, std::uint64_t offset, std::size_t length) {
        std::string text(length, '?');
        device.read(offset, std::as_writable_bytes(std::span(text)));
        return text;
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "disk.raw";
};

/// Runs of data as "offset+length", as we see them and as qemu-img does.
std::string our_data(BlockDevice& device) {
    std::string text;
    std::uint64_t end = 0;
    for (const Extent& extent : device.extents({0, device.size()})) {
        EXPECT_EQ(extent.range.offset, end);
        end = extent.range.end();
        if (extent.kind == ExtentKind::data) {
            text += fmt::format("{}+{} ", extent.range.offset, extent.range.length);
        }
    }
    EXPECT_EQ(end, device.size());
    return text;
}

std::string qemu_data(const std::string& path) {
    const std::string json = test::run_tool({"qemu-img", "map", "-f", "raw", "--output=json", path});
    const std::regex data("\"start\": ([0-9]+), \"length\": ([0-9]+),[^}]*\"data\": true");
    std::string text;
    for (std::sregex_iterator match(json.begin(), json.end(), data); match != std::sregex_iterator(); ++match) {
        text += fmt::format("{}+{} ", (*match)[1].str(), (*match)[2].str());
    }
    return text;
}

TEST_F(RawTest, DataAndHolesAsQemuSeesThem) {
    for (const std::uint64_t at : {0 * MiB, 1 * MiB, 5 * MiB + 4096}) {
        write_at(at, std::string(8192, 'x'));
    }
    std::filesystem::resize_file(path_, 8 * MiB);
    EXPECT_EQ(our_data(open()->device()), "0+8192 1048576+8192 5246976+8192 ");
    EXPECT_EQ(our_data(open()->device()), qemu_data(path_));

    write_at(8 * MiB - 4096, std::string(4096 + 100, 'x')); // data up to an end that is no whole sector
    EXPECT_EQ(our_data(open()->device()), qemu_data(path_));
}

TEST_F(RawTest, APartOfTheExtents) {
    write_at(1 * MiB, std::string(8192, 'x'));
    std::filesystem::resize_file(path_, 2 * MiB);
    const std::unique_ptr<Image> image = open();
    EXPECT_EQ(image->device().extents({1 * MiB - 512, 1024}),
              (std::vector<Extent>{{{1 * MiB - 512, 512}, ExtentKind::unallocated},
                                   {{1 * MiB, 512}, ExtentKind::data}}));
    EXPECT_TRUE(image->device().extents({2 * MiB, 0}).empty());
}

TEST_F(RawTest, TheLastSectorIsFilledWithZeros) {
    write_at(0, "end");
    const std::unique_ptr<Image> image = open();
    EXPECT_EQ(image->device().size(), 512u);
    EXPECT_EQ(image->info().virtual_size, 512u);
    EXPECT_EQ(image->info().file_size, 3u);
    EXPECT_EQ(read(image->device(), 0, 6), std::string("end\0\0\0", 6));
    EXPECT_EQ(read(image->device(), 500, 12), std::string(12, '\0'));
    EXPECT_EQ(read(image->device(), 512, 0), "");
}

TEST_F(RawTest, BeyondTheEnd) {
    write_at(0, std::string(1024, 'x'));
    const std::unique_ptr<Image> image = open();
    for (const auto& [offset, length] :
         {std::pair<std::uint64_t, std::size_t>{1024, 1}, {1000, 25}, {UINT64_MAX, 2}}) {
        try {
            read(image->device(), offset, length);
            ADD_FAILURE() << offset;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
        }
        EXPECT_THROW(image->device().extents({offset, length}), Error);
    }
    std::filesystem::resize_file(path_, 100); // behind our back
    EXPECT_THROW(read(image->device(), 0, 512), Error);
}

TEST_F(RawTest, CanDoNothingAndSaysWhy) {
    write_at(0, "x");
    const std::unique_ptr<Image> image = open();
    for (const Capability capability : {Capability::grow, Capability::compact, Capability::check}) {
        const std::optional<Refusal> refusal = image->refusal(capability);
        ASSERT_TRUE(refusal.has_value());
        EXPECT_EQ(refusal->reason, Reason::format_not_supported);
        EXPECT_THAT(refusal->sentence,
                    HasSubstr(path_ + ": unsupported format \"raw\". Only \"qcow2\" is supported."));
    }
    EXPECT_FALSE(image->device().writable());
    EXPECT_EQ(Plugin().probe({}, path_), 0);
}

} // namespace
} // namespace disktool::raw

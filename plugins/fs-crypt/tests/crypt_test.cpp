// SPDX-License-Identifier: LGPL-2.1-or-later
// LUKS made by cryptsetup, BitLocker by its boot sectors; told as blkid tells them, and left alone.
#include "crypt_plugin.h"
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

namespace disktool::crypt::test {

namespace dt = disktool::test;

namespace {

std::string blkid(const std::string& path, const std::string& tag) {
    std::string value = dt::run_tool({"blkid", "-p", "-o", "value", "-s", tag, path});
    while (value.ends_with('\n'))
        value.pop_back();
    return value;
}

void expect_refused(Filesystem& filesystem, const std::string& words) {
    EXPECT_EQ(filesystem.state().reason, Reason::encrypted);
    EXPECT_FALSE(filesystem.state().free_map_trusted);
    EXPECT_FALSE(filesystem.state().appliance_can_help);
    EXPECT_EQ(filesystem.usage().free, 0u);
    EXPECT_EQ(filesystem.can_grow(), Reason::encrypted);
    EXPECT_EQ(filesystem.can_shrink(), Reason::encrypted);
    EXPECT_FALSE(filesystem.resizes_natively());
    Plan plan("resize", "disk");
    for (const std::function<void()>& action :
         {std::function<void()>([&] { filesystem.free_extents(); }),
          std::function<void()>([&] { filesystem.minimum_size(); }), std::function<void()>([&] {
              filesystem.plan_resize(plan, {1, MiB, MiB});
          })})
        try {
            action();
            ADD_FAILURE() << "worked on encrypted content";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::unsupported);
            EXPECT_EQ(error.reason(), Reason::encrypted);
            EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
            EXPECT_NE(std::string(error.what()).find("trim in the guest"), std::string::npos) << error.what();
        }
}

void put(BlockDevice& device, std::uint64_t offset, const std::string& bytes) {
    device.write(offset, std::as_bytes(std::span(bytes)));
}

class Luks : public testing::TestWithParam<const char*> {
  protected:
    void make(const std::string& type, std::vector<std::string> options = {}) {
        std::ofstream(path).close();
        std::filesystem::resize_file(path, 32 * MiB);
        const std::string key = folder / "key";
        dt::write_file(key, "secret");
        std::vector<std::string> command = {"cryptsetup", "luksFormat", "-q",     "--type",
                                            type,         "--pbkdf",    "pbkdf2", "--pbkdf-force-iterations",
                                            "1000",       "--key-file", key};
        command.insert(command.end(), options.begin(), options.end());
        command.push_back(path);
        dt::run_tool(std::move(command));
    }

    dt::TemporaryFolder folder;
    std::string path = folder / "luks.img";
};

} // namespace

TEST_P(Luks, IsToldAsBlkidTellsItAndLeftAlone) {
    make(GetParam());
    dt::FileDevice device(path);
    EXPECT_EQ(Plugin().probe(device), 100);
    const auto luks = Plugin().open(device);
    EXPECT_EQ(luks->type(), blkid(path, "TYPE"));
    EXPECT_EQ(luks->usage().uuid, blkid(path, "UUID"));
    EXPECT_EQ(luks->usage().size, 32 * MiB);
    expect_refused(*luks, std::string(GetParam()) == "luks1" ? "encrypted with LUKS1" : "encrypted with LUKS2");
}

INSTANTIATE_TEST_SUITE_P(Versions, Luks, testing::Values("luks1", "luks2"),
                         [](const auto& test) { return std::string(test.param); });

using SecondHeader = Luks;

TEST_P(SecondHeader, IsEnough) {
    make("luks2", {"--label", "archive", "--luks2-metadata-size", GetParam()});
    const std::string uuid = blkid(path, "UUID");
    dt::FileDevice device(path, Access::write);
    EXPECT_EQ(Plugin().open(device)->usage().label, "archive");
    device.zero({0, 4096});
    EXPECT_EQ(Plugin().probe(device), 100);
    EXPECT_EQ(Plugin().open(device)->usage().uuid, uuid);
}

INSTANTIATE_TEST_SUITE_P(MetadataSizes, SecondHeader, testing::Values("16k", "64k", "4m"),
                         [](const auto& test) { return std::string(test.param); });

TEST(BitLocker, IsNamedAndLeftAlone) {
    dt::MemoryDevice device(64 * MiB);
    put(device, 0, "\xeb\x58\x90-FVE-FS-");
    put(device, 510, "\x55\xaa");
    EXPECT_EQ(Plugin().probe(device), 100);
    EXPECT_EQ(Plugin().open(device)->type(), "BitLocker");
    expect_refused(*Plugin().open(device), "encrypted with BitLocker:");
}

TEST(BitLocker, ToGoIsNoFat) {
    dt::MemoryDevice device(64 * MiB);
    put(device, 0, "\xeb\x58\x90MSWIN4.1");
    put(device, 510, "\x55\xaa");
    EXPECT_EQ(Plugin().probe(device), 0);
    put(device, 424, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
    EXPECT_EQ(Plugin().probe(device), 100);
    expect_refused(*Plugin().open(device), "encrypted with BitLocker To Go");
}

TEST(Nothing, IsNotTakenForEncrypted) {
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{511}, 8 * MiB}) {
        dt::MemoryDevice nothing(size);
        EXPECT_EQ(Plugin().probe(nothing), 0);
        EXPECT_THROW(Plugin().open(nothing), Error);
    }
    // The second header's magic number alone, in the midst of other data.
    dt::MemoryDevice chance(8 * MiB);
    put(chance, 16384, "SKUL\xba\xbe");
    EXPECT_EQ(Plugin().probe(chance), 0);
}

TEST(Reads, AreFew) {
    dt::MemoryDevice large(1 * TiB);
    EXPECT_EQ(Plugin().probe(large), 0);
    EXPECT_LE(large.bytes_read(), 64 * KiB);
}

} // namespace disktool::crypt::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Backing chains and data files as the image opens them; what a chain reads is in reader_test.cpp.
#include "test_images.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {
namespace {

using testing::HasSubstr;

void overlay(const std::string& path, const std::string& backing, const std::string& size = "") {
    std::vector<std::string> arguments = {"qemu-img", "create", "-q", "-u",    "-f", "qcow2",
                                          "-b",       backing,  "-F", "qcow2", path};
    arguments.push_back(size.empty() ? "1M" : size);
    run_tool(arguments);
}

TEST(Chain, IsListedFromTheTop) {
    const TemporaryFolder folder;
    create(folder / "base.qcow2", "compat=1.1", "3M");
    overlay(folder / "middle.qcow2", "base.qcow2", "2M");
    overlay(folder / "top.qcow2", folder / "middle.qcow2", "5M");
    const auto image = open(folder / "top.qcow2");
    const auto& chain = image->info().chain;
    ASSERT_EQ(chain.size(), 3u);
    EXPECT_EQ(chain[0].path, folder / "top.qcow2");
    EXPECT_EQ(chain[1].path, folder / "middle.qcow2");
    EXPECT_EQ(chain[2].path, folder / "base.qcow2");
    EXPECT_EQ(chain[0].virtual_size, 5 * MiB);
    EXPECT_EQ(chain[1].virtual_size, 2 * MiB);
    EXPECT_EQ(chain[2].virtual_size, 3 * MiB);
    EXPECT_EQ(chain[2].format, "qcow2");
}

/// Hands out names that it was asked for, and what the core's opener throws for such a name.
class RefusingOpener final : public ImageOpener {
  public:
    explicit RefusingOpener(const std::string& path) : file_(real_doors().files.open(path, {})) {}
    Doors doors() override { return real_doors(); }
    Access access() const override { return Access::read; }
    File& file() override { return *file_; }
    std::unique_ptr<disktool::Image> open_backing(const std::string& name, const std::string& format) override {
        throw Error(ErrorCode::unsupported, name + "|" + format, Reason::backing_protocol);
    }
    std::unique_ptr<File> open_data_file(const std::string& name) override {
        throw Error(ErrorCode::not_found, "data|" + name, Reason::external_data_file);
    }

  private:
    std::unique_ptr<File> file_;
};

TEST(Chain, NamesGoToTheGateAsTheyAreStored) {
    const TemporaryFolder folder;
    overlay(folder / "top.qcow2", "json:{\"driver\":\"null-co\"}");
    const Error error = error_of([&] { Image(std::make_unique<RefusingOpener>(folder / "top.qcow2")); });
    EXPECT_STREQ(error.what(), "json:{\"driver\":\"null-co\"}|qcow2");
    EXPECT_EQ(error.reason(), Reason::backing_protocol);
}

TEST(Chain, DataFilesGoToTheGateToo) {
    const TemporaryFolder folder;
    create(folder / "disk.qcow2", "data_file=" + (folder / "disk.data"), "1M");
    const Error error = error_of([&] { Image(std::make_unique<RefusingOpener>(folder / "disk.qcow2")); });
    EXPECT_EQ(error.what(), "data|" + (folder / "disk.data"));
}

TEST(Chain, MissingBackingFileIsNamed) {
    const TemporaryFolder folder;
    overlay(folder / "top.qcow2", "gone.qcow2");
    const Error error = error_of([&] { open(folder / "top.qcow2"); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_THAT(error.what(), HasSubstr("gone.qcow2"));
}

TEST(Chain, DataFileThatIsNotNamed) {
    const TemporaryFolder folder;
    create(folder / "disk.qcow2", "compat=1.1", "1M");
    patch(folder / "disk.qcow2", field::incompatible_features, incompatible::external_data);
    const Error error = error_of([&] { open(folder / "disk.qcow2"); });
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_THAT(error.what(), HasSubstr("does not name it"));
}

TEST(Chain, DataAtAnotherPlaceOfTheDataFile) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "data_file=" + (folder / "disk.data"), "1M");
    qemu_io(path, {"write -q -P 1 0 128k"});
    const auto l2 = peek<std::uint64_t>(path, peek<std::uint64_t>(path, field::l1_offset)) & entry_bits::offset;
    patch(path, l2 + 8, entry_bits::copied | 0x20000);
    const auto image = open(path);
    const Error error = error_of([&] { image->device().extents({0, MiB}); });
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_THAT(error.what(), HasSubstr("guest's offset 65536 is said to lie at offset 131072"));
}

TEST(Chain, WithAnEncryptedImageInItCannotBeRead) {
    const TemporaryFolder folder;
    create(folder / "base.qcow2", "compat=0.10", "1M");
    patch(folder / "base.qcow2", field::crypt_method, std::uint32_t{1});
    overlay(folder / "top.qcow2", "base.qcow2");
    const auto image = open(folder / "top.qcow2");
    const Error error = error_of([&] { image->device(); });
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_EQ(error.reason(), Reason::encrypted);
    EXPECT_THAT(error.what(), HasSubstr(folder / "base.qcow2"));
}

} // namespace
} // namespace disktool::qcow2::test

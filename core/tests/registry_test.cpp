// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plugin/registry.h"
#include "support/memory_device.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

namespace disktool {
namespace {

using testing::HasSubstr;

const std::string test_plugins = DISKTOOL_BUILD_DIR "/tests/plugins";
const std::string real_plugins = DISKTOOL_BUILD_DIR "/lib/disktool/plugins";

std::span<const std::byte> bytes(const std::string& text) {
    return std::as_bytes(std::span(text));
}

/// The sentence of the Error that `action` throws.
std::string sentence(ErrorCode code, const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    return "nothing was thrown";
}

class RegistryTest : public testing::Test {
  protected:
    RegistryTest() {
        set_log_receiver([this](LogLevel level, std::string_view line) {
            if (level == LogLevel::warning) {
                warnings_ += std::string(line) + "\n";
            }
        });
    }
    ~RegistryTest() override { set_log_receiver({}); }

    /// A copy of the well-made test plugin, in a search folder of the test's own.
    std::string copy_of_good_one() {
        const std::string search = folder_ / "search";
        std::filesystem::create_directories(search);
        std::filesystem::copy(test_plugins + "/test-format", search + "/test-format");
        return search;
    }
    std::string manifest_complaint(const std::string& text) {
        test::write_file(folder_ / "plugin.yaml", text);
        return sentence(ErrorCode::usage, [&] { read_manifest(folder_ / "plugin.yaml"); });
    }

    test::TemporaryFolder folder_;
    std::string warnings_;
};

const std::string head = "name: x\nkind: format\nversion: \"1.0\"\ndescription: d\nlicence: MIT\n";

TEST_F(RegistryTest, ReadsAWholeManifest) {
    test::write_file(folder_ / "plugin.yaml",
                     "name: some-fs\nkind: filesystem\nversion: 1.10\ndescription: Some\n"
                     "licence: MIT\nrecognises:\n- {offset: 1080, hex: 53ef}\n"
                     "- {offset: 0, hex: \"00FF\"}\ncontent-types: [ext2, ext4]\nprograms:\n"
                     "- {name: e2fsck, version: 1.46, package: e2fsprogs, purpose: check}\n"
                     "- {name: tune2fs, package: e2fsprogs, purpose: tune}\n");
    const PluginManifest manifest = read_manifest(folder_ / "plugin.yaml");
    EXPECT_EQ(manifest.name, "some-fs");
    EXPECT_EQ(manifest.kind, PluginKind::filesystem);
    EXPECT_EQ(manifest.version, "1.10");
    ASSERT_EQ(manifest.magics.size(), 2u);
    EXPECT_EQ(manifest.magics[0].offset, 1080u);
    EXPECT_EQ(manifest.magics[0].bytes, (std::vector<std::byte>{std::byte{0x53}, std::byte{0xef}}));
    EXPECT_EQ(manifest.magics[1].bytes, (std::vector<std::byte>{std::byte{0x00}, std::byte{0xff}}));
    EXPECT_EQ(manifest.content_types, (std::vector<std::string>{"ext2", "ext4"}));
    ASSERT_EQ(manifest.programs.size(), 2u);
    EXPECT_EQ(manifest.programs[0].version, "1.46");
    EXPECT_EQ(manifest.programs[1].version, "");
    EXPECT_EQ(manifest.programs[1].package, "e2fsprogs");
    EXPECT_EQ(manifest.library, (folder_.path() / "some-fs.so").string());
}

TEST_F(RegistryTest, ManifestComplaintsNameFileAndLine) {
    const std::string file = folder_ / "plugin.yaml";
    EXPECT_EQ(manifest_complaint(head + "colour: red\n").substr(0, file.size() + 24),
              file + ":6: unknown key \"colour\"");
    EXPECT_EQ(manifest_complaint(""), file + ":1: the key \"name\" is missing");
    EXPECT_EQ(manifest_complaint("name: x\nkind: format\n"), file + ":1: the key \"version\" is missing");
    EXPECT_EQ(manifest_complaint("name: x\nkind: table\n"),
              file + ":2: kind must be format, filesystem or volumes, not \"table\"");
    EXPECT_EQ(manifest_complaint("name: ../x\n"),
              file + ":1: name must be of small letters, digits and \"-\", not \"../x\"");
    EXPECT_EQ(manifest_complaint(head + "recognises: 3\n"), file + ":6: recognises must be a list");
    EXPECT_EQ(manifest_complaint(head + "recognises:\n- {offset: -1, hex: 00}\n"),
              file + ":7: offset must be a whole number, not \"-1\"");
    for (const std::string hex : {"0", "\"\"", "0x", "51 46", "zz"}) {
        EXPECT_THAT(manifest_complaint(head + "recognises:\n- {offset: 0, hex: " + hex + "}\n"),
                    HasSubstr(":7: hex must be pairs of hexadecimal digits"));
    }
    EXPECT_EQ(manifest_complaint(head + "programs:\n- {name: x, package: x}\n"),
              file + ":7: the key \"purpose\" is missing");
    EXPECT_THAT(manifest_complaint("name: x\n\tkind: format\n"), HasSubstr(file + ":2: not valid YAML"));
}

TEST_F(RegistryTest, LoadsAGoodPluginAndProbesByMagicAlone) {
    Registry registry({test_plugins});
    EXPECT_EQ(registry.probe_format(bytes("test-format\nand more"), "x"), "test-format");
    EXPECT_EQ(registry.probe_format(bytes("test-forma"), "x"), std::nullopt); // shorter than the magic
    EXPECT_EQ(registry.probe_format(bytes("something else altogether"), "x"), std::nullopt);
    EXPECT_EQ(registry.declaration("test-format").name, std::string("test-format"));
    EXPECT_EQ(&registry.format("test-format"), &registry.format("test-format"));
    EXPECT_EQ(warnings_, "");
}

TEST_F(RegistryTest, AnOlderPluginRuns) {
    Registry registry({test_plugins});
    EXPECT_EQ(registry.format("test-older-api").probe({}, "x"), 100);
}

TEST_F(RegistryTest, RefusesWithASentence) {
    Registry registry({test_plugins});
    const auto refusal = [&](const std::string& name) {
        const std::string text = sentence(ErrorCode::unsupported, [&] { registry.format(name); });
        EXPECT_THAT(text, HasSubstr("\"" + name + "\" (" + test_plugins + "/" + name + "/" + name + ".so)"));
        return text;
    };
    EXPECT_THAT(refusal("test-newer-api"), HasSubstr("built for a newer disktool (API 2, and this one has 1)"));
    EXPECT_THAT(refusal("test-newer-struct"), HasSubstr("built for a newer disktool"));
    EXPECT_THAT(refusal("test-short-struct"), HasSubstr("its declaration is 40 bytes long, less than the 48"));
    EXPECT_THAT(refusal("test-other-epoch"), HasSubstr("built for ABI epoch 3, and this program has 2"));
    EXPECT_THAT(refusal("test-other-name"), HasSubstr("it says that its name is \"someone-else\""));
    EXPECT_THAT(refusal("test-other-kind"),
                HasSubstr("says that it is a format plugin, and it says otherwise"));
    EXPECT_THAT(refusal("test-no-symbol"), HasSubstr("does not export \"disktool_plugin_declaration\""));
    EXPECT_THAT(refusal("test-no-object"), HasSubstr("made no object"));
}

TEST_F(RegistryTest, ANameThatIsNotThereOrOfAnotherKind) {
    Registry registry({test_plugins, "/nonexistent/folder"});
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("vmdk"); }),
                HasSubstr("there is no plugin \"vmdk\""));
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.filesystem("test-format"); }),
                HasSubstr("is not one of the kind \"filesystem\""));
    EXPECT_EQ(registry.find("vmdk"), nullptr);
    EXPECT_TRUE(registry.of_kind(PluginKind::filesystem).empty());
}

TEST_F(RegistryTest, NotASharedObject) {
    const std::string search = copy_of_good_one();
    test::write_file(search + "/test-format/test-format.so", "not ELF");
    Registry registry({search});
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("test-format"); }),
                HasSubstr("cannot be used"));
}

TEST_F(RegistryTest, RefusesWhatOthersMayWriteTo) {
    const std::string search = copy_of_good_one();
    const std::string plugin = search + "/test-format";
    for (const std::string& path : {search, plugin, plugin + "/plugin.yaml", plugin + "/test-format.so"}) {
        struct ::stat before {};
        ASSERT_EQ(::stat(path.c_str(), &before), 0);
        ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
        Registry registry({search, test_plugins});
        EXPECT_THAT(warnings_, HasSubstr(path + " may be written to by others"));
        EXPECT_EQ(registry.find("test-format"), nullptr) << path; // the one behind it does not take its place
        EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("test-format"); }),
                    HasSubstr(path + " may be written to by others; take that away with chmod go-w"));
        ASSERT_EQ(::chmod(path.c_str(), before.st_mode & 07777), 0);
    }
    EXPECT_NE(Registry({search}).find("test-format"), nullptr);
}

TEST_F(RegistryTest, RefusesAnotherUsersAndAnotherGroupsFiles) {
    ASSERT_EQ(::geteuid(), 0u) << "only root can give files away";
    const std::string search = copy_of_good_one();
    const std::string library = search + "/test-format/test-format.so";
    ASSERT_EQ(::chown(library.c_str(), 12345, 12345), 0);
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { Registry({search}).format("test-format"); }),
                HasSubstr(library + " belongs to user 12345"));
    ASSERT_EQ(::chown(library.c_str(), 0, 12345), 0);
    ASSERT_EQ(::chmod(library.c_str(), 0775), 0);
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { Registry({search}).format("test-format"); }),
                HasSubstr(library + " may be written to by others"));
    ASSERT_EQ(::chown(library.c_str(), 0, 0), 0);
    EXPECT_NO_THROW(Registry({search}).format("test-format"));
}

TEST_F(RegistryTest, ABadManifestIsInTheWayOfItsNameOnly) {
    const std::string search = copy_of_good_one();
    std::filesystem::create_directories(search + "/broken");
    test::write_file(search + "/broken/plugin.yaml", "name: broken\nkind: moon\n");
    test::write_file(search + "/broken/broken.so", "");
    std::filesystem::copy(search + "/test-format", search + "/renamed");
    std::filesystem::rename(search + "/renamed/test-format.so", search + "/renamed/renamed.so");
    std::filesystem::create_directories(search + "/no-plugin");
    std::filesystem::create_directories(search + "/no-library");
    test::write_file(search + "/no-library/plugin.yaml", head);

    Registry registry({search});
    EXPECT_NO_THROW(registry.format("test-format"));
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("broken"); }),
                HasSubstr("plugin.yaml:2: kind must be"));
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("renamed"); }),
                HasSubstr("names the plugin \"test-format\", but lies in a folder \"renamed\""));
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("no-library"); }),
                HasSubstr("no-library.so is missing"));
    EXPECT_THAT(sentence(ErrorCode::unsupported, [&] { registry.format("no-plugin"); }),
                HasSubstr("there is no plugin"));
}

TEST_F(RegistryTest, TheFirstOfANameWins) {
    const std::string search = copy_of_good_one();
    EXPECT_EQ(Registry({search, test_plugins}).find("test-format")->folder,
              std::filesystem::canonical(search + "/test-format").string());
    EXPECT_EQ(Registry({test_plugins, search}).find("test-format")->folder,
              std::filesystem::canonical(test_plugins + "/test-format").string());
}

TEST_F(RegistryTest, SearchPath) {
    ASSERT_EQ(::setenv("DISKTOOL_PLUGIN_PATH", "/first::/second", 1), 0);
    const std::vector<std::string> path = plugin_search_path({"/configured"});
    ::unsetenv("DISKTOOL_PLUGIN_PATH");
    ASSERT_EQ(path.size(), 4u);
    EXPECT_EQ(path[0], "/first");
    EXPECT_EQ(path[1], "/second");
    EXPECT_EQ(path[2], "/configured");
    EXPECT_EQ(path[3], real_plugins);
}

TEST_F(RegistryTest, RawIsThereButNeverGuessed) {
    Registry registry({real_plugins});
    EXPECT_EQ(registry.format("raw").probe(bytes("anything"), "x"), 0);
    EXPECT_EQ(registry.probe_format(bytes(std::string(4096, '\0')), "x"), std::nullopt);
}

TEST_F(RegistryTest, FilesystemMagicsBeyondTheDeviceDoNotMatch) {
    const std::string plugin = folder_ / "fs/some-fs";
    std::filesystem::create_directories(plugin);
    test::write_file(plugin + "/some-fs.so", "not ELF: loading it would throw");
    test::write_file(plugin + "/plugin.yaml", "name: some-fs\nkind: filesystem\nversion: 1\ndescription: d\n"
                                              "licence: MIT\nrecognises: [{offset: 1022, hex: 53ef01}]\n");
    Registry registry({folder_ / "fs"});
    test::MemoryDevice small(1024);
    EXPECT_EQ(registry.probe_filesystem(small), std::nullopt);
    test::MemoryDevice enough(2048);
    EXPECT_EQ(registry.probe_filesystem(enough), std::nullopt);
    const std::byte magic[] = {std::byte{0x53}, std::byte{0xef}, std::byte{0x01}};
    enough.write(1022, magic);
    EXPECT_THROW(registry.probe_filesystem(enough), Error); // now it is a candidate, so it is loaded
}

} // namespace
} // namespace disktool

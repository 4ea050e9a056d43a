// SPDX-License-Identifier: LGPL-2.1-or-later
// Opening, with the test format of tests/plugins: what may be opened, what is refused and in which words.
#include "image/session.h"
#include "lock_holder.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

namespace disktool {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SessionTest : public testing::Test {
  protected:
    SessionTest() { std::filesystem::create_directory(images_); }

    std::string path(const std::string& name) const { return images_ + "/" + name; }
    std::string write(const std::string& name, const std::string& text) const {
        test::write_file(path(name), text);
        return path(name);
    }
    /// An image of the test format, over another where one is named.
    std::string image(const std::string& name, const std::string& backing = "",
                      const std::string& format = "") const {
        return write(name, "test-format\n" + (backing.empty() ? "" : "backing " + backing + "\n") +
                               (format.empty() ? "" : "format " + format + "\n"));
    }
    std::unique_ptr<Session> open(const std::string& file, OpenOptions options = {}) {
        return Session::open(real_doors(), registry_, file, options);
    }
    std::string refusal(ErrorCode code, Reason reason, const std::string& file, OpenOptions options = {}) {
        try {
            open(file, options);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            EXPECT_EQ(error.reason(), reason) << error.what();
            return error.what();
        }
        return "opened";
    }
    std::vector<std::string> chain_of(const std::string& file, OpenOptions options = {}) {
        const std::unique_ptr<Session> session = open(file, options);
        std::vector<std::string> names;
        for (const ChainMember& member : session->image().info().chain) {
            names.push_back(std::filesystem::path(member.path).filename().string() + ":" + member.format);
        }
        return names;
    }

    test::TemporaryFolder folder_;
    std::string images_ = std::filesystem::canonical(folder_.path()).string() + "/images";
    Registry registry_{{DISKTOOL_BUILD_DIR "/tests/plugins", DISKTOOL_BUILD_DIR "/lib/disktool/plugins"}};
};

TEST_F(SessionTest, ALinkMeansTheFileThatItPointsTo) {
    const std::string real = image("disk");
    std::filesystem::create_symlink(real, folder_ / "link");
    const std::unique_ptr<Session> session = open(folder_ / "link", {.access = Access::write});
    EXPECT_EQ(session->given_path(), folder_ / "link");
    EXPECT_EQ(session->path(), real);
    EXPECT_EQ(session->image().info().format, "test-format");
    EXPECT_EQ(session->access(), Access::write);
}

TEST_F(SessionTest, WhatIsNoFile) {
    EXPECT_EQ(refusal(ErrorCode::not_found, Reason::none, path("missing")),
              "Invalid disk path \"" + path("missing") + "\": there is no such file");
    EXPECT_EQ(refusal(ErrorCode::not_found, Reason::none, images_),
              "Invalid disk path \"" + images_ + "\": it is a directory, not a disk image file");
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::none, path("pipe")), HasSubstr("it is a FIFO"));
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::none, "/dev/null"),
                HasSubstr("it is a character device"));
    std::filesystem::create_symlink("nowhere", path("dangling"));
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::none, path("dangling")),
                HasSubstr("there is no such file"));
    std::filesystem::create_symlink("circle", path("circle"));
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::none, path("circle")), HasSubstr(path("circle")));
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::none, path("missing") + "/disk"),
                HasSubstr("missing/disk"));
}

TEST_F(SessionTest, AnEmptyFileIsNoImage) {
    write("empty", "");
    for (const Access access : {Access::read, Access::write}) {
        EXPECT_EQ(
            refusal(ErrorCode::unsupported, Reason::format_not_supported, path("empty"), {.access = access}),
            path("empty") + " is empty: it holds no disk image");
    }
}

TEST_F(SessionTest, AFolderWithADescriptorStandsForItsImage) {
    std::filesystem::create_directory(path("ct"));
    write("ct/DiskDescriptor.xml", "<Parallels_disk_image/>");
    EXPECT_THAT(refusal(ErrorCode::damaged, Reason::none, path("ct")), HasSubstr("ct/DiskDescriptor.xml"));
    EXPECT_THAT(refusal(ErrorCode::damaged, Reason::none, path("ct/DiskDescriptor.xml")),
                HasSubstr("ct/DiskDescriptor.xml"));
}

TEST_F(SessionTest, RawIsReadButNeverWritten) {
    const std::string raw = write("disk.raw", std::string(1000, 'x'));
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::format_guessed, raw, {.access = Access::write}),
                AllOf(testing::StartsWith(raw + ": unsupported format \"raw\". Only \"qcow2\" is supported."),
                      HasSubstr("qemu-img convert -f raw -O qcow2 " + raw)));
    const std::unique_ptr<Session> session = open(raw);
    EXPECT_EQ(session->image().info().format, "raw");
    EXPECT_EQ(session->image().device().size(), 1024u);
}

TEST_F(SessionTest, LockedAsLongAsTheSession) {
    const std::string disk = image("disk");
    {
        const std::unique_ptr<Session> writer = open(disk, {.access = Access::write});
        EXPECT_THAT(refusal(ErrorCode::locked, Reason::image_in_use, disk),
                    HasSubstr("The specified disk image \"" + disk + "\" is locked by another process"));
    }
    const std::unique_ptr<Session> reader = open(disk);
    EXPECT_EQ(chain_of(disk).size(), 1u);
    EXPECT_THAT(refusal(ErrorCode::locked, Reason::image_in_use, disk, {.access = Access::write}),
                HasSubstr("is locked by another process"));
}

TEST_F(SessionTest, ANameThatIsReplacedWhileWeWait) {
    const std::string disk = image("disk");
    image("new", "base", "raw");
    write("base", "abc");
    const test::LockHolderProcess holder = test::flock_on(disk, true, "0.8");
    std::thread replacer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        std::filesystem::rename(path("new"), disk);
    });
    const std::unique_ptr<Session> session =
        open(disk, {.access = Access::write, .wait = std::chrono::seconds(20)});
    replacer.join();
    EXPECT_EQ(session->image().info().chain.size(), 2u); // the new one, which has a backing file
    EXPECT_TRUE(session->file().status().same_file(*real_doors().files.status(disk)));
}

TEST_F(SessionTest, ReopenSeesWhatAChildHasChanged) {
    const std::string disk = image("disk");
    write("base", "abc");
    const std::unique_ptr<Session> session = open(disk, {.access = Access::write});
    ASSERT_EQ(session->image().info().chain.size(), 1u);
    image("disk", "base", "raw");
    session->reopen();
    EXPECT_EQ(session->image().info().chain.size(), 2u);
}

TEST_F(SessionTest, BackingFormatsAreNamedOrProbedForReading) {
    image("base");
    EXPECT_EQ(chain_of(image("top", "base", "test-format")),
              (std::vector<std::string>{"top:test-format", "base:test-format"}));
    EXPECT_EQ(chain_of(image("top", "base")),
              (std::vector<std::string>{"top:test-format", "base:test-format"}));
    EXPECT_EQ(chain_of(image("top", "base", "raw")), (std::vector<std::string>{"top:test-format", "base:raw"}));
    write("data", "nothing known");
    EXPECT_EQ(chain_of(image("top", "data")), (std::vector<std::string>{"top:test-format", "data:raw"}));
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::format_not_supported, image("top", "base", "vmdk")),
                AllOf(HasSubstr(path("base") + " as a backing file of format \"vmdk\""),
                      HasSubstr("there is no plugin \"vmdk\"")));
}

TEST_F(SessionTest, BackingNamesWithAProtocolAreRefused) {
    for (const std::string name : {"json:{\"driver\":\"nbd\"}", "nbd://host/disk", "nbd:unix:/s",
                                   "http://host/d", "file:base", "fat:/etc", "base:1", "ssh://host/d"}) {
        EXPECT_THAT(
            refusal(ErrorCode::unsupported, Reason::backing_protocol, image("top", name)),
            AllOf(HasSubstr(path("top") + " names \"" + name + "\""), HasSubstr("only names of files")));
    }
    write("base:1", "a colon behind a slash is none");
    EXPECT_EQ(chain_of(image("top", "./base:1")).size(), 2u);
}

TEST_F(SessionTest, TheGateLetsOnlyTheOwnFolderAndAllowedOnesThrough) {
    const std::string elsewhere = folder_ / "elsewhere";
    std::filesystem::create_directories(elsewhere + "/deep");
    test::write_file(elsewhere + "/deep/base", "abc");
    const std::string top = image("top", "../elsewhere/deep/base", "raw");
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::backing_outside_gate, top),
                AllOf(HasSubstr("outside the image's own folder"), HasSubstr("/elsewhere/deep/base"),
                      HasSubstr("--allow-backing ")));
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::backing_outside_gate, top,
                        {.allow_backing = {elsewhere + "/dee", folder_ / "missing"}}),
                HasSubstr("outside"));
    EXPECT_EQ(chain_of(top, {.allow_backing = {elsewhere}}).size(), 2u);
    EXPECT_EQ(chain_of(top, {.allow_backing = {elsewhere + "/deep/"}}).size(), 2u);
    EXPECT_EQ(chain_of(top, {.allow_backing = {"/"}}).size(), 2u);

    EXPECT_THAT(
        refusal(ErrorCode::unsupported, Reason::backing_outside_gate, image("top", "/etc/passwd", "raw")),
        HasSubstr("--allow-backing /etc"));
    std::filesystem::create_symlink("/etc/passwd", path("innocent"));
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::backing_outside_gate, image("top", "innocent", "raw")),
                HasSubstr("which is /etc/passwd"));
    std::filesystem::create_directory(path("below"));
    write("below/base", "abc");
    EXPECT_THAT(
        refusal(ErrorCode::unsupported, Reason::backing_outside_gate, image("top", "below/base", "raw")),
        HasSubstr("outside the image's own folder"));
}

TEST_F(SessionTest, EachLevelNamesFilesRelativeToItsOwnFolder) {
    const std::string templates = folder_ / "templates";
    std::filesystem::create_directory(templates);
    test::write_file(templates + "/middle", "test-format\nbacking bottom\nformat raw\n");
    test::write_file(templates + "/bottom", "abc");
    EXPECT_EQ(chain_of(image("top", "../templates/middle"), {.allow_backing = {templates}}),
              (std::vector<std::string>{"top:test-format", "middle:test-format", "bottom:raw"}));
    // What lies below an allowed folder may not lead on to just anywhere.
    test::write_file(templates + "/middle", "test-format\nbacking /etc/passwd\nformat raw\n");
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::backing_outside_gate, path("top"),
                        {.allow_backing = {templates}}),
                HasSubstr("/templates/middle names \"/etc/passwd\""));
}

TEST_F(SessionTest, ALinkThatMakesTheBackingFileAmbiguous) {
    write("base", "abc");
    const std::string link = folder_ / "link";
    std::filesystem::create_symlink(image("top", "base", "raw"), link);
    EXPECT_EQ(chain_of(link).size(), 2u);
    std::filesystem::create_symlink(path("base"), folder_ / "base"); // the same file by either way
    EXPECT_EQ(chain_of(link).size(), 2u);
    std::filesystem::remove(folder_ / "base");
    test::write_file(folder_ / "base", "another");
    EXPECT_THAT(
        refusal(ErrorCode::unsupported, Reason::none, link),
        AllOf(HasSubstr(link + " is a link to " + path("top")), HasSubstr("Give the image by its own name")));
    EXPECT_EQ(chain_of(path("top")).size(), 2u);
}

TEST_F(SessionTest, AMissingBackingFileIsNamed) {
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::backing_missing, image("top", "gone")),
                AllOf(HasSubstr(path("top") + " names \"gone\" as its backing file"), HasSubstr(path("gone"))));
    std::filesystem::create_directory(path("folder"));
    EXPECT_THAT(refusal(ErrorCode::not_found, Reason::backing_missing, image("top", "folder")),
                HasSubstr("it is a directory"));
    const std::string hostile =
        refusal(ErrorCode::not_found, Reason::backing_missing, image("top", "\033[2Jgone"));
    EXPECT_THAT(hostile, HasSubstr("?[2Jgone"));
    EXPECT_EQ(hostile.find('\033'), std::string::npos);
}

TEST_F(SessionTest, AChainWithoutAnEnd) {
    EXPECT_THAT(refusal(ErrorCode::damaged, Reason::backing_loop, image("self", "self")),
                HasSubstr(path("self") + " comes twice in the backing chain"));
    image("a", "b");
    image("b", "c");
    std::filesystem::create_hard_link(path("a"), path("c"));
    for (const Access access : {Access::read, Access::write}) {
        EXPECT_THAT(refusal(ErrorCode::damaged, Reason::backing_loop, path("a"), {.access = access}),
                    HasSubstr("comes twice"));
    }
}

TEST_F(SessionTest, AChainThatIsTooLong) {
    image("0");
    for (int i = 1; i <= 200; ++i) {
        image(std::to_string(i), std::to_string(i - 1));
    }
    EXPECT_EQ(chain_of(path("199")).size(), 200u);
    EXPECT_THAT(refusal(ErrorCode::damaged, Reason::backing_loop, path("200")),
                HasSubstr("more than 200 images long"));
}

TEST_F(SessionTest, BackingFilesAreLockedAgainstWriters) {
    test::run_tool({"qemu-img", "create", "-q", "-f", "qcow2", path("base"), "1M"});
    const std::string top = image("top", "base", "raw");
    {
        const std::unique_ptr<Session> session = open(top);
        const CommandResult writing = test::result_of({"qemu-io", "-c", "write -q 0 512", path("base")});
        EXPECT_NE(writing.exit_status, 0);
        EXPECT_TRUE(test::result_of({"qemu-img", "info", path("base")}).ok());
        EXPECT_EQ(chain_of(image("other", "base", "raw")).size(), 2u);
    }
    std::string warning;
    set_log_receiver([&](LogLevel, std::string_view line) { warning = line; });
    const test::LockHolderProcess qemu = test::qemu_on(path("base"));
    EXPECT_THAT(refusal(ErrorCode::locked, Reason::image_in_use, top, {.access = Access::write}),
                HasSubstr("the backing file " + path("base") + " is being written to by another process: pid " +
                          std::to_string(qemu.pid())));
    EXPECT_EQ(chain_of(top).size(), 2u);
    set_log_receiver({});
    EXPECT_THAT(warning, HasSubstr("the backing file " + path("base") + " is being written to"));
}

TEST_F(SessionTest, DataFilesGoThroughTheSameGateAndAreLocked) {
    write("data", "abc");
    const std::string top = write("top", "test-format\ndata data\n");
    {
        const std::unique_ptr<Session> session = open(top, {.access = Access::write});
        EXPECT_THAT(refusal(ErrorCode::locked, Reason::image_in_use, path("data")), HasSubstr("locked"));
    }
    EXPECT_NO_THROW(open(path("data")));
    EXPECT_THAT(refusal(ErrorCode::unsupported, Reason::backing_outside_gate,
                        write("top", "test-format\ndata /etc/passwd\n")),
                HasSubstr("names \"/etc/passwd\" as its data file"));
    EXPECT_THAT(
        refusal(ErrorCode::not_found, Reason::backing_missing, write("top", "test-format\ndata gone\n")),
        HasSubstr("gone"));
    EXPECT_THAT(refusal(ErrorCode::damaged, Reason::backing_loop, write("top", "test-format\ndata top\n")),
                HasSubstr("comes twice"));
}

} // namespace
} // namespace disktool

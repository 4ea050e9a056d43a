// SPDX-License-Identifier: LGPL-2.1-or-later
// Descriptors as files, and the image files that they name.
#include "descriptor_samples.h"
#include "support/recording_door.h"

#include <disktool/doors.h>

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>

namespace disktool::ploop::descriptor_test {
namespace {

using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using disktool::test::TemporaryFolder;
using disktool::test::write_file;

class StoredDescriptorTest : public testing::Test {
  protected:
    const TemporaryFolder folder;
    const std::string path = folder / "DiskDescriptor.xml";
    FileDoor& files = real_doors().files;
};

TEST_F(StoredDescriptorTest, LoadAndStore) {
    EXPECT_EQ(refusal([&] { Descriptor::load(files, path); }).exit(), Exit::no_descriptor);
    EXPECT_EQ(refusal([&] { Descriptor::load(files, folder / "no/such.xml"); }).code(), ErrorCode::not_found);
    original("chain3").store(files, path);
    EXPECT_EQ(read_file(path), text_of_original("chain3"));
    const mode_t mask = umask(0);
    umask(mask);
    EXPECT_EQ(files.status(path)->mode, 0644u & ~mask);
    const Descriptor loaded = Descriptor::load(files, path);
    EXPECT_EQ(loaded.images[0].path, files.real_path(folder.path()) + "/root.hds");
    write_file(path, std::string((1 << 20) + 1, ' '));
    EXPECT_EQ(refusal([&] { Descriptor::load(files, path); }).exit(), Exit::bad_descriptor);
}

TEST_F(StoredDescriptorTest, ModeIsKept) {
    write_file(path, "old");
    std::filesystem::permissions(path, std::filesystem::perms(0640));
    write_file(path + ".tmp", "left by a run that was killed, and much longer than what comes");
    original("chain3").store(files, path);
    EXPECT_EQ(files.status(path)->mode, 0640u);
    EXPECT_EQ(read_file(path), text_of_original("chain3"));
    EXPECT_FALSE(files.status(path + ".tmp"));
}

TEST_F(StoredDescriptorTest, WhatCouldNotBeReadAgainIsNotWritten) {
    write_file(path, "old");
    Descriptor descriptor = original("chain3");
    descriptor.key_id = std::string(1 << 20, 'k');
    EXPECT_EQ(refusal([&] { descriptor.store(files, path); }).exit(), Exit::invalid_parameter);
    EXPECT_EQ(read_file(path), "old");
    EXPECT_EQ(files.list(folder.path()).size(), 1u);
}

TEST_F(StoredDescriptorTest, NotThroughALink) {
    write_file(folder / "victim", "safe");
    std::filesystem::create_symlink("victim", path + ".tmp");
    original("chain3").store(files, path);
    EXPECT_EQ(read_file(folder / "victim"), "safe");
}

TEST_F(StoredDescriptorTest, OldOrNewAfterEachCut) {
    const std::string old = text_of_original("chain3");
    write_file(path, old);
    RecordingDoor door(folder.path());
    Descriptor changed = original("chain3");
    changed.switch_to(u1, "f");
    changed.store(door, path);
    TemporaryFolder after;
    std::set<std::string> seen;
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        for (const Survivors survivors :
             {Survivors::all, Survivors::torn, Survivors::synced, Survivors::random}) {
            door.materialise(cut, survivors, after.path(), 1);
            const std::string found = read_file(after / "DiskDescriptor.xml");
            EXPECT_TRUE(found == old || found == changed.text()) << found;
            seen.insert(found);
        }
    }
    EXPECT_EQ(seen.size(), 2u);
    door.materialise(door.cuts().back(), Survivors::synced, after.path());
    EXPECT_EQ(read_file(after / "DiskDescriptor.xml"), changed.text()) << "the folder is synced, too";
}

TEST_F(StoredDescriptorTest, AFailureLeavesTheOldOne) {
    write_file(path, "old");
    for (std::size_t number = 1; number <= 3; ++number) {
        RecordingDoor door(folder.path());
        door.fail_change(number, ENOSPC);
        EXPECT_THROW(original("chain3").store(door, path), SystemError) << number;
        EXPECT_TRUE(door.failed());
        EXPECT_EQ(read_file(path), "old");
        EXPECT_FALSE(files.status(path + ".tmp", false));
    }
}

// Names of image files.

class ResolveTest : public StoredDescriptorTest {
  protected:
    std::string resolved(const std::string& file, const std::vector<std::string>& allowed = {}) {
        return resolve(files, path, {.uuid = u1, .file = file}, allowed);
    }
    void expect_outside(const std::string& file, const std::vector<std::string>& allowed = {}) {
        try {
            resolved(file, allowed);
            ADD_FAILURE() << file << " was allowed";
        } catch (const Error& error) {
            EXPECT_EQ(error.reason(), Reason::backing_outside_gate) << error.what();
            EXPECT_EQ(error.code(), ErrorCode::unsupported);
        }
    }
    const TemporaryFolder other;
    const std::string home = files.real_path(folder.path());
};

TEST_F(ResolveTest, Inside) {
    write_file(folder / "root.hds", "x");
    std::filesystem::create_directory(folder / "below");
    EXPECT_EQ(resolved("root.hds"), home + "/root.hds");
    EXPECT_EQ(resolved(home + "/root.hds"), home + "/root.hds");
    EXPECT_EQ(resolved("new"), home + "/new") << "a file that is still to be made";
    EXPECT_EQ(resolved("below/new"), home + "/below/new");
}

TEST_F(ResolveTest, Outside) {
    write_file(other / "secret", "x");
    std::filesystem::create_symlink(other / "secret", folder / "innocent");
    std::filesystem::create_directory_symlink(other.path(), folder / "below");
    expect_outside(other / "secret");
    expect_outside(other / "new");
    expect_outside("innocent");
    expect_outside("below/secret");
    expect_outside("below/new");
    expect_outside("../" + other.path().filename().string() + "/secret");
    expect_outside("/etc/passwd");
    // A folder whose name begins the same way.
    std::filesystem::create_directory(home + "-more");
    expect_outside(home + "-more/file");
    std::filesystem::remove(home + "-more");
    expect_outside(other / "secret", {folder / "no-such-folder", home});
    EXPECT_EQ(resolved(other / "secret", {other.path()}), other / "secret");
    EXPECT_EQ(resolved("innocent", {other.path()}), home + "/innocent");
}

TEST_F(ResolveTest, NotFiles) {
    std::filesystem::create_directory(folder / "below");
    std::filesystem::create_symlink("nowhere", folder / "dangling");
    ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
    for (const char* file : {"below", "below/", ".", "..", "below/..", "dangling", "fifo", "no/such/folder"}) {
        try {
            resolved(file);
            ADD_FAILURE() << file << " was taken";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_found) << file << ": " << error.what();
        }
    }
}

} // namespace
} // namespace disktool::ploop::descriptor_test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Volumes of other kinds are named and left alone, and nothing that is theirs counts as free.
#include "made_group.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::lvm2::test {

namespace dt = disktool::test;

namespace {

const std::string hidden = R"("READ", "WRITE")";
const std::string visible = R"("READ", "WRITE", "VISIBLE")";

std::string linear(const std::string& name, int first, int count, const std::string& status = visible,
                   const std::string& flags = "") {
    return volume_text(name, {segment_text(1, 0, count, striped_text(fmt::format("\"pv0\", {}", first)))},
                       status, flags);
}

std::string one(const std::string& name, int count, const std::string& rest,
                const std::string& status = visible) {
    return volume_text(name, {segment_text(1, 0, count, rest)}, status);
}

void expect_problem(const Opened& opened, const std::string& name, const std::string& words) {
    const Volume& volume = opened[name];
    EXPECT_EQ(volume.device, nullptr) << name;
    EXPECT_FALSE(volume.resizable) << name;
    EXPECT_EQ(volume.reason, Reason::volume_kind) << name;
    EXPECT_NE(volume.problem.find(words), std::string::npos) << name << ": " << volume.problem;
}

void expect_plain(const Opened& opened, const std::string& name) {
    EXPECT_EQ(opened[name].problem, "");
    EXPECT_NE(opened[name].device, nullptr);
}

std::uint64_t free_count(const Opened& opened) {
    return opened.volumes->free_extents().total() / MiB;
}

void expect_refused(const std::string& path, Reason reason, const std::string& words) {
    try {
        Opened opened(path);
        ADD_FAILURE() << "opened; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(name(error.code()), "unsupported") << error.what();
        EXPECT_EQ(name(error.reason()), name(reason)) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
}

} // namespace

class Kind : public testing::Test {
  protected:
    Kind() : made({64 * MiB}) { made.create(); } // 63 extents of 1 MiB
    MadeGroup made;
};

TEST_F(Kind, ThinPool) {
    made.replace_volumes(
        linear("plain", 0, 3) +
        one("pool", 8,
            "type = \"thin-pool\"\nmetadata = \"pool_tmeta\"\npool = \"pool_tdata\"\ntransaction_id = 1\n"
            "chunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks = 1\n") +
        one("thin", 40, "type = \"thin\"\nthin_pool = \"pool\"\ntransaction_id = 0\ndevice_id = 1\n") +
        linear("pool_tmeta", 20, 4, hidden) + linear("pool_tdata", 10, 8, hidden) +
        linear("lvol0_pmspare", 24, 4, hidden));
    EXPECT_EQ(made.field("lvs vg/thin", "segtype"), "thin"); // LVM takes the text for what it should be
    Opened opened(made.path());
    expect_plain(opened, "vg/plain");
    expect_problem(opened, "vg/pool", "is a thin pool");
    expect_problem(opened, "vg/thin", "is a thin volume");
    expect_problem(opened, "vg/pool_tdata", "is a part of vg/pool");
    expect_problem(opened, "vg/pool_tmeta", "is a part of vg/pool");
    expect_problem(opened, "vg/lvol0_pmspare", "hidden");
    EXPECT_EQ(free_count(opened), 63u - 3 - 4 - 8 - 4);
    EXPECT_EQ(opened->free_extents().total(), std::stoull(made.field("vgs", "vg_free")));
    EXPECT_EQ(opened->minimum_size().bytes, 29 * MiB);
    EXPECT_EQ(opened->volumes()[static_cast<std::size_t>(opened->last_volume())].name, "vg/lvol0_pmspare");
}

// What the snapshot shows are the origin's old bytes: neither may lose what a file system calls free now.
TEST_F(Kind, Snapshot) {
    made.replace_volumes(
        linear("plain", 0, 3) + linear("origin", 3, 8) + linear("snap", 12, 4) +
        one("snapshot0", 8,
            "type = \"snapshot\"\nchunk_size = 8\norigin = \"origin\"\ncow_store = \"snap\"\n"));
    EXPECT_EQ(made.field("lvs vg/snap", "origin"), "origin");
    Opened opened(made.path());
    expect_plain(opened, "vg/plain");
    expect_problem(opened, "vg/origin", "snapshot");
    expect_problem(opened, "vg/snap", "snapshot");
    EXPECT_EQ(opened->volumes().size(), 3u);
    EXPECT_EQ(free_count(opened), 63u - 3 - 8 - 4);
}

TEST_F(Kind, Raid) {
    made.replace_volumes(one("r", 4,
                             "type = \"raid1\"\ndevice_count = 2\nregion_size = 1024\n"
                             "raids = [ \"r_rmeta_0\", \"r_rimage_0\", \"r_rmeta_1\", \"r_rimage_1\" ]\n") +
                         linear("r_rmeta_0", 0, 1, hidden) + linear("r_rimage_0", 1, 4, hidden) +
                         linear("r_rmeta_1", 5, 1, hidden) + linear("r_rimage_1", 6, 4, hidden));
    EXPECT_EQ(made.field("lvs vg/r", "segtype"), "raid1");
    Opened opened(made.path());
    expect_problem(opened, "vg/r", "is a RAID volume (raid1)");
    expect_problem(opened, "vg/r_rimage_1", "is a part of vg/r");
    EXPECT_EQ(free_count(opened), 63u - 10);
}

TEST_F(Kind, CachesMirrorsAndOthers) {
    made.replace_volumes(
        one("c", 4, "type = \"cache\"\ncache_pool = \"c_cpool\"\norigin = \"c_corig\"\n") +
        linear("c_corig", 0, 4, hidden) +
        one("c_cpool", 2,
            "type = \"cache-pool\"\ndata = \"c_cdata\"\nmetadata = \"c_cmeta\"\nchunk_size = 128\n"
            "cache_mode = \"writethrough\"\npolicy = \"smq\"\n",
            hidden) +
        linear("c_cdata", 4, 2, hidden) + linear("c_cmeta", 6, 1, hidden) +
        one("m", 5,
            "type = \"mirror\"\nmirror_count = 2\nregion_size = 1024\nmirrors = [ \"pv0\", 10, \"pv0\", 20 "
            "]\n") +
        one("e", 3, "type = \"error\"\n") +
        volume_text("z", {segment_text(1, 0, 2, striped_text(R"("pv0", 30)")),
                          segment_text(2, 2, 2, "type = \"zero\"\n")}));
    Opened opened(made.path());
    expect_problem(opened, "vg/c", "is a cached volume");
    expect_problem(opened, "vg/c_cpool", "is a cache pool");
    expect_problem(opened, "vg/c_corig", "is a part of vg/c");
    expect_problem(opened, "vg/m", "is a mirror");
    expect_problem(opened, "vg/e", "error");
    expect_problem(opened, "vg/z", "zero");
    EXPECT_EQ(free_count(opened), 63u - 7 - 10 - 2);
}

TEST_F(Kind, ReadOnlyAndSkippedOnesAreReadButNotResized) {
    made.volume("a", 3);
    made.volume("b", 3);
    made.lvm("lvchange -p r vg/a");
    made.lvm("lvchange -k y vg/b");
    Opened opened(made.path(), Access::write);
    for (const char* name : {"vg/a", "vg/b"}) {
        expect_plain(opened, name);
        EXPECT_FALSE(opened[name].resizable) << name;
    }
    EXPECT_FALSE(opened["vg/a"].device->writable());
    EXPECT_THROW(opened["vg/a"].device->zero({0, 512}), Error);
}

TEST_F(Kind, GroupOfAnotherHostIsNotResized) {
    made.volume("a", 3);
    made.edit([](std::string& text) { text.insert(text.find("extent_size"), "system_id = \"elsewhere\"\n"); });
    Opened opened(made.path());
    expect_plain(opened, "vg/a");
    EXPECT_FALSE(opened["vg/a"].resizable);
    EXPECT_EQ(opened->minimum_size().reason, Reason::filesystem_cannot_shrink);
}

// "pv0" is also what LVM calls the physical volume in its text.
TEST_F(Kind, NamesOfVolumesAndPhysicalVolumesDoNotMix) {
    made.volume("pv0", 3);
    made.volume("a", 3);
    Opened opened(made.path());
    expect_plain(opened, "vg/pv0");
    expect_plain(opened, "vg/a");
    EXPECT_EQ(free_count(opened), 63u - 6);
    EXPECT_EQ(opened->free_extents().total(), std::stoull(made.field("vgs", "vg_free")));
}

TEST_F(Kind, PvmoveIsRefused) {
    made.replace_volumes(volume_text("a", {segment_text(1, 0, 5, striped_text(R"("pvmove0", 0)"))},
                                     R"("READ", "WRITE", "VISIBLE", "LOCKED")") +
                         volume_text("pvmove0",
                                     {segment_text(1, 0, 5,
                                                   "type = \"mirror\"\nmirror_count = 2\nregion_size = 1024\n"
                                                   "mirrors = [ \"pv0\", 0, \"pv0\", 10 ]\n")},
                                     R"("READ", "WRITE", "PVMOVE", "LOCKED")"));
    expect_refused(made.path(), Reason::volume_kind, "a pvmove is at work");
}

TEST(SeveralDevices, AreNamed) {
    MadeGroup made({32 * MiB, 32 * MiB});
    made.create();
    made.volume("a", 3);
    for (const std::size_t number : {0, 1})
        expect_refused(made.path(number), Reason::several_devices,
                       fmt::format("vg spans 2 physical volumes: {}{}, {}{};", made.loop(0),
                                   number == 0 ? " (this one)" : "", made.loop(1),
                                   number == 1 ? " (this one)" : ""));
}

// The group's metadata is on the other disk only; this one says no more than that it is used.
TEST(SeveralDevices, WithoutMetadataOfItsOwn) {
    MadeGroup made({32 * MiB, 32 * MiB});
    made.lvm("pvcreate -y @");
    made.lvm("pvcreate -y --pvmetadatacopies 0 @1");
    made.lvm("vgcreate -s 1M vg @ @1");
    expect_refused(made.path(1), Reason::several_devices, "metadata is kept on other disks");
}

TEST(SeveralDevices, WithMetadataThatIsNotKeptUp) {
    MadeGroup made({32 * MiB, 32 * MiB});
    made.create("--metadataignore n");
    made.lvm("pvchange --metadataignore y @1");
    expect_refused(made.path(1), Reason::several_devices, "metadata is kept on other disks");
}

} // namespace disktool::lvm2::test

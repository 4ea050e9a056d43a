// SPDX-License-Identifier: LGPL-2.1-or-later
// replace, by the descriptor and under the old name, killed and failing at each of its changes: the disk reads
// the same at every moment, from the old file or from the new one.
#include "every_cut.h"

namespace disktool::ploop::operations_test {

namespace {

class PloopReplaceCrash : public testing::TestWithParam<bool> {
  protected:
    static bool keep_name() { return GetParam(); }
    static std::string xml_in(const std::filesystem::path& folder) {
        return (folder / "DiskDescriptor.xml").string();
    }
    static void prepare(const std::filesystem::path& folder) {
        make_chain(folder, {{.clusters = {0, 1, 2}, .letter = 'a'}, {.clusters = {1, 2, 3}, .letter = 'b'}});
        // A copy of a moment ago: not a byte of it is known to be on the disk yet.
        disktool::test::write_file((folder / "copy").string(), "");
    }
    static void replace(const std::filesystem::path& folder, Doors doors) {
        const std::string copy = (folder / "copy").string();
        doors.files.open(copy, {.write = true})->write(0, bytes_of(read_file((folder / "root.hds").string())));
        const auto opened = open_disk(xml_in(folder), doors);
        run(plan_replace(*opened.disk, {.uuid = uuid_of('1'), .new_file = copy, .keep_name = keep_name()}),
            doors);
    }
    static void expect_content(const std::filesystem::path& folder) {
        EXPECT_EQ(contents_of(xml_in(folder)), (Contents{{uuid_of('1').lower(), "aaa............."},
                                                         {Uuid::top().lower(), "abbb............"}}));
    }

    void judge(const std::filesystem::path& folder) {
        expect_content(folder); // as it lies
        const bool replaced =
            keep_name() ? !std::filesystem::exists(folder / "copy")
                        : Descriptor::load(real_doors().files, xml_in(folder)).images[0].file == "copy";
        (replaced ? new_ones_ : old_ones_)++;
        if (!replaced) {
            replace(folder, real_doors());
        }
        open_disk(xml_in(folder));
        expect_content(folder);
        if (!keep_name()) {
            // The old file is the user's, who may want it back.
            EXPECT_TRUE(std::filesystem::remove(folder / "root.hds"));
        }
        expect_tidy(xml_in(folder));
    }

    unsigned old_ones_ = 0, new_ones_ = 0;
};

TEST_P(PloopReplaceCrash, ACutLeavesTheOldFileOrTheNewOne) {
    try_all_cuts({prepare, replace, [this](const auto& folder) { judge(folder); }});
    EXPECT_GT(old_ones_, 0u);
    EXPECT_GT(new_ones_, 0u);
}

TEST_P(PloopReplaceCrash, AFailureLeavesTheOldFileOrTheNewOne) {
    EXPECT_GT(try_all_failures({prepare, replace, [this](const auto& folder) { judge(folder); }}), 2u);
    EXPECT_GT(old_ones_, 0u);
    EXPECT_GT(new_ones_, 0u);
}

INSTANTIATE_TEST_SUITE_P(, PloopReplaceCrash, testing::Bool(),
                         [](const auto& keeps) { return keeps.param ? "keeping_the_name" : "by_descriptor"; });

} // namespace

} // namespace disktool::ploop::operations_test

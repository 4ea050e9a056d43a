// SPDX-License-Identifier: LGPL-2.1-or-later
// init, killed and failing at each of its changes: a whole disk, or none that anybody takes for one.
#include "every_cut.h"

namespace disktool::ploop::operations_test {

namespace {

const Say silent = [](const std::string&) {};

struct NewDisk {
    const char* name;
    DiskMode mode;
    bool filled;
    friend void PrintTo(const NewDisk& disk, std::ostream* out) { *out << disk.name; }
};

class PloopInitCrash : public testing::TestWithParam<NewDisk> {
  protected:
    static void init(const std::filesystem::path& folder, Doors doors) {
        InitRequest request;
        request.image = (folder / "root.hds").string();
        request.disk_sectors = 6 * small_cluster;
        request.mode = GetParam().mode;
        request.cluster_sectors = small_cluster;
        if (GetParam().filled) {
            // As a file system is put there: made in a scratch file, then taken in.
            request.fill = [](StepContext& context, BlockDevice& disk, const std::string& scratch) {
                const auto file = context.doors().files.open(scratch, {.write = true, .create = true});
                file->write(0, bytes_of(cluster_of('f', 1)));
                for (const std::uint64_t number : {1, 4}) {
                    disk.write(number * cluster_bytes, bytes_of(cluster_of('f', number)));
                }
                context.doors().files.remove(scratch);
            };
            request.fill_text = "fill it";
        }
        run(plan_init(doors, request, silent), doors);
    }

    static void expect_whole(const std::string& xml) {
        EXPECT_EQ(letters_at(xml, Uuid::top()), GetParam().filled ? ".f..f." : "......");
    }

    void judge(const std::filesystem::path& folder) {
        const std::string xml = (folder / "DiskDescriptor.xml").string();
        const std::string image = (folder / "root.hds").string();
        if (std::filesystem::exists(xml)) {
            ++disks_;
            expect_whole(xml); // as it lies
        } else if (std::filesystem::exists(image)) {
            // Killed between the two names: the image is whole and closed, and can get a descriptor.
            ++images_;
            run(plan_restore_descriptor(
                real_doors(), {folder.string(), image, GetParam().mode == DiskMode::raw, small_cluster},
                silent));
        } else {
            // The next run is not kept from its work by what lies there, and takes it away.
            ++nothings_;
            init(folder, real_doors());
        }
        open_disk(xml);
        expect_whole(xml);
        expect_tidy(xml);
    }

    unsigned disks_ = 0, images_ = 0, nothings_ = 0;
};

TEST_P(PloopInitCrash, ACutLeavesAWholeDiskOrNone) {
    try_all_cuts({.work = init, .judge = [this](const auto& folder) { judge(folder); }});
    EXPECT_GT(disks_, 0u);
    EXPECT_GT(images_, 0u);
    EXPECT_GT(nothings_, 2u);
}

TEST_P(PloopInitCrash, AFailureLeavesAWholeDiskOrNone) {
    EXPECT_GT(try_all_failures({.work = init, .judge = [this](const auto& folder) { judge(folder); }}), 6u);
    EXPECT_GT(disks_, 0u);
    EXPECT_EQ(images_, 0u) << "who is not killed takes an image without a descriptor away again";
    EXPECT_GT(nothings_, 2u);
}

INSTANTIATE_TEST_SUITE_P(, PloopInitCrash,
                         testing::Values(NewDisk{"expanded", DiskMode::expanded, false},
                                         NewDisk{"filled", DiskMode::expanded, true},
                                         NewDisk{"preallocated", DiskMode::preallocated, true},
                                         NewDisk{"raw", DiskMode::raw, true}),
                         [](const auto& disk) { return disk.param.name; });

} // namespace

} // namespace disktool::ploop::operations_test

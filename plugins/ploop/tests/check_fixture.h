// SPDX-License-Identifier: LGPL-2.1-or-later
// The fixture of the tests of `check`: one small image that a test breaks, and what is said of it.
#pragma once

#include "check_images.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

namespace disktool::ploop::test {

using disktool::test::read_file;
using disktool::test::result_of;
using disktool::test::TemporaryFolder;

inline constexpr std::uint64_t cluster_size = 32768; ///< of SmallImage
inline const std::string clean = "Image is clean, check is skipped\n";
inline const std::string reopen = "Reopen rw DIR/root.hds\n";
inline const std::string dirty = "Dirty flag is set\n";
inline const std::string not_repaired = "Fatal errors were found, image DIR/root.hds is not repaired\n";
inline const std::string read_only = "Image is clean but unable to fix the header on ro image\n";

class Check : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "root.hds";
    SmallImage image;

    /// Of the image as it is now in memory.
    CheckRun check(const std::string& letters) {
        image.write(path);
        const std::string before = read_file(path);
        CheckRun run = run_check(path, letters);
        EXPECT_EQ(run.result.changed, read_file(path) != before);
        return run;
    }
    void expect(const std::string& letters, int exit, const std::string& out, const std::string& err) {
        SCOPED_TRACE("check -" + letters);
        const CheckRun run = check(letters);
        EXPECT_EQ(run.out, out);
        EXPECT_EQ(run.err, err);
        EXPECT_EQ(run.result.exit_code, exit);
    }
    void expect_unchanged() {
        const std::string after = read_file(path);
        image.write(path);
        EXPECT_TRUE(read_file(path) == after);
    }
    void expect_sound(std::uint32_t in_use = 0) {
        const SeenImage seen = look_at(path);
        EXPECT_TRUE(seen.faults.empty());
        EXPECT_EQ(seen.in_use, in_use);
        if (in_use == 0) { // QEMU counts an extension as a leak
            EXPECT_EQ(result_of({"qemu-img", "check", "-f", "parallels", path}).exit_status, 0);
        }
        const CheckRun again = run_check(path, "fcr");
        EXPECT_EQ(again.result.exit_code, 0) << again.err;
    }
    void for_both_versions(const std::function<void()>& test) {
        for (const Version version : {Version::v1, Version::v2}) {
            SCOPED_TRACE(version == Version::v1 ? "version 1" : "version 2");
            image = SmallImage(version);
            test();
        }
    }
};

} // namespace disktool::ploop::test

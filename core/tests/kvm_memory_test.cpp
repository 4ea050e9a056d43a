// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance/kvm_memory.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

namespace disktool {

namespace {

TEST(KvmMemory, HoldsForADay) {
    const test::TemporaryFolder folder;
    const std::string path = folder / "kvm-fails";
    EXPECT_FALSE(remembered_kvm_failure(path));
    remember_kvm_failure(path, "its guest stands still");
    EXPECT_EQ(remembered_kvm_failure(path), "its guest stands still");
    std::filesystem::last_write_time(path,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(25));
    EXPECT_FALSE(remembered_kvm_failure(path));
}

TEST(KvmMemory, WithoutAPlaceNothingIsRemembered) {
    remember_kvm_failure("", "why");
    EXPECT_FALSE(remembered_kvm_failure(""));
    remember_kvm_failure("/proc/none/kvm-fails", "why");
    EXPECT_FALSE(remembered_kvm_failure("/proc/none/kvm-fails"));
}

} // namespace

} // namespace disktool

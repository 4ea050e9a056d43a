// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/own_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace disktool {
namespace {

TEST(OwnPlace, IsTheTreeThatHoldsTheLibrary) {
    EXPECT_EQ(own_prefix(), std::filesystem::canonical(DISKTOOL_BUILD_DIR));
    EXPECT_TRUE(std::filesystem::exists(own_prefix() + "/lib/libdisktool.so"));
}

TEST(OwnPlace, VersionIsThatOfTheProject) {
    EXPECT_THAT(std::string(version()), testing::MatchesRegex("[0-9]+\\.[0-9]+.*"));
}

} // namespace
} // namespace disktool

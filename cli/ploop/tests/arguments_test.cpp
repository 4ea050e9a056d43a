// SPDX-License-Identifier: LGPL-2.1-or-later
#include "errors.h"
#include "merge_words.h"
#include "options.h"
#include "statfs_file.h"
#include "support/temporary_folder.h"
#include "words.h"

#include <disktool/doors.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

namespace disktool::ploop::cli {
namespace {

/// The message and exit code of the usage error, as "38 message"; "none" when there is none.
std::string refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const PloopError& error) {
        return std::to_string(static_cast<int>(error.exit())) + " " + error.what();
    }
    return "none";
}

TEST(Sizes, WithoutALetterAreSectors) {
    EXPECT_EQ(parse_size("-s", "20480"), 20480u);
    EXPECT_EQ(parse_size("-s", "0"), 0u);
}

TEST(Sizes, LettersOfEitherCase) {
    EXPECT_EQ(parse_size("-s", "3k"), 6u);
    EXPECT_EQ(parse_size("-s", "10M"), 20480u);
    EXPECT_EQ(parse_size("-s", "10m"), 20480u);
    EXPECT_EQ(parse_size("-s", "2g"), 4194304u);
    EXPECT_EQ(parse_size("-s", "1T"), 2147483648u);
}

TEST(Sizes, NumbersAsInC) {
    EXPECT_EQ(parse_size("-s", "0x10M"), 32768u);
    EXPECT_EQ(parse_size("-s", "010"), 8u);
    EXPECT_EQ(parse_size("-s", "  7"), 7u);
}

TEST(Sizes, AnythingElseIsInvalid) {
    for (const char* text : {"10MB", "1.5G", "20480 ", "", "1P", "K", "x", "M10"}) {
        EXPECT_EQ(refusal([&] { parse_size("-s", text); }),
                  std::string("38 ERROR: Invalid argument for option -s: ") + text);
    }
}

TEST(Sizes, EndBelowOnePebibyte) {
    EXPECT_EQ(parse_size("-s", "2199023255039"), 2199023255039u);
    EXPECT_EQ(parse_size("-s", "1023T"), 1023ull << 31);
    for (const char* text : {"2199023255040", "1024T", "-1", "99999999999999999999", "18446744073709551615K"}) {
        EXPECT_EQ(refusal([&] { parse_size("--to-free", text); }),
                  std::string("38 ERROR: Too large value for option --to-free: ") + text);
    }
}

TEST(Numbers, HaveNothingBehindThem) {
    EXPECT_EQ(parse_number("-b", "0x800"), 2048u);
    for (const char* text : {"2048K", "", "1 ", "-1", "4294967296"}) {
        EXPECT_EQ(refusal([&] { parse_number("-b", text); }),
                  std::string("38 Option -b takes a number, not \"") + text + "\"");
    }
}

TEST(Levels, AreOneAndTheNextOrARange) {
    EXPECT_EQ(parse_levels("0").low, 0u);
    EXPECT_EQ(parse_levels("0").high, 1u);
    EXPECT_EQ(parse_levels("2..5").low, 2u);
    EXPECT_EQ(parse_levels("2..5").high, 5u);
    for (const char* text : {"", "..", "1..", "..2", "x", "3..3", "4..2", "1...3", "1.3", "-1", "1..2..3"}) {
        EXPECT_EQ(refusal([&] { parse_levels(text); }).substr(0, 10), "38 Option ") << text;
    }
}

TEST(Uuids, WithOrWithoutBracesKeptAsWritten) {
    EXPECT_EQ(parse_uuid("{5FBAABE3-6958-40ff-92a7-860e329aab41}").text(),
              "{5FBAABE3-6958-40ff-92a7-860e329aab41}");
    EXPECT_EQ(parse_uuid("5fbaabe3-6958-40ff-92a7-860e329aab41").text(),
              "{5fbaabe3-6958-40ff-92a7-860e329aab41}");
}

TEST(Uuids, OthersAreRefused) {
    for (const char* text : {"", "base", "{5fbaabe3-6958-40ff-92a7-860e329aab41",
                             "{5fbaabe3-6958-40ff-92a7-860e329aab4g}", "5fbaabe3695840ff92a7860e329aab41"}) {
        EXPECT_EQ(refusal([&] { parse_uuid(text); }), std::string("38 Incorrect uuid specified: ") + text);
    }
}

TEST(Uuids, OfABitmapHasNoBraces) {
    EXPECT_EQ(parse_plain_uuid("5fbaabe3-6958-40ff-92a7-860e329aab41"), "5fbaabe3-6958-40ff-92a7-860e329aab41");
    EXPECT_NE(refusal([] { parse_plain_uuid("{5fbaabe3-6958-40ff-92a7-860e329aab41}"); }), "none");
}

TEST(Formats, AreTheOriginalsWords) {
    EXPECT_EQ(parse_format("raw"), DiskMode::raw);
    EXPECT_EQ(parse_format("ploop1"), DiskMode::expanded);
    EXPECT_EQ(parse_format("expanded"), DiskMode::expanded);
    EXPECT_EQ(parse_format("preallocated"), DiskMode::preallocated);
    EXPECT_EQ(refusal([] { parse_format("RAW"); }), "38 Bad -f argument: RAW");
    EXPECT_EQ(parse_version("1"), Version::v1);
    EXPECT_EQ(parse_version("2"), Version::v2);
    EXPECT_EQ(refusal([] { parse_version("3"); }), "38 Invalid -v argument: 3");
    EXPECT_EQ(refusal([] { parse_filesystem("xfs"); }), "38 Incorrect file system type specified: xfs");
}

TEST(Verbosity, CountsOrIsSet) {
    EXPECT_EQ(verbosity_after(3, "-v"), 4);
    EXPECT_EQ(verbosity_after(3, "-vvv"), 6);
    EXPECT_EQ(verbosity_after(3, "-v10"), 10);
    EXPECT_EQ(verbosity_after(3, "-v-1"), -1);
    EXPECT_EQ(verbosity_after(3, "-v-2"), -2);
    for (const char* word : {"-x", "--v", "-version", "-v1x", "v", "-v-"}) {
        EXPECT_EQ(verbosity_after(3, word), std::nullopt) << word;
    }
}

TEST(Descriptors, EndInXmlOrAreAFolderWithOne) {
    const test::TemporaryFolder folder;
    FileDoor& files = real_doors().files;
    EXPECT_EQ(descriptor_of(files, "/nowhere/any.xml"), "/nowhere/any.xml");
    EXPECT_EQ(descriptor_of(files, "/nowhere/any.XML"), std::nullopt);
    EXPECT_EQ(descriptor_of(files, folder.path().string()), std::nullopt);
    const std::string inside = folder.path().string() + "/DiskDescriptor.xml";
    files.replace_text(inside, "");
    EXPECT_EQ(descriptor_of(files, folder.path().string()), inside);
    EXPECT_EQ(descriptor_of(files, folder.path().string() + "/"), inside);
}

struct Taken {
    std::string letters; ///< in order, with values: "s=1G f"
    std::vector<std::string> operands;
    Options options;
};

Taken take(const std::vector<std::string>& words, Exit usage_exit = Exit::invalid_parameter) {
    Taken taken;
    CommandLine line(taken.options, words, "s:fn", {{"size", true, 's'}, {"nolazy", false, 'n'}}, usage_exit);
    while (const char letter = line.next()) {
        taken.letters += letter;
        taken.letters += line.value().empty() ? " " : "=" + line.value() + " ";
    }
    taken.operands = line.operands();
    return taken;
}

TEST(CommandLines, OptionsMayFollowOperands) {
    const Taken taken = take({"init", "file", "-fs", "1G", "other", "--nolazy", "--size=2G"});
    EXPECT_EQ(taken.letters, "f s=1G n s=2G ");
    EXPECT_EQ(taken.operands, (std::vector<std::string>{"file", "other"}));
}

TEST(CommandLines, TwoDashesEndTheOptions) {
    const Taken taken = take({"init", "-f", "--", "-s", "--json"});
    EXPECT_EQ(taken.letters, "f ");
    EXPECT_EQ(taken.operands, (std::vector<std::string>{"-s", "--json"}));
}

TEST(CommandLines, OptionsOfAllCommands) {
    const Taken taken = take({"init", "--allow", "/a", "--dry-run", "--json", "--allow=/b", "--progress"});
    EXPECT_TRUE(taken.options.dry_run);
    EXPECT_EQ(taken.options.allowed, (std::vector<std::string>{"/a", "/b"}));
    EXPECT_EQ(taken.options.progress_descriptor, 2);
    EXPECT_EQ(take({"init", "--progress=5"}).options.progress_descriptor, 5);
    EXPECT_EQ(take({"init"}).options.progress_descriptor, std::nullopt);
    EXPECT_THROW(take({"init", "--help"}), HelpRequested);
}

TEST(CommandLines, ErrorsAreInTheWordsOfGetopt) {
    const auto message = [](const std::vector<std::string>& words) { return refusal([&] { take(words); }); };
    EXPECT_EQ(message({"init", "-x"}), "38 init: invalid option -- 'x'");
    EXPECT_EQ(message({"init", "-fxn"}), "38 init: invalid option -- 'x'");
    EXPECT_EQ(message({"init", "--progress=3", "-xn"}), "38 init: invalid option -- 'x'");
    EXPECT_EQ(message({"init", "-s"}), "38 init: option requires an argument -- 's'");
    EXPECT_EQ(message({"init", "-fs"}), "38 init: option requires an argument -- 's'");
    EXPECT_EQ(message({"init", "--size"}), "38 init: option '--size' requires an argument");
    EXPECT_EQ(message({"init", "--allow"}), "38 init: option '--allow' requires an argument");
    EXPECT_EQ(message({"init", "--nolazy=1"}), "38 init: option '--nolazy' doesn't allow an argument");
    EXPECT_EQ(message({"init", "--json=1"}), "38 init: option '--json' doesn't allow an argument");
    EXPECT_EQ(message({"init", "--foo=1"}), "38 init: unrecognized option '--foo=1'");
    EXPECT_EQ(message({"init", "--progress=x"}), "38 Option --progress takes a number, not \"x\"");
}

TEST(CommandLines, ACommandMayHaveItsOwnExitCode) {
    EXPECT_EQ(refusal([] {
                  take({"snapshot-list", "-x"}, Exit::no_memory_or_failure);
              }),
              "1 snapshot-list: invalid option -- 'x'");
}

TEST(CommandLines, CountOperands) {
    Options options;
    CommandLine line(options, {"info", "a", "b"}, "");
    EXPECT_EQ(line.next(), 0);
    EXPECT_EQ(line.operands(2).size(), 2u);
    EXPECT_EQ(refusal([&] { line.operand(); }), "38 info: unexpected word \"b\"");
    EXPECT_EQ(refusal([&] { line.operands(3); }), "38 ");
}

std::vector<std::byte> little_endian(const std::vector<std::uint64_t>& fields) {
    std::vector<std::byte> bytes;
    for (const std::uint64_t field : fields) {
        for (int shift = 0; shift < 64; shift += 8) {
            bytes.push_back(static_cast<std::byte>(field >> shift));
        }
    }
    return bytes;
}

TEST(Statfs, FiveNumbersOfTheOriginal) {
    const auto figures = parse_statfs(little_endian({4096, 40268, 40262, 19104, 19092}));
    ASSERT_TRUE(figures);
    EXPECT_EQ(figures->kibibytes(), 161072u);
    EXPECT_EQ(figures->used_kibibytes(), 24u);
    EXPECT_EQ(figures->inodes - figures->free_inodes, 12u);
}

TEST(Statfs, IsWrittenAsItIsRead) {
    const FilesystemFigures figures{4096, 40268, 40262, 19104, 19092, "mount"};
    EXPECT_EQ(statfs_bytes(figures), little_endian({4096, 40268, 40262, 19104, 19092}));
}

TEST(Statfs, WhatCannotBeIsNotBelieved) {
    EXPECT_FALSE(parse_statfs(little_endian({4096, 1, 1, 1})));
    EXPECT_FALSE(parse_statfs(little_endian({0, 10, 5, 10, 5})));
    EXPECT_FALSE(parse_statfs(little_endian({4096, 10, 11, 10, 5})));
    EXPECT_FALSE(parse_statfs(little_endian({4096, 10, 5, 10, 11})));
    EXPECT_FALSE(parse_statfs(little_endian({4096, 1ull << 60, 5, 10, 5})));
    EXPECT_FALSE(parse_statfs(little_endian({2ull << 20, 10, 5, 10, 5})));
}

} // namespace
} // namespace disktool::ploop::cli

// SPDX-License-Identifier: LGPL-2.1-or-later
// What the original said of each broken image under each set of options, against what we say. Runs only where
// the environment names the folder of the original's images (DISKTOOL_GOLDEN: the images, and manifest.json).
#include "check_images.h"
#include "little_endian.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

using disktool::test::read_file;
using disktool::test::TemporaryFolder;
using Json = nlohmann::json;

struct Outcome {
    std::string out, err;
    int exit = 0;
    bool changed = false;
    std::optional<std::pair<std::uint32_t, std::uint32_t>> header; ///< in-use, flags
    std::uint64_t bytes = 0;                                       ///< afterwards
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
    stream << "exit " << outcome.exit << ", changed " << outcome.changed << ", " << outcome.bytes << " bytes";
    if (outcome.header) {
        stream << ", in use " << outcome.header->first << ", flags " << outcome.header->second;
    }
    return stream << "\nout: " << outcome.out << "\nerr: " << outcome.err;
}

Outcome original_outcome(const Json& check) {
    Outcome outcome{check["out"], check["err"], check["rc"], check["changed"], std::nullopt, check["size"][1]};
    if (!check["hdr"].is_null()) {
        outcome.header = {check["hdr"]["inuse"], check["hdr"]["flags"]};
    }
    return outcome;
}

Outcome our_outcome(const fs::path& golden, const std::string& options) {
    const TemporaryFolder folder;
    fs::copy(golden, folder.path(), fs::copy_options::recursive);
    const std::string image = folder / "root.hds";
    const std::string before = read_file(image);
    CheckRun run;
    if (options == "DD") {
        const std::string descriptor = read_file(folder / "DiskDescriptor.xml");
        const std::size_t at = descriptor.find("<Blocksize>") + 11;
        run = run_check_stack({{image}}, static_cast<std::uint32_t>(std::stoul(descriptor.substr(at))));
    } else {
        run = run_check(image, options.empty() ? "" : options.substr(1));
    }
    const std::string after = read_file(image);
    EXPECT_EQ(run.result.changed, before != after);
    Outcome outcome{run.out, run.err, run.result.exit_code, before != after, std::nullopt, after.size()};
    if (after.size() >= header_size) {
        const auto bytes = std::as_bytes(std::span(after));
        outcome.header = {get<std::uint32_t>(bytes, 44), get<std::uint32_t>(bytes, 52)};
    }
    return outcome;
}

/// Where we do something else on purpose, and why.
struct Difference {
    std::string image;
    std::vector<std::string> options;
    Outcome ours;
    std::string why;
};

constexpr std::uint32_t unknown = 0x12345678;
const std::string reopen = "Reopen rw DIR/root.hds\n";
const std::string unknown_line = "unknown in-use value 0x12345678 in image DIR/root.hds\n";
const std::string dirty_line = "Dirty flag is set\n";
const std::string entries_line =
    "Wrong number of BAT entries 5 in image DIR/root.hds, a disk of 20480 sectors has 320\n";
const std::string past_line = "Data cluster (320) beyond block device size... \n";
const std::string twice_line = "Block 2 is used more than once, vsec=100... \n";
const std::string in_tables_line = "Block 1 is used more than once, vsec=100... \n";
const std::string not_repaired = "Fatal errors were found, image DIR/root.hds is not repaired\n";
const std::string irrecoverable = "DIR/root.hds : irrecoverable errors (rw)\n";
const std::string converting_lines =
    "Image DIR/root.hds is in the changing version state\n"
    "Mount the disk, or run any command that changes it: that finishes the change\n";
const std::string wants_trim = "Want to trim tail\n";

const std::vector<Difference> differences = {
    {"bad-inuse-other",
     {"", "-S", "-cd", "-d", "-dr", "-r"},
     {"Image is clean, check is skipped\n", unknown_line, 0, false, {{unknown, 0}}, 196608},
     "the original takes any value for clean, and is silent"},
    {"bad-inuse-other",
     {"DD"},
     {"", unknown_line, 0, false, {{unknown, 0}}, 196608},
     "the original takes any value for clean, and is silent"},
    {"bad-inuse-other",
     {"-F", "-Fc", "-f", "-fS", "-fc"},
     {reopen, unknown_line + dirty_line, 37, false, {{unknown, 0}}, 196608},
     "who checks it anyway is told that it may be dirty"},
    {"bad-inuse-other",
     {"-fcr", "-fr"},
     {"", unknown_line + dirty_line, 37, false, {{unknown, 0}}, 196608},
     "who checks it anyway is told that it may be dirty"},
    {"bad-inuse-other",
     {"-Fcd", "-fcd"},
     {reopen, unknown_line + dirty_line, 0, true, {{0, 0}}, 196608},
     "-d drops the value"},
    {"bad-sizemismatch",
     {"", "-S", "-cd", "-d", "-dr", "-f", "-fS", "-fc", "-fcd", "-fcr", "-fr", "-r"},
     {"", entries_line, 11, false, {{0, 0}}, 196608},
     "the original does not look at it; nobody can use such an image safely"},
    {"bad-sizemismatch",
     {"DD"},
     {"", entries_line + irrecoverable, 11, false, {{0, 0}}, 196608},
     "the original does not look at it; nobody can use such an image safely"},
    {"bad-sizemismatch",
     {"-F", "-Fc", "-Fcd"},
     {reopen, entries_line, 0, true, {{0, 0}}, 196608},
     "the right number fits before the data"},
    {"bad-v2-beyond320",
     {"-F", "-Fc", "-Fcd", "-f", "-fS", "-fc", "-fcd"},
     {reopen + past_line + "Fixed\n", "", 0, true, {{0, 0}}, 196608},
     "the original overlooks the first slot behind the device"},
    {"bad-v2-beyond320",
     {"-fcr", "-fr"},
     {past_line + "Skipped\n", "", 11, false, {{0, 0}}, 196608},
     "the original overlooks the first slot behind the device"},
    {"bad-v2-converting",
     {"", "-F", "-Fc", "-Fcd", "-S", "-cd", "-d", "-dr", "-f", "-fS", "-fc", "-fcd", "-fcr", "-fr", "-r"},
     {"", converting_lines, 17, false, {{in_use_mark, 2}}, 196608},
     "the way out is named"},
    {"bad-v2-converting",
     {"DD"},
     {"", converting_lines + irrecoverable, 17, false, {{in_use_mark, 2}}, 196608},
     "the way out is named"},
    {"bad-v2-dup",
     {"-F", "-Fc", "-Fcd"},
     {reopen + twice_line + "Fixed\n", "", 0, true, {{0, 0}}, 229376},
     "the original says that all is well and changes nothing"},
    {"bad-v2-dup-dirty",
     {"-F", "-Fc"},
     {reopen + twice_line + "Fixed\n", dirty_line, 37, true, {{in_use_mark, 0}}, 229376},
     "the original changes nothing"},
    {"bad-v2-dup-dirty",
     {"-Fcd"},
     {reopen + twice_line + "Fixed\n", dirty_line, 0, true, {{0, 0}}, 229376},
     "the original says that all is well and changes only the mark"},
    {"bad-v2-entry-in-header",
     {"-F", "-Fc", "-Fcd"},
     {reopen + in_tables_line + "Fixed\n", "", 0, true, {{0, 0}}, 229376},
     "the original says that all is well and changes nothing"},
    {"bad-v2-entry-in-header",
     {"-f", "-fS"},
     {reopen + in_tables_line + "FATAL\n", not_repaired, 11, false, {{0, 0}}, 229376},
     "the original looks at it only with -c; writing to that guest cluster destroys the BAT"},
    {"bad-v2-entry-in-header",
     {"-fr"},
     {in_tables_line + "FATAL\n", not_repaired, 11, false, {{0, 0}}, 229376},
     "the original looks at it only with -c; writing to that guest cluster destroys the BAT"},
    {"dirty-v1-tail-cluster",
     {"", "-S"},
     {reopen, wants_trim + dirty_line, 37, false, {{in_use_mark, 0}}, 229376},
     "an image that is refused as dirty may be in use, and is not changed"},
    {"dirty-v1-tail-partial",
     {"", "-S"},
     {reopen, wants_trim + dirty_line, 37, false, {{in_use_mark, 0}}, 201608},
     "an image that is refused as dirty may be in use, and is not changed"},
    {"dirty-v2-tail-cluster",
     {"", "-S"},
     {reopen, wants_trim + dirty_line, 37, false, {{in_use_mark, 0}}, 229376},
     "an image that is refused as dirty may be in use, and is not changed"},
    {"dirty-v2-tail-partial",
     {"", "-S"},
     {reopen, wants_trim + dirty_line, 37, false, {{in_use_mark, 0}}, 201608},
     "an image that is refused as dirty may be in use, and is not changed"},
};

const Difference* difference(const std::string& image, const std::string& options) {
    const auto found = std::ranges::find_if(differences, [&](const Difference& one) {
        return one.image == image && std::ranges::find(one.options, options) != one.options.end();
    });
    return found == differences.end() ? nullptr : &*found;
}

TEST(CheckGolden, SaysWhatTheOriginalSays) {
    const char* const folder = std::getenv("DISKTOOL_GOLDEN");
    if (folder == nullptr) {
        GTEST_SKIP() << "DISKTOOL_GOLDEN does not name the original's images";
    }
    const Json manifest = Json::parse(std::ifstream(fs::path(folder) / "manifest.json"));
    std::size_t compared = 0;
    std::size_t differing = 0;
    for (const auto& [name, image] : manifest.items()) {
        if (!image.contains("check")) {
            continue;
        }
        for (const auto& [options, check] : image["check"].items()) {
            SCOPED_TRACE(name + " " + options);
            const Outcome original = original_outcome(check);
            const Difference* const different = difference(name, options);
            EXPECT_EQ(our_outcome(fs::path(folder) / name, options), different ? different->ours : original)
                << (different ? different->why : "");
            if (different != nullptr) {
                EXPECT_FALSE(different->ours == original) << "is no difference any more";
                ++differing;
            }
            ++compared;
        }
    }
    std::size_t listed = 0;
    for (const Difference& one : differences) {
        listed += one.options.size();
    }
    EXPECT_EQ(differing, listed);
    EXPECT_GT(compared, 600u);
}

} // namespace

} // namespace disktool::ploop::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// The low-level merge, killed and failing at each of its changes: the same stack of files reads the same.
#include "every_cut.h"

#include <initializer_list>

namespace disktool::ploop::operations_test {

namespace {

struct Stack {
    const char* name;
    bool raw_base;
    bool into_new;
    friend void PrintTo(const Stack& stack, std::ostream* out) { *out << stack.name; }
};

class PloopMergeFilesCrash : public testing::TestWithParam<Stack> {
  protected:
    static void prepare(const std::filesystem::path& folder) {
        const auto make = [&](const char* name, const std::vector<std::uint64_t>& clusters, char letter,
                              bool raw) {
            make_delta((folder / name).string(),
                       {.clusters = clusters, .letter = letter, .disk_clusters = 8, .raw = raw});
        };
        make("base", {0, 1, 2}, 'a', GetParam().raw_base);
        make("middle", {1, 2, 3}, 'b', false);
        make("top", {2, 3, 4}, 'c', false);
    }

    static void merge(const std::filesystem::path& folder, Doors doors) {
        const auto in_folder = [&](const char* name) { return (folder / name).string(); };
        run(plan_merge_files(doors, {in_folder("top"), in_folder("middle"), in_folder("base")},
                             GetParam().into_new ? in_folder("new") : "", GetParam().raw_base, {}),
            doors);
    }

    static std::string letters(const std::filesystem::path& folder,
                               std::initializer_list<const char*> base_first) {
        std::vector<std::unique_ptr<Delta>> deltas;
        for (const char* name : base_first) {
            auto file = real_doors().files.open((folder / name).string(), {});
            deltas.push_back(GetParam().raw_base && std::string(name) == "base"
                                 ? Delta::open_raw(std::move(file), Access::read, small_cluster)
                                 : Delta::open(std::move(file), Access::read, true));
        }
        ChainDevice disk(std::move(deltas), folder.string());
        std::string content(disk.size(), '\0');
        disk.read(0, std::as_writable_bytes(std::span(content)));
        return letters_of(content);
    }

    /// As `ploop check -d` does, which a user is told to run.
    static void take_mark_off(const std::string& path) {
        const auto file = real_doors().files.open(path, {});
        CheckOptions options;
        options.drop_in_use = options.thorough = true;
        std::string said;
        const auto hear = [&](const std::string& line) { said += line + "\n"; };
        const auto open = [&] { return real_doors().files.open(path, {.write = true}); };
        EXPECT_EQ(check_image(*file, options, {hear, hear}, open).exit_code, 0) << said;
    }

    void judge(const std::filesystem::path& folder) {
        EXPECT_EQ(letters(folder, {"base", "middle", "top"}), whole) << "as it lies";
        if (GetParam().into_new) {
            EXPECT_EQ(letters(folder, {"base"}), "aaa.....");
            // Nobody names it, whatever it holds: who asked for it removes it, and asks again.
            std::filesystem::remove(folder / "new");
        } else if (!GetParam().raw_base) {
            take_mark_off((folder / "base").string());
            EXPECT_EQ(letters(folder, {"base", "middle", "top"}), whole) << "closed again";
        }
        merge(folder, real_doors());
        EXPECT_EQ(letters(folder, {GetParam().into_new ? "new" : "base"}), whole) << "merged";
        std::set<std::string> names = {"base", "middle", "top"};
        if (GetParam().into_new) {
            names.insert("new");
        }
        EXPECT_EQ(names_in(folder), names);
    }

    const std::string whole = "abccc...";
};

TEST_P(PloopMergeFilesCrash, ACutLeavesAStackThatReadsTheSame) {
    // A raw base has no BAT, so there is less that can be half done.
    const std::size_t fewest = GetParam().raw_base ? 6 : 9;
    EXPECT_GE(try_all_cuts({prepare, merge, [this](const auto& folder) { judge(folder); }}), fewest);
}

TEST_P(PloopMergeFilesCrash, AFailureLeavesAStackThatReadsTheSame) {
    EXPECT_GE(try_all_failures({prepare, merge,
                                [this](const auto& folder) {
                                    // Who is not killed closes the base and takes the new file away.
                                    if (GetParam().into_new && std::filesystem::exists(folder / "new")) {
                                        EXPECT_EQ(letters(folder, {"new"}), whole);
                                    }
                                    judge(folder);
                                }}),
              4u);
}

INSTANTIATE_TEST_SUITE_P(, PloopMergeFilesCrash,
                         testing::Values(Stack{"into_base", false, false}, Stack{"into_raw_base", true, false},
                                         Stack{"into_new", false, true}),
                         [](const auto& stack) { return stack.param.name; });

} // namespace

} // namespace disktool::ploop::operations_test

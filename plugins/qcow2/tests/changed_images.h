// SPDX-License-Identifier: LGPL-2.1-or-later
// Images that tests change: opened through any door, their plans carried out, and looked at by QEMU afterwards.
#pragma once

#include "free_step.h"
#include "test_images.h"

#include <disktool/appliance.h>
#include <disktool/plan.h>

#include <nlohmann/json.hpp>

#include <array>
#include <cstring>
#include <map>
#include <random>

namespace disktool::qcow2::test {

using Bytes = std::vector<std::byte>;

/// Opens the image and its chain through `doors`, without gate and locks.
class DoorOpener final : public ImageOpener {
  public:
    DoorOpener(Doors doors, const std::string& path, Access access)
        : doors_(doors), access_(access), file_(doors.files.open(path, {.write = access == Access::write})) {}

    Doors doors() override { return doors_; }
    Access access() const override { return access_; }
    File& file() override { return *file_; }
    std::unique_ptr<disktool::Image> open_backing(const std::string& name, const std::string&) override {
        return std::make_unique<Image>(std::make_unique<DoorOpener>(doors_, beside(name), Access::read));
    }
    std::unique_ptr<File> open_data_file(const std::string& name) override {
        return doors_.files.open(beside(name), {.write = access_ == Access::write});
    }

  private:
    std::string beside(const std::string& name) const {
        return std::filesystem::path(file_->path()).parent_path() / name;
    }
    Doors doors_;
    Access access_;
    std::unique_ptr<File> file_;
};

inline std::unique_ptr<Image> open_for_writing(const std::string& path, Doors doors = real_doors()) {
    return std::make_unique<Image>(std::make_unique<DoorOpener>(doors, path, Access::write));
}

class TestContext final : public StepContext {
  public:
    explicit TestContext(Doors doors = real_doors()) : doors_(doors) {}

    Doors doors() override { return doors_; }
    CancelToken& cancel() override { return cancel_; }
    void advance(std::uint64_t bytes) override {
        advanced += bytes;
        if (advanced > cancel_after) {
            cancel_.cancel();
        }
    }
    void report(const std::string& name, std::uint64_t amount) override { figures[name] += amount; }
    void warn(const std::string& sentence) override { warnings.push_back(sentence); }
    void lend_image_to_child() override { ++lent; }
    void take_image_back() override { --lent; }
    Appliance& appliance() override { throw Error(ErrorCode::program_missing, "no appliance in this test"); }
    Workbench& workbench() override { throw Error(ErrorCode::program_missing, "no workbench in this test"); }
    void commit_work(const WorkCommit&) override { workbench(); }

    std::uint64_t advanced = 0;
    std::uint64_t cancel_after = ~std::uint64_t{0}; ///< bytes of work
    std::map<std::string, std::uint64_t> figures;
    std::vector<std::string> warnings;
    int lent = 0;

  private:
    Doors doors_;
    CancelToken cancel_;
};

/// What a job does, without record and locks.
inline void carry_out(Plan& plan, TestContext& context) {
    for (const auto& step : plan.steps()) {
        step->commit(context);
    }
    EXPECT_EQ(context.lent, 0);
}

inline CompactEstimate compact(const std::string& path, const ExtentSet& discardable, TestContext& context) {
    auto image = open_for_writing(path, context.doors());
    Plan plan("compact", path);
    const CompactEstimate estimate = image->plan_compact(plan, discardable);
    carry_out(plan, context);
    return estimate;
}

inline CompactEstimate compact(const std::string& path, const ExtentSet& discardable) {
    TestContext context;
    return compact(path, discardable, context);
}

inline void grow(const std::string& path, const ResizeRequest& request, TestContext& context) {
    auto image = open_for_writing(path, context.doors());
    Plan plan("resize", path);
    image->plan_resize(plan, request);
    carry_out(plan, context);
}

inline void mend(const std::string& path) {
    TestContext context;
    auto image = open_for_writing(path);
    Plan plan("mend", path);
    image->plan_mend(plan);
    carry_out(plan, context);
}

/// Would compact or mend still find something to do?
inline bool nothing_left(const std::string& path, const ExtentSet& discardable) {
    auto image = open(path);
    Plan plan("compact", path);
    plan_free(*image, &plan, discardable);
    return plan.empty();
}

struct Verdict {
    std::uint64_t errors = 0;
    std::uint64_t leaks = 0;
    friend bool operator==(const Verdict&, const Verdict&) = default;
    friend void PrintTo(const Verdict& verdict, std::ostream* out) {
        *out << verdict.errors << " errors, " << verdict.leaks << " leaks";
    }
};

/// What qemu-img says of the image's structures.
inline Verdict qemu_check(const std::string& path) {
    const CommandResult result = disktool::test::result_of({"qemu-img", "check", "--output=json", path});
    const auto json = nlohmann::json::parse(result.output, nullptr, false);
    if (json.is_discarded()) {
        ADD_FAILURE() << "qemu-img check " << path << ": " << result.errors;
        return {1, 0};
    }
    return {json.value("corruptions", 0ull) + json.value("check-errors", 0ull), json.value("leaks", 0ull)};
}

inline Bytes read_whole(BlockDevice& device) {
    Bytes bytes(device.size());
    device.read(0, bytes);
    return bytes;
}

/// The disk as we read it.
inline Bytes content(const std::string& path) {
    return read_whole(open(path)->device());
}

/// The disk as QEMU reads it; or one of its internal snapshots, by name.
inline Bytes content_by_qemu(const std::string& path, const std::string& snapshot = "") {
    const TemporaryFolder folder;
    const std::string raw = folder / "disk.raw";
    std::vector<std::string> command = {"qemu-img", "convert", "-U", "-O", "raw", path, raw};
    if (!snapshot.empty()) {
        command.insert(command.begin() + 2, {"-l", "snapshot.name=" + snapshot});
    }
    run_tool(command);
    disktool::test::FileDevice device(raw);
    return read_whole(device);
}

inline std::uint64_t allocated(const std::string& path) {
    return real_doors().files.status(path)->allocated;
}

/// The first byte in which they differ outside of `except`; none: they are the same.
inline std::optional<std::uint64_t> difference(const Bytes& a, const Bytes& b, const ExtentSet& except) {
    if (a.size() != b.size()) {
        return std::min(a.size(), b.size());
    }
    for (const Range& range : except.complement({0, a.size()})) {
        if (std::memcmp(&a[range.offset], &b[range.offset], range.length) != 0) {
            const auto at =
                std::mismatch(a.begin() + range.offset, a.begin() + range.end(), b.begin() + range.offset);
            return at.first - a.begin();
        }
    }
    return std::nullopt;
}

/// How a random image is made.
struct Recipe {
    std::string name;
    std::string options; ///< of qemu-img create
    bool compressed = false;
    bool snapshots = false;
    bool backing = false;
    std::uint64_t size = 4 << 20; ///< bytes
    friend void PrintTo(const Recipe& recipe, std::ostream* out) { *out << recipe.name; }
};

/// An image with random writes, zeros, discards, as the recipe says also compressed clusters and snapshots.
inline std::string make_random_image(const TemporaryFolder& folder, const Recipe& recipe, std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    const std::string path = folder / "disk.qcow2";
    std::vector<std::string> create_arguments = {"qemu-img", "create", "-q",          "-f",
                                                 "qcow2",    "-o",     recipe.options};
    if (recipe.backing) {
        // Longer than the disk, so that growing shows what lies behind.
        create(folder / "base.qcow2", "cluster_size=4k", std::to_string(recipe.size + (1 << 20)));
        qemu_io(folder / "base.qcow2", {fmt::format("write -q -P 201 0 {}", recipe.size + (1 << 20))});
        create_arguments.insert(create_arguments.end(), {"-b", "base.qcow2", "-F", "qcow2"});
    }
    create_arguments.insert(create_arguments.end(), {path, std::to_string(recipe.size)});
    run_tool(create_arguments);
    const std::uint64_t cluster_size = open(path)->metadata().header().cluster_size();
    for (int round = 0; round < 3; ++round) {
        std::vector<std::string> commands;
        // QEMU compresses only into clusters that are not there yet.
        for (std::uint64_t at = 0; recipe.compressed && round == 0 && at < recipe.size; at += recipe.size / 8) {
            const std::uint64_t length = below(recipe.size / 8 / cluster_size) * cluster_size;
            commands.push_back(fmt::format("write -q -c -P {} {} {}", 1 + below(200), at, length));
        }
        for (int i = 0; i < 12; ++i) {
            const std::uint64_t offset = below(recipe.size / 512) * 512;
            const std::uint64_t length =
                std::min(recipe.size - offset, (1 + below(recipe.size / 512 / 8)) * 512);
            const std::string what = std::array{"write -q -z", "write -q -z -u", "discard -q"}[below(3)];
            commands.push_back(below(10) < 6
                                   ? fmt::format("write -q -P {} {} {}", 1 + below(200), offset, length)
                                   : fmt::format("{} {} {}", what, offset, length));
        }
        qemu_io(path, commands);
        if (recipe.snapshots && round < 2) {
            run_tool({"qemu-img", "snapshot", "-c", std::to_string(round), path});
        }
    }
    return path;
}

/// Sorted, disjoint ranges of whole sectors, about half of the disk.
inline ExtentSet random_ranges(std::uint64_t size, std::uint32_t seed) {
    std::mt19937 random(seed);
    ExtentSet result;
    std::uint64_t at = 0;
    while (at < size) {
        const std::uint64_t gap = random() % 300 * 512;
        const std::uint64_t length = (1 + random() % 600) * 512;
        if (at + gap >= size) {
            break;
        }
        result.append({at + gap, std::min(length, size - at - gap)});
        at += gap + length;
    }
    return result;
}

} // namespace disktool::qcow2::test

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/copy_disk.h"

#include "block/read_ahead.h"
#include "block/write_behind.h"
#include "plan/job.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace disktool {

namespace {

/// Also what pieces end on, so that clusters of the new image are written whole.
constexpr std::uint64_t longest_piece = 4 * MiB;

std::vector<Range> data_of(BlockDevice& disk) {
    std::vector<Range> data;
    for (const Extent& extent : disk.extents({0, disk.size()})) {
        if (extent.kind == ExtentKind::data) {
            data.push_back(extent.range);
        }
    }
    return data;
}

struct Copy {
    Session& session;
    FormatConversion conversion;
    std::uint64_t bytes; ///< of data
    std::string part() const { return conversion.output + std::string(part_suffix); }
};

class CopyStep final : public Step {
  public:
    explicit CopyStep(const Copy& copy) : copy_(copy) {}

    std::string kind() const override { return "convert.copy"; }
    std::string text() const override {
        return fmt::format("write the disk ({} of data) to {} in the format {}", size_text(copy_.bytes),
                           copy_.part(), copy_.conversion.format);
    }
    Cost cost() const override {
        Cost cost;
        cost.read = copy_.bytes;
        cost.written = copy_.bytes;
        cost.space = copy_.bytes;
        return cost;
    }
    std::string needs_no_undo() const override { return ""; }
    void undo(StepContext& context) override {
        if (context.doors().files.status(copy_.part(), false)) {
            context.doors().files.remove(copy_.part());
        }
    }
    void commit(StepContext& context) override {
        BlockDevice& disk = copy_.session.image().device();
        CreateRequest request;
        request.path = copy_.part();
        request.virtual_size = disk.size();
        const std::unique_ptr<WorkingDisk> target =
            copy_.session.registry().format(copy_.conversion.format).create_disk(context.doors(), request);
        // The commit waits until all is on stable storage.
        const std::unique_ptr<File> part = context.doors().files.open(copy_.part(), {});
        WriteBehind behind(*part);
        ReadAhead source(disk, data_of(disk), longest_piece);
        while (const auto piece = source.next()) {
            context.cancel().check();
            if (!all_zero(piece->bytes)) {
                target->write(piece->range.offset, piece->bytes);
                context.report("bytes_copied", piece->range.length);
                behind.wrote(piece->range.length);
            }
            context.advance(2 * piece->range.length);
        }
        WorkCommit done;
        done.size = disk.size();
        target->commit(done);
    }

  private:
    Copy copy_;
};

/// Reads both disks and compares them, zeros and all.
class VerifyCopyStep final : public Step {
  public:
    explicit VerifyCopyStep(const Copy& copy) : copy_(copy) {}

    std::string kind() const override { return "convert.verify"; }
    std::string text() const override { return "read both disks and compare them"; }
    Cost cost() const override {
        Cost cost;
        cost.read = 2 * copy_.bytes;
        return cost;
    }
    std::string needs_no_undo() const override { return "it only reads"; }
    void commit(StepContext& context) override {
        BlockDevice& disk = copy_.session.image().device();
        OpenOptions options;
        options.format = copy_.conversion.format;
        const std::unique_ptr<Session> result =
            Session::open(context.doors(), copy_.session.registry(), copy_.part(), options);
        BlockDevice& copied = result->image().device();
        if (copied.size() != disk.size()) {
            fail(0);
        }
        std::vector<Range> either;
        for (BlockDevice* device : {&disk, &copied}) {
            const std::vector<Range> data = data_of(*device);
            either.insert(either.end(), data.begin(), data.end());
        }
        const std::vector<Range> ranges = ExtentSet::from_unsorted(std::move(either)).to_vector();
        ReadAhead expected(disk, ranges, longest_piece);
        ReadAhead found(copied, ranges, longest_piece);
        while (const auto ours = expected.next()) {
            context.cancel().check();
            const auto theirs = found.next();
            if (!theirs || std::memcmp(ours->bytes.data(), theirs->bytes.data(), ours->bytes.size()) != 0) {
                fail(ours->range.offset);
            }
            context.report("bytes_compared", ours->range.length);
            context.advance(2 * ours->range.length);
        }
    }

  private:
    [[noreturn]] void fail(std::uint64_t offset) const {
        throw Error(ErrorCode::failure, fmt::format("the copy {} differs from {} at byte {}; it is removed",
                                                    copy_.part(), copy_.session.path(), offset));
    }

    Copy copy_;
};

class NameStep final : public Step {
  public:
    explicit NameStep(const Copy& copy) : copy_(copy) {}

    std::string kind() const override { return "convert.name"; }
    std::string text() const override { return fmt::format("name it {}", copy_.conversion.output); }
    std::string needs_no_undo() const override { return "it is the last step"; }
    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        {
            const std::unique_ptr<File> file = files.open(copy_.part(), {.write = true, .follow_links = false});
            file->take_attributes(copy_.session.file());
            file->sync();
        }
        // A link, since a rename would overwrite what has come there meanwhile.
        files.link(copy_.part(), copy_.conversion.output);
        files.remove(copy_.part());
        files.sync_directory(directory_of(copy_.conversion.output));
    }

  private:
    Copy copy_;
};

} // namespace

void plan_copy_disk(Session& session, const FormatConversion& conversion, Plan& plan) {
    std::uint64_t bytes = 0;
    for (const Range range : data_of(session.image().device())) {
        bytes += range.length;
    }
    const Copy copy{session, conversion, bytes};
    plan.leaves_behind({copy.part(), true});
    plan.add(std::make_unique<CopyStep>(copy));
    if (conversion.verify) {
        plan.add(std::make_unique<VerifyCopyStep>(copy));
    }
    plan.add(std::make_unique<NameStep>(copy));
}

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/copy_disk.h"

#include "plan/job.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

namespace disktool {

namespace {

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

void for_each_piece(const std::vector<Range>& ranges, CancelToken& cancel,
                    const std::function<void(Range)>& visit) {
    for (const Range range : ranges) {
        for (std::uint64_t at = range.offset; at < range.end();) {
            cancel.check();
            // Pieces end on round offsets, so that clusters of the new image are written whole.
            const std::uint64_t end = std::min(range.end(), round_down(at, longest_piece) + longest_piece);
            visit({at, end - at});
            at = end;
        }
    }
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
        std::vector<std::byte> buffer(longest_piece);
        for_each_piece(data_of(disk), context.cancel(), [&](Range piece) {
            const auto bytes = std::span(buffer).first(piece.length);
            disk.read(piece.offset, bytes);
            if (!all_zero(bytes)) {
                target->write(piece.offset, bytes);
                context.report("bytes_copied", piece.length);
            }
            context.advance(2 * piece.length);
        });
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
        std::vector<std::byte> expected(longest_piece);
        std::vector<std::byte> found(longest_piece);
        for_each_piece(ExtentSet::from_unsorted(std::move(either)).to_vector(), context.cancel(),
                       [&](Range piece) {
                           const auto ours = std::span(expected).first(piece.length);
                           const auto theirs = std::span(found).first(piece.length);
                           disk.read(piece.offset, ours);
                           copied.read(piece.offset, theirs);
                           if (!std::equal(ours.begin(), ours.end(), theirs.begin())) {
                               fail(piece.offset);
                           }
                           context.report("bytes_compared", piece.length);
                           context.advance(2 * piece.length);
                       });
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

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/resize_partition.h"

#include "verb/appliance_trim.h"
#include "verb/disk_minimum.h"
#include "verb/volume_sizes.h"
#include "verb/work_steps.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

namespace disktool {

namespace {

constexpr std::uint64_t most_mbr_sectors = std::numeric_limits<std::uint32_t>::max();

/// The content that is to follow, and where it will end.
struct Target {
    Content* content = nullptr;
    Range new_range; ///< bytes of the disk
};

[[noreturn]] void refuse_number(const std::string& image, const DiskSurvey& survey, int number) {
    const Partition* partition = survey.table.find(number);
    throw Error(ErrorCode::usage,
                partition != nullptr && partition->extended
                    ? fmt::format("{}: partition {} is the extended one; it follows the logical ones in it, so "
                                  "name one of these",
                                  image, number)
                    : fmt::format("{}: there is no partition {}", image, number));
}

Content* choose(const std::string& image, DiskSurvey& survey, int number) {
    if (number == 0) {
        return survey.last();
    }
    for (Content& content : survey.contents) {
        if (content.partition == number) {
            return &content;
        }
    }
    refuse_number(image, survey, number);
}

/// The first byte behind the content that is somebody else's, on a disk of that size.
std::uint64_t room_end(const DiskSurvey& survey, const Content& content, std::uint64_t disk_size) {
    const PartitionTable& table = survey.table;
    if (table.type == TableType::none) {
        return disk_size;
    }
    std::uint64_t end = usable_end(table, disk_size);
    const auto keep = [&](std::uint64_t start) {
        if (start > content.range.offset) {
            end = std::min(end, start);
        }
    };
    for (const Partition& partition : table.partitions) {
        keep(partition.range.offset);
    }
    if (table.type == TableType::mbr) {
        for (const Range area : table.areas) {
            keep(area.offset);
        }
        end = std::min(end, content.range.offset + most_mbr_sectors * table.sector_size);
        end = std::min(end, most_mbr_sectors * table.sector_size);
    }
    // A neighbour need not lie on a whole MiB, but what this one gets does, unless it ends there already.
    return std::max(round_down(end, MiB), std::min(end, content.range.end()));
}

Reason obstacle(const Content& content, bool smaller) {
    if (content.volumes) {
        const std::optional<LastVolume> last = last_volume(content);
        return last ? Reason::none : Reason::volume_kind;
    }
    return smaller ? content.filesystem->can_shrink() : content.filesystem->can_grow();
}

/// A sentence as a part of another one.
std::string without_stop(std::string_view sentence) {
    return std::string(sentence.substr(0, sentence.find_last_not_of('.') + 1));
}

/// Why the content cannot follow; none where it can. Throws for a damaged one, which nobody wants to have
/// passed over in silence.
std::optional<Refusal> why_not(const Content& content, bool smaller) {
    if (content.problem && content.problem->code != ErrorCode::unsupported) {
        throw Error(content.problem->code, content.problem->sentence + "; nothing was changed",
                    content.problem->reason);
    }
    if (content.problem) {
        return Refusal{content.problem->reason, content.problem->sentence};
    }
    const Reason reason = obstacle(content, smaller);
    if (reason == Reason::none) {
        return std::nullopt;
    }
    // The file system's own words, where it has some, say more than those for all of its kind.
    const bool told = smaller && reason == Reason::filesystem_cannot_shrink && content.minimum &&
                      content.minimum->reason == reason;
    return Refusal{reason,
                   fmt::format("{} cannot be made {}: {}", content.text(), smaller ? "smaller" : "larger",
                               without_stop(told ? content.minimum->sentence : sentence(reason)))};
}

/// Guest bytes behind the new end that hold something: what will be moved.
std::uint64_t bytes_to_move(Image& image, const Target& target) {
    const Range beyond{target.new_range.end(), target.content->range.end() - target.new_range.end()};
    std::uint64_t data = 0;
    for (const Extent& extent : image.device().extents(beyond)) {
        data += extent.kind == ExtentKind::data ? extent.range.length : 0;
    }
    if (target.content->filesystem && !target.content->problem) {
        const ExtentSet free = target.content->filesystem->free_extents().shifted(target.content->range.offset);
        const std::uint64_t used = beyond.length - free.clip(beyond).total();
        data = std::min(data, used);
    }
    return data;
}

/// What an operation writes besides the data that it moves: tables, bitmaps, and clusters of which a part
/// changes.
constexpr std::uint64_t metadata_reserve = 32 * MiB;

void check_space(VerbContext& context, const Target& target, Plan& plan) {
    const bool smaller = target.new_range.end() < target.content->range.end();
    const std::uint64_t moved = smaller ? bytes_to_move(context.session.image(), target) : 0;
    const std::uint64_t needed = moved + moved / 64 + metadata_reserve;
    const std::string& place = context.session.image().info().work_path;
    const std::uint64_t available =
        context.session.doors().files.free_space(place.empty() ? context.session.path() : place);
    if (available < needed) {
        throw Error(ErrorCode::no_space,
                    fmt::format("{}: Not enough free space ( needed: {} available: {} ), in bytes, {}; "
                                "nothing was changed",
                                context.session.path(), needed, available,
                                place.empty() ? "beside the image" : "in " + place));
    }
    if (smaller) {
        plan.note(fmt::format("about {} that lie behind the new end are moved; the host needs that much room "
                              "meanwhile",
                              size_text(moved)));
    }
}

class Planner {
  public:
    Planner(VerbContext& context, DiskSurvey& survey, const ResizeOptions& options, const Target& target,
            Plan& plan)
        : context_(context), survey_(survey), options_(options), content_(*target.content),
          new_range_(target.new_range), plan_(plan) {}

    void plan() {
        const bool smaller = new_range_.length < content_.range.length;
        const std::uint64_t old_size = context_.session.image().info().virtual_size;
        const Range window{content_.range.offset, std::max(new_range_.length, content_.range.length)};
        WorkSpec work{std::max(old_size, options_.new_size), {}};
        if (content_.partition != 0) {
            work.windows.push_back({content_.partition, window});
        }
        plan_.set_work(std::move(work));
        if (smaller) {
            plan_content();
            plan_table();
        } else {
            plan_table();
            plan_content();
        }
        plan_.add(make_verify_step(context_.session.registry(),
                                   {options_.new_size, content_.partition, new_range_, content_.type}));
        WorkCommit commit;
        commit.size = options_.new_size;
        commit.reserve = context_.session.image().allocation() == Allocation::plain;
        plan_.add(make_commit_step(commit, fmt::format("a disk of {}", exact_size_text(options_.new_size))));
    }

  private:
    void plan_table() {
        TableChange change{options_.new_size, content_.partition, new_range_.end()};
        BlockDevice& disk = context_.session.image().device();
        std::vector<Patch> patches = table_patches(disk, survey_.table, change);
        if (!patches.empty()) {
            plan_.add(
                make_table_step(std::move(patches),
                                fmt::format("partition {} ends at {} of {}", content_.partition,
                                            exact_size_text(new_range_.end()), size_text(options_.new_size))));
        }
    }

    void plan_content() {
        if (content_.volumes) {
            plan_volumes();
        } else {
            plan_filesystem();
        }
    }

    void plan_filesystem() {
        const FilesystemResize request{content_.partition, content_.range.length, new_range_.length};
        if (context_.engine != Engine::appliance && content_.filesystem->resizes_natively()) {
            try {
                content_.filesystem->plan_resize(plan_, request);
                return;
            } catch (const Error& error) {
                if (error.code() != ErrorCode::program_missing || context_.engine == Engine::native) {
                    throw;
                }
                plan_.note(fmt::format("the appliance is needed: {}", error.what()));
            }
        }
        demand_appliance(content_.text());
        plan_.add(make_appliance_resize_step(appliance_device(content_), content_.type, request.old_size,
                                             request.new_size));
    }

    /// The physical volume, the volume that lies last on it, and what is in that.
    void plan_volumes() {
        demand_appliance(content_.text());
        const LastVolume last = last_volume(content_).value();
        const Content& inner = content_.inner[last.index];
        const std::uint64_t new_size = volume_size_on(content_, last, content_.range.length, new_range_.length);
        const std::string device = appliance_device(content_);
        const std::string volume = appliance_device(inner);
        const bool follows = inner.filesystem && !inner.problem &&
                             (new_size < last.size ? inner.filesystem->can_shrink()
                                                   : inner.filesystem->can_grow()) == Reason::none;
        if (new_size < last.size) {
            plan_.add(make_appliance_resize_step(volume, inner.type, last.size, new_size));
            plan_.add(make_logical_volume_step(volume, new_size));
            plan_.add(make_physical_volume_step(device, new_range_.length));
            return;
        }
        plan_.add(make_physical_volume_step(device, new_range_.length));
        if (new_size == last.size) {
            return;
        }
        if (!follows) {
            plan_.note(
                fmt::format("{} keeps its size, since what it holds cannot follow; the room is free in the "
                            "volume group",
                            inner.text()));
            return;
        }
        plan_.add(make_logical_volume_step(volume, new_size));
        plan_.add(make_appliance_resize_step(volume, inner.type, last.size, new_size));
    }

    void demand_appliance(const std::string& what) {
        if (context_.engine == Engine::native) {
            throw Error(
                ErrorCode::program_missing,
                fmt::format("{}: only the appliance can resize {}, and --engine native forbids it; nothing "
                            "was changed",
                            context_.session.path(), what),
                Reason::engine_native_only);
        }
        plan_.note(
            context_.engine == Engine::appliance
                ? fmt::format("the appliance does the work on {}, as --engine asks", what)
                : fmt::format("the appliance does the work on {}: only a kernel's driver can, and the host's "
                              "own must not be given a guest's data",
                              what));
    }

    VerbContext& context_;
    DiskSurvey& survey_;
    const ResizeOptions& options_;
    Content& content_;
    Range new_range_;
    Plan& plan_;
};

/// No file system leaves so much away at its end.
constexpr std::uint64_t most_left_away = 8 * MiB;

/// What the file system would be if it filled its partition; none: it does not tell.
std::optional<std::uint64_t> grown_size(const Content& content) {
    for (const auto& [name, value] : content.details) {
        if (const auto* bytes = std::get_if<std::uint64_t>(&value); bytes != nullptr && name == "grown_bytes") {
            return *bytes;
        }
    }
    return std::nullopt;
}

/// Does a file system fill less than its partition? So it is where someone made the partition larger, and the
/// file system could not follow then.
bool falls_short(const Content& content) {
    if (!content.filesystem || content.problem || !content.usage ||
        content.filesystem->can_grow() != Reason::none) {
        return false;
    }
    const std::optional<std::uint64_t> grown = grown_size(content);
    return grown ? *grown > content.usage->size : content.range.length >= content.usage->size + most_left_away;
}

/// The least that the content can be; throws where the new size is below it.
void check_minimum(VerbContext& context, const DiskSurvey& survey, const ResizeOptions& options,
                   const Target& target) {
    const Content& content = *target.content;
    const std::uint64_t disk_size = context.session.image().info().virtual_size;
    if (target.new_range.length >= content.range.length || &content != survey.last()) {
        return;
    }
    const std::optional<DiskMinimum> minimum = minimum_with_resize(survey, content, disk_size);
    const DiskMinimum least = minimum ? *minimum : minimum_without_resize(survey, disk_size);
    if (options.new_size < least.bytes) {
        refuse_below_minimum(context.session.path(), options.new_size, least.bytes, least.reason,
                             least.because);
    }
}

} // namespace

std::optional<Refusal> plan_resize_with_partition(VerbContext& context, DiskSurvey& survey,
                                                  const ResizeOptions& options, Plan& plan) {
    Content* content = choose(context.session.path(), survey, options.partition);
    if (content == nullptr) {
        return Refusal{Reason::no_partition_table, "there is no partition whose content could follow"};
    }
    const std::uint64_t end = room_end(survey, *content, options.new_size);
    const Target target{content, {content->range.offset, end - std::min(end, content->range.offset)}};
    if (target.new_range.length == content->range.length && !falls_short(*content)) {
        if (options.partition != 0 && content != survey.last()) {
            throw Error(ErrorCode::size_impossible,
                        fmt::format("{}: there is no room behind {}; the next partition begins there",
                                    context.session.path(), content->text()),
                        Reason::no_room);
        }
        return Refusal{Reason::none, fmt::format("{} ends where it should", content->text())};
    }
    if (std::optional<Refusal> refusal = why_not(*content, target.new_range.length < content->range.length)) {
        return refusal;
    }
    check_minimum(context, survey, options, target);
    check_space(context, target, plan);
    for (const std::string& warning : survey.table.warnings) {
        plan.note(warning);
    }
    Planner(context, survey, options, target, plan).plan();
    return std::nullopt;
}

} // namespace disktool

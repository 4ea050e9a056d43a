// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/resize.h"

#include "partition/table.h"
#include "verb/disk_minimum.h"
#include "verb/refusal.h"
#include "verb/resize_partition.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool {

namespace {

/// An MBR counts sectors in 32 bits.
constexpr std::uint64_t mbr_sectors = std::uint64_t{1} << 32;

void note_table(Plan& plan, const PartitionTable& table, std::uint64_t new_size) {
    switch (table.type) {
    case TableType::none:
        plan.note("there is no partition table; a file system on the whole disk keeps its size");
        break;
    case TableType::mbr:
        if (new_size > mbr_sectors * table.sector_size) {
            plan.note(
                fmt::format("the MBR partition table can address only the first {} of the disk; convert it to "
                            "GPT in the guest to use the rest",
                            size_text(mbr_sectors * table.sector_size)));
        }
        break;
    case TableType::gpt:
        break;
    }
    for (const std::string& warning : table.warnings) {
        plan.note(warning);
    }
}

/// A disk of the right size may still have its backup GPT elsewhere: qemu-img has grown it. With a table that
/// cannot be read the disk has that size already, and there is nothing to do.
void plan_table_at_end(Image& image, Plan& plan) {
    try {
        PartitionTable table = read_partition_table(image.device());
        if (table.type != TableType::gpt || table.backup_at_end) {
            return;
        }
        std::uint64_t size = image.info().virtual_size;
        image.plan_resize(plan, {size, table_patches(image.device(), table, {size})});
        plan.note("the disk has that size already; its backup GPT is moved to the end, where it belongs");
    } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) {
            throw;
        }
        plan.note(error.what());
    }
}

void plan_growth(Image& image, Plan& plan, std::uint64_t new_size) {
    PartitionTable table = read_partition_table(image.device());
    note_table(plan, table, new_size);
    image.plan_resize(plan, {new_size, table_patches(image.device(), table, {new_size})});
}

/// Only what lies behind the last partition, or behind what is known to span the whole disk, is cut off.
/// `refusal`: why no content follows.
void plan_cut(Session& session, const DiskSurvey& survey, const ResizeOptions& options,
              const std::optional<Refusal>& refusal, Plan& plan) {
    Image& image = session.image();
    const std::uint64_t old_size = image.info().virtual_size;
    const DiskMinimum minimum = minimum_without_resize(survey, old_size);
    const bool nothing_known = minimum.reason == Reason::nothing_known;
    if (nothing_known && !options.discard_tail) {
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("{}: {}, so nothing is cut from it. If you know that what lies behind {} is of no use, "
                        "say so with --discard-tail, and that part is thrown away",
                        session.path(), minimum.because, exact_size_text(options.new_size)),
            Reason::nothing_known);
    }
    if (!nothing_known && options.new_size < minimum.bytes) {
        refuse_below_minimum(
            session.path(), options.new_size, minimum.bytes, refusal ? refusal->reason : minimum.reason,
            fmt::format("{}; {}", minimum.because,
                        refusal ? refusal->sentence : "--resize_partition may make it smaller"));
    }
    if (nothing_known) {
        plan.note(fmt::format("nothing is known of this disk; what lies behind {} is thrown away, as "
                              "--discard-tail asks",
                              exact_size_text(options.new_size)));
    }
    for (const std::string& warning : survey.table.warnings) {
        plan.note(warning);
    }
    image.plan_resize(plan,
                      {options.new_size, table_patches(image.device(), survey.table, {options.new_size})});
}

/// Others stay as they are, however empty they become.
bool freeing_helps(Reason reason) {
    return reason == Reason::none || reason == Reason::used_blocks || reason == Reason::below_minimum;
}

} // namespace

void refuse_below_minimum(const std::string& image, std::uint64_t requested, std::uint64_t minimum,
                          Reason reason, const std::string& because) {
    throw Error(
        ErrorCode::size_impossible,
        fmt::format(
            "{}: Not enough free space on filesystem ( requested: {} minimum: {} ): {}. {} a size of {} "
            "or more",
            image, requested, minimum, because,
            freeing_helps(reason) ? fmt::format("Free at least {} bytes more, or choose", minimum - requested)
                                  : "Choose",
            size_text(minimum)),
        reason == Reason::used_blocks || reason == Reason::none ? Reason::below_minimum : reason);
}

ResizePlan plan_resize(VerbContext& context, const ResizeOptions& given) {
    Session& session = context.session;
    Image& image = session.image();
    const std::uint64_t old_size = image.info().virtual_size;
    ResizeOptions options = given;
    options.new_size = round_up(given.new_size, image.info().size_unit);
    ResizePlan result{Plan("resize", session.path()), old_size, options.new_size};
    if (options.new_size != given.new_size) {
        result.plan.note(
            fmt::format("the size is rounded up to {}: such an image consists of whole clusters of {}",
                        exact_size_text(options.new_size), size_text(image.info().size_unit)));
    }
    // Asked also when there is nothing to do, so that scripts hear of snapshots at once, as with the original.
    require(image, options.new_size < old_size ? Capability::shrink : Capability::grow);
    const bool smaller = options.new_size < old_size;
    if (smaller || options.resize_partition) {
        DiskSurvey survey =
            survey_disk(image.device(), session.registry(), {.minimum_sizes = options.resize_partition});
        std::optional<Refusal> refusal;
        if (options.resize_partition) {
            refusal = plan_resize_with_partition(context, survey, options, result.plan);
            if (!refusal) {
                return result;
            }
            if (refusal->reason != Reason::none) {
                result.plan.note(refusal->sentence + "; the disk alone is resized");
            }
        }
        if (smaller) {
            plan_cut(session, survey, options, refusal, result.plan);
            return result;
        }
    }
    if (options.new_size == old_size) {
        plan_table_at_end(image, result.plan);
    } else {
        plan_growth(image, result.plan, options.new_size);
    }
    return result;
}

} // namespace disktool

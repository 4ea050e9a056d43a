// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/resize.h"

#include "partition/table.h"
#include "verb/refusal.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool {

namespace {

/// An MBR counts sectors in 32 bits.
constexpr std::uint64_t mbr_limit = 2 * TiB;

void note_table(Plan& plan, const PartitionTable& table, std::uint64_t new_size) {
    switch (table.type) {
    case TableType::none:
        plan.note("there is no partition table; a file system on the whole disk keeps its size until it is "
                  "grown itself");
        break;
    case TableType::mbr:
        if (new_size > mbr_limit) {
            plan.note(
                fmt::format("the MBR partition table can address only the first {} of the disk; convert it to "
                            "GPT in the guest to use the rest",
                            size_text(mbr_limit)));
        }
        break;
    case TableType::gpt:
        break;
    }
    for (const std::string& warning : table.warnings) {
        plan.note(warning);
    }
}

/// A disk of the right size may still have its backup GPT elsewhere: qemu-img has grown it, or a run of ours
/// was killed between two steps. With a table that cannot be read the disk has that size already, and there is
/// nothing to do.
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

} // namespace

ResizePlan plan_resize(VerbContext& context, std::uint64_t new_size) {
    Session& session = context.session;
    Image& image = session.image();
    std::uint64_t old_size = image.info().virtual_size;
    ResizePlan result{Plan("resize", session.path()), old_size, new_size};
    if (new_size < old_size) {
        // Cutting a disk needs to know what lies at its end; that comes with the resizing of partitions.
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("{}: {} is smaller than the disk, which has {}; this version only makes disks bigger. "
                        "\"compact\" gives unused space back to the host without changing the size",
                        session.path(), exact_size_text(new_size), exact_size_text(old_size)),
            Reason::would_shrink);
    }
    // Asked also when there is nothing to do, so that scripts hear of snapshots at once, as with the original.
    require(image, Capability::grow);
    if (new_size == old_size) {
        plan_table_at_end(image, result.plan);
        return result;
    }
    PartitionTable table = read_partition_table(image.device());
    ResizeRequest request;
    request.new_size = new_size;
    request.patches = table_patches(image.device(), table, {new_size});
    note_table(result.plan, table, new_size);
    image.plan_resize(result.plan, request);
    return result;
}

} // namespace disktool

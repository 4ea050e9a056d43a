// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/resize.h"

#include "partition/table.h"

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

} // namespace

ResizePlan plan_resize(VerbContext& context, std::uint64_t new_size) {
    Session& session = context.session;
    Image& image = session.image();
    std::uint64_t old_size = image.info().virtual_size;
    ResizePlan result{Plan("resize", session.path()), old_size, new_size};
    // Asked first also when there is nothing to do, so that scripts hear of snapshots at once, as with the
    // original.
    if (std::optional<Refusal> refusal =
            image.refusal(new_size < old_size ? Capability::shrink : Capability::grow)) {
        ErrorCode code = refusal->reason == Reason::image_dirty || refusal->reason == Reason::image_corrupt
                             ? ErrorCode::damaged
                             : ErrorCode::unsupported;
        if (refusal->reason == Reason::capability_missing && new_size < old_size) {
            code = ErrorCode::size_impossible;
        }
        throw Error(code, refusal->sentence, refusal->reason);
    }
    if (new_size == old_size) {
        return result;
    }
    PartitionTable table = read_partition_table(image.device());
    ResizeRequest request;
    request.new_size = new_size;
    request.patches = table_patches_for_growth(image.device(), table, new_size);
    note_table(result.plan, table, new_size);
    image.plan_resize(result.plan, request);
    return result;
}

} // namespace disktool

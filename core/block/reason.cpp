// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/reason.h>

namespace disktool {

namespace {

struct Words {
    std::string_view name;
    std::string_view sentence;
};

// A switch without a default, so that the compiler names a Reason that is missing here.
Words words(Reason reason) {
    switch (reason) {
    case Reason::none:
        return {"", ""};
    case Reason::format_not_supported:
        return {"format_not_supported", "The image has a format that no plugin supports."};
    case Reason::format_guessed:
        return {"format_guessed",
                "Nothing in the file says which format it has, and a format is never guessed for "
                "writing, since guest data could be taken for image metadata."};
    case Reason::feature_not_supported:
        return {"feature_not_supported", "It uses a feature that this version does not know or cannot handle."};
    case Reason::encrypted:
        return {"encrypted", "The image is encrypted, so what the guest stores in it cannot be read."};
    case Reason::image_dirty:
        return {"image_dirty", "The image was not closed properly and must be repaired first."};
    case Reason::image_corrupt:
        return {"image_corrupt", "The image is marked or found to be corrupt and must be repaired first."};
    case Reason::internal_snapshots:
        return {"internal_snapshots",
                "The image has internal snapshots, which this operation would break or cannot "
                "carry along."};
    case Reason::external_data_file:
        return {"external_data_file", "The image keeps its data in an external file."};
    case Reason::backing_outside_gate:
        return {"backing_outside_gate",
                "The backing file lies outside the folders from which backing files may be "
                "opened (the image's own, and those named with --allow-backing)."};
    case Reason::backing_missing:
        return {"backing_missing", "The backing file is not there."};
    case Reason::backing_loop:
        return {"backing_loop", "The chain of backing files leads back to itself, or is too long."};
    case Reason::backing_protocol:
        return {"backing_protocol", "The backing name is not a plain file name; network and JSON names are not "
                                    "opened."};
    case Reason::image_in_use:
        return {"image_in_use", "The image is in use by another program, such as a running virtual machine."};
    case Reason::no_partition_table:
        return {"no_partition_table", "The disk has no partition table."};
    case Reason::table_damaged:
        return {"table_damaged", "The partition table is damaged."};
    case Reason::table_not_supported:
        return {"table_not_supported", "The disk has a partition table of a kind that is not supported."};
    case Reason::partitions_overlap:
        return {"partitions_overlap", "Partitions of the table overlap."};
    case Reason::partition_beyond_end:
        return {"partition_beyond_end", "A partition reaches beyond the end of the disk."};
    case Reason::filesystem_not_supported:
        return {"filesystem_not_supported", "The file system is of a kind that no plugin supports."};
    case Reason::filesystem_damaged:
        return {"filesystem_damaged", "The file system is damaged and must be checked and repaired first."};
    case Reason::filesystem_dirty:
        return {"filesystem_dirty",
                "The file system was not unmounted properly, so what it says of its free space "
                "may be wrong."};
    case Reason::journal_needs_replay:
        return {"journal_needs_replay", "The file system's journal must be replayed before its contents can be "
                                        "relied on."};
    case Reason::filesystem_has_errors:
        return {"filesystem_has_errors", "The file system has recorded errors and must be checked first."};
    case Reason::filesystem_being_checked:
        return {"filesystem_being_checked", "A check of the file system was begun and did not end."};
    case Reason::filesystem_full_to_size:
        return {"filesystem_full_to_size", "The file system cannot be smaller than it is now."};
    case Reason::filesystem_cannot_shrink:
        return {"filesystem_cannot_shrink", "File systems of this kind cannot be made smaller."};
    case Reason::used_blocks:
        return {"used_blocks", "The blocks in use and the metadata need this much."};
    case Reason::last_partition_end:
        return {"last_partition_end", "The last partition ends there."};
    case Reason::several_devices:
        return {"several_devices", "It spans more devices than this disk, which cannot be worked on alone."};
    case Reason::volume_kind:
        return {"volume_kind", "The logical volume is of a kind that only LVM itself understands."};
    case Reason::hibernated:
        return {"hibernated", "A system sleeps in it and will go on with what it remembers of it."};
    case Reason::appended_data:
        return {"appended_data", "Something that is not recognised lies behind what is recognised."};
    case Reason::below_minimum:
        return {"below_minimum", "What is on the disk needs more room than that."};
    case Reason::no_room:
        return {"no_room", "A neighbouring partition is in the way."};
    case Reason::nothing_known:
        return {"nothing_known",
                "The disk has neither a partition table nor a content that is recognised, so it "
                "may hold anything."};
    case Reason::merge_shared:
        return {"merge_shared", "Another image still uses the backing file."};
    case Reason::would_shrink:
        return {"would_shrink", "The new size is smaller than the present one."};
    case Reason::size_too_large:
        return {"size_too_large", "The size is larger than the format can hold."};
    case Reason::capability_missing:
        return {"capability_missing", "The plugin does not offer this operation."};
    case Reason::program_missing:
        return {"program_missing", "A program that is needed is not installed or cannot be run."};
    case Reason::appliance_unavailable:
        return {"appliance_unavailable", "The libguestfs appliance is needed and cannot be started."};
    case Reason::engine_native_only:
        return {"engine_native_only", "Only the appliance could do this, and --engine native forbids it."};
    case Reason::job_interrupted:
        return {"job_interrupted", "An earlier job on this image was interrupted."};
    case Reason::job_not_recoverable:
        return {"job_not_recoverable", "An earlier job on this image was interrupted and cannot be recovered "
                                       "automatically."};
    }
    return {"", ""};
}

} // namespace

std::string_view name(Reason reason) {
    return words(reason).name;
}

std::string_view sentence(Reason reason) {
    return words(reason).sentence;
}

} // namespace disktool

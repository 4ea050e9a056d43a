// SPDX-License-Identifier: LGPL-2.1-or-later
// What a killed run leaves: its job file X.xml.disktool-job, and what the next run does about it.
#pragma once

#include "operations.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop {

/// A file of the disk, known by more than its name: a name may be taken by another file meanwhile.
struct JobFile {
    std::string path; ///< absolute
    std::uint64_t device = 0;
    std::uint64_t inode = 0; ///< 0: of a file to be made; it is empty, if it is there at all
};

/// Written before a verb changes the first file, removed after the last. Which of the two states holds is not
/// written here: the descriptor tells, since it is replaced at one instant.
struct DiskJob {
    std::string verb;
    std::vector<JobFile> made;      ///< removed unless the descriptor names them
    std::vector<JobFile> gone;      ///< removed once the descriptor does not name them any more
    std::vector<JobFile> changing;  ///< in use by the job: closed again
    std::uint64_t disk_sectors = 0; ///< of a grow: the size that the top gets; else 0
    /// Of a merge into an existing image: the neighbours, lowest first, whose data goes into the lowest one's
    /// file, which is in `changing`; the others' are in `gone`.
    std::vector<Uuid> merge{};
    std::uint32_t image_version = 0; ///< of a conversion: what every image becomes; else 0
};

std::string job_path(const std::string& descriptor_path);
/// None where there is none. Throws Error(recovery) for one that cannot be understood or belongs to another
/// user.
std::optional<DiskJob> read_job(FileDoor& files, const std::string& descriptor_path);
/// Old or new at any moment, synced with its folder.
void write_job(FileDoor& files, const std::string& descriptor_path, const DiskJob& job);
void remove_job(FileDoor& files, const std::string& descriptor_path);

/// Device and inode of what has this name now. Throws not_found.
JobFile identify(FileDoor& files, const std::string& path);
/// Removes it if it still is that file; the folder is synced. False: nothing to remove.
bool remove_listed(FileDoor& files, const JobFile& file);

/// Is the file that this entry names now one of these?
bool is_listed(const PloopDisk& disk, const ImageEntry& entry, const std::vector<JobFile>& list);

/// Cuts off what nothing refers to at the end of an image.
void cut_tail_of(const PloopDisk& disk, const Uuid& uuid);

/// Takes the in-use mark off an image whose BAT is sound. True: there was one. Throws what Delta::open throws.
bool close_image(const PloopDisk& disk, const Uuid& uuid);

/// Finishes or takes back what a killed run of ours left, and closes lower images that a killed merge of any
/// program left in use (nobody else writes to those). Tells through disk.say. Only with the descriptor locked.
/// Killed itself at any moment, it can run again. Throws Error(recovery).
void recover_left_over(PloopDisk& disk);

} // namespace disktool::ploop

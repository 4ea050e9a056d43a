// SPDX-License-Identifier: LGPL-2.1-or-later
// The commands, and what they share: opening a disk, carrying out a plan.
#pragma once

#include "carry_out.h"
#include "operations.h"
#include "options.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop::cli {

/// `words`: the command's name, then its words. Gives the program's exit code. Throws Error, HelpRequested.
using CommandFunction = int (*)(Options& options, const std::vector<std::string>& words);

struct Command {
    std::string_view name;
    CommandFunction run;
    const char* usage;
    const char* summary; ///< a line of the program's help; null: not listed there
    bool low_level;      ///< only named there
};

std::span<const Command> commands();
const Command* find_command(std::string_view name);
/// What the program says when it does not know what to do.
std::string summary_text();

// One file each, or a few that belong together.
int run_balloon(Options& options, const std::vector<std::string>& words);
int run_check(Options& options, const std::vector<std::string>& words);
int run_convert(Options& options, const std::vector<std::string>& words);
int run_copy(Options& options, const std::vector<std::string>& words);
int run_clear(Options& options, const std::vector<std::string>& words);
int run_delete(Options& options, const std::vector<std::string>& words);
int run_fsck(Options& options, const std::vector<std::string>& words);
int run_getdev(Options& options, const std::vector<std::string>& words);
int run_grow(Options& options, const std::vector<std::string>& words);
int run_info(Options& options, const std::vector<std::string>& words);
int run_init(Options& options, const std::vector<std::string>& words);
int run_list(Options& options, const std::vector<std::string>& words);
int run_merge(Options& options, const std::vector<std::string>& words);
int run_mount(Options& options, const std::vector<std::string>& words);
int run_replace(Options& options, const std::vector<std::string>& words);
int run_resize(Options& options, const std::vector<std::string>& words);
int run_restore_descriptor(Options& options, const std::vector<std::string>& words);
int run_snapshot(Options& options, const std::vector<std::string>& words);
int run_snapshot_delete(Options& options, const std::vector<std::string>& words);
int run_snapshot_list(Options& options, const std::vector<std::string>& words);
int run_snapshot_merge(Options& options, const std::vector<std::string>& words);
int run_snapshot_switch(Options& options, const std::vector<std::string>& words);
int run_start(Options& options, const std::vector<std::string>& words);
int run_stat(Options& options, const std::vector<std::string>& words);
int run_stop(Options& options, const std::vector<std::string>& words);
int run_tsnapshot(Options& options, const std::vector<std::string>& words);
int run_umount(Options& options, const std::vector<std::string>& words);

/// The only operand, as the path of a descriptor. Throws UsageError for anything else.
std::string descriptor_operand(const CommandLine& line);
std::string descriptor_operand(const std::string& word);

/// A resize or compact that was killed has left a record beside the image: what it left is put right. Every
/// command that is to change or mount the disk calls this before it opens it.
void finish_core_job(const Options& options, const std::string& descriptor);
/// With --dry-run a disk is opened for reading: no lock, and nothing of an interrupted run is put right.
std::unique_ptr<PloopDisk> open_disk(const Options& options, const std::string& descriptor, Access access);
Say say_of(const Options& options);
/// Throws PloopError(no_snapshot) unless the disk has it.
void demand_snapshot(const PloopDisk& disk, const Uuid& uuid);

} // namespace disktool::ploop::cli

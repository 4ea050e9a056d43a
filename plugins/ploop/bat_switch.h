// SPDX-License-Identifier: LGPL-2.1-or-later
// From one BAT to another at one instant, though it is larger than what a disk writes at once.
//
// The format's own way for changing its version, used for every change of the whole BAT: the new header and BAT
// go to IMAGE.idx, synced; the flag "converting" in the image's header is the point from which the new ones
// hold (ploop of any kind refuses the image meanwhile, or finishes the switch from IMAGE.idx; QEMU looks only
// at the in-use mark, which is set as well); then they are written into the image, synced, and IMAGE.idx is
// removed. Killed before the flag: the old state, and IMAGE.idx is rubbish. After it: the new one.
#pragma once

#include "header.h"

#include <disktool/doors.h>
#include <disktool/file.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace disktool::ploop {

std::string switch_file(const std::string& image_path);

/// Called when the image's header and BAT are those that hold from now on, while IMAGE.idx is still there: what
/// else must follow (the descriptor's size) is then done again by the next run, should this one be killed.
using Settled = std::function<void()>;

/// All clusters that `bat` points to must be written; they are synced here first. `bat` has header.entries
/// entries and its clusters lie behind header.data_start(). `decided` is set once the new state may be the one
/// that holds: an error after that leaves all that both states need. Before it the image is the old one and
/// IMAGE.idx is gone.
void switch_bat(Doors doors, File& file, const Header& header, const std::vector<std::uint32_t>& bat,
                bool& decided, const Settled& settled = {});

/// What a kill left: finishes a switch, or removes the rubbish. True: something was done. Throws
/// Error(recovery) where the image has the flag but IMAGE.idx is missing or does not fit to it.
bool recover_switch(Doors doors, File& file, const Settled& settled = {});
/// Would recover_switch do something?
bool switch_left(Doors doors, File& file);

} // namespace disktool::ploop

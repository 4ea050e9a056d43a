// SPDX-License-Identifier: LGPL-2.1-or-later
// The running top is merged into the image below it, which becomes the top.
#pragma once

#include "served_disk.h"

namespace disktool::ploop {

/// From its begin on nothing new comes to the top: what it has not, the guest writes to the one below. What it
/// has goes down in batches. So it becomes empty, however much is written, and then it goes. A flush brings the
/// lower one to the disk first; an entry of the top that is gone there is one that the lower one has.
class ServedDisk::Drain {
  public:
    Drain(ServedDisk& served, PloopDisk& disk, Report& report);
    void run(const std::string& verb);

  private:
    void begin();
    void move_all();
    void cut();
    void take_back_all(DiskChange& change);
    void drop_top();

    ServedDisk& served_;
    PloopDisk& disk_;
    Report& report_;
    const std::size_t level_; ///< of the one below
    const Uuid lower_;
    const std::uint64_t sectors_; ///< of the disk
    Delta* target_ = nullptr;
    bool marking_ = false;
};

} // namespace disktool::ploop

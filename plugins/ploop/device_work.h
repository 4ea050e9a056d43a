// SPDX-License-Identifier: LGPL-2.1-or-later
// A new state of a block device in the making (`ploop resize DEVICE`). A device has no name that could switch.
// So all that changes is gathered in a file of the host, and that file is complete and safe before the device
// is touched. Whoever is killed while it is copied to the device leaves a device that is neither old nor new,
// and the next run copies it again; not when the device was used meanwhile, which sums of what the device held
// before tell.
#pragma once

#include "overlay_work.h"

#include <disktool/doors.h>

#include <functional>
#include <optional>
#include <string>

namespace disktool::ploop {

/// Bytes on the device by which it is known, whatever its name: the id of its table or of its file system, and
/// its size. They are the same in the old and in the new state. None: nothing on it is known.
std::optional<std::string> device_mark(File& device);

/// See WorkingDisk. `device`: open for writing, and nobody else's; outlives this. The files are
/// FOLDER/device-MARK.work while it is made, and device-MARK.redo once it is to be copied, with
/// device-MARK.sums.
class DeviceWork final : public OverlayWork {
  public:
    /// `size`: bytes, at most the device's. Throws unsupported for a device without a mark.
    DeviceWork(Doors doors, File& device, const std::string& folder, std::uint64_t size);
    ~DeviceWork() override;

    /// A size below the device's is what its table tells from then on; the device keeps its length. An error
    /// once it is being copied is one whose sentence says so.
    void commit(const WorkCommit& request) override;

  private:
    void abandon() noexcept;

    Doors doors_;
    File& device_;
    const std::string path_; ///< of the files, without the ending
    bool renamed_ = false;
    bool over_ = false;
};

/// Is there an interrupted copy for this device? Its file.
std::optional<std::string> device_work_left(Doors doors, File& device, const std::string& folder);
/// Brings it to its end, and removes what was not complete. True: something was copied. `device`: open for
/// writing. Throws Error(recovery) for a file that is not ours, and for a device that was written to since.
bool finish_device_work(Doors doors, File& device, const std::string& folder);
/// The device gets a new content: what an interrupted run left for the old one goes.
void forget_device_work(Doors doors, File& device, const std::string& folder);

} // namespace disktool::ploop

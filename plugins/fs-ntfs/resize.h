// SPDX-License-Identifier: GPL-2.0-or-later
// Resizing by ntfsresize, on the working disk.
#pragma once

#include "geometry.h"
#include "volume.h"

#include <disktool/extents.h>
#include <disktool/filesystem.h>
#include <disktool/plan.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool::ntfs {

/// What both steps need to know; they outlive the volume that it was taken from.
struct ResizeTask {
    int partition = 0;
    std::uint64_t old_size = 0;     ///< of the partition, bytes
    std::uint64_t new_size = 0;     ///< of the partition, bytes
    std::uint64_t clusters = 0;     ///< that the volume will have
    std::uint32_t cluster_size = 0; ///< bytes
    std::uint32_t sector_size = 0;  ///< bytes
    Cost check;
    Cost resize;

    /// For --size: ntfsresize leaves out one cluster of it.
    std::uint64_t argument() const { return (clusters + 1) * cluster_size; }
};

/// Appends the check and the resize, or a note where the volume has that size already. Throws size_impossible.
void append_resize_steps(Plan& plan, const FilesystemResize& request, const ShrinkBounds& bounds,
                         const Volume& volume, const ExtentSet& free);

/// ntfsresize without writing: its check of the whole file system, and a rehearsal of the resize.
class CheckStep final : public Step {
  public:
    explicit CheckStep(const ResizeTask& task) : task_(task) {}

    std::string kind() const override { return "ntfs.check"; }
    std::string text() const override;
    Cost cost() const override { return task_.check; }
    Details details() const override;
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override { return "it only reads"; }

  private:
    ResizeTask task_;
};

/// Then the backup boot sector is written, which ntfsresize leaves to chkdsk.
class ResizeStep final : public Step {
  public:
    explicit ResizeStep(const ResizeTask& task) : task_(task) {}

    std::string kind() const override { return "ntfs.resize"; }
    std::string text() const override;
    Cost cost() const override { return task_.resize; }
    Details details() const override;
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override {
        return "only the working disk is changed, and it is thrown away when the job fails";
    }

  private:
    void verify_and_finish(BlockDevice& window) const;

    ResizeTask task_;
};

} // namespace disktool::ntfs

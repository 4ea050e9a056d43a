// SPDX-License-Identifier: LGPL-2.1-or-later
// A snapshot of a disk in use that was mounted by its images: a new top, and nothing that names it but whoever
// asked. Killed at any moment, the images named before, and with the new one behind them, are the same disk
// until the guest has written again.
#include "left_over.h"
#include "new_delta.h"
#include "running_change.h"
#include "served_disk.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

namespace disktool::ploop {

namespace {

/// A new file goes again, unless it was put to use.
class NewTop {
  public:
    NewTop(FileDoor& files, const std::string& path, const Delta& like) : files_(files), made_{path, 0, 0} {
        create_delta(files, path, like, [this](File& file) {
            const FileStatus status = file.status();
            made_.device = status.device;
            made_.inode = status.inode;
        });
    }
    NewTop(const NewTop&) = delete;
    NewTop& operator=(const NewTop&) = delete;
    ~NewTop() {
        if (kept_) {
            return;
        }
        try {
            remove_listed(files_, made_);
        } catch (const std::exception& error) {
            log(LogLevel::warning, error.what());
        }
    }
    void keep() { kept_ = true; }

  private:
    FileDoor& files_;
    JobFile made_;
    bool kept_ = false;
};

} // namespace

RunningDisk::SnapshotDone ServedDisk::snapshot_of_images(const RunningSnapshot& request, const Freezer& freezer,
                                                         const Say& say) {
    require_writable("snapshot");
    require_untracked();
    if (request.request.bitmap) {
        throw PloopError(Exit::no_tracking, ErrorCode::unsupported,
                         fmt::format("{}: no change bitmap (-b) is kept up to date by this program. Make the "
                                     "snapshot without -b",
                                     device_->name()),
                         Reason::feature_not_supported);
    }
    const std::string& file = request.new_file;
    if (doors_.files.status(file, false)) {
        refuse(fmt::format("{} exists already; name a file that does not", file));
    }
    SnapshotDone done;
    done.uuid = Uuid::none();
    done.file = file;
    if (request.plan_only) {
        return done;
    }
    say_creation(file, freezer, say);
    NewTop made(doors_.files, file, top());
    auto fresh = open_level(file, Access::write, 0);
    fresh->begin();
    device_->flush();
    push_images_top(std::move(fresh), freezer, done);
    made.keep();
    change_lock(device_->deltas()[levels_.size() - 2]->file(), Access::read, say);
    say(fmt::format("{} is the top now: the next mount must name it behind {}", file,
                    levels_[levels_.size() - 2].path));
    return done;
}

} // namespace disktool::ploop

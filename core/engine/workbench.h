// SPDX-License-Identifier: LGPL-2.1-or-later
// The Workbench of a job: working disk, FUSE view, sandbox, appliance, each made when first asked for.
#pragma once

#include <disktool/appliance.h>
#include <disktool/doors.h>
#include <disktool/format.h>
#include <disktool/progress.h>
#include <disktool/workbench.h>

#include <functional>
#include <memory>

namespace disktool {

/// A Workbench that the core can end. Destroyed without commit(): everything is taken down and abandoned.
class DISKTOOL_API OwnWorkbench : public Workbench {
  public:
    ~OwnWorkbench() override;
    /// Shuts the appliance down and unmounts the view, so that all that was written is in the working disk and
    /// nobody writes any more; then commits the working disk. Throws where something was still open.
    virtual void commit(const WorkCommit& request) = 0;
    /// As commit, but lets the working disk go.
    virtual void abandon() noexcept = 0;
};

/// Begins the work on `image` (image.begin_work). `make_appliance` may be empty: then appliance() throws.
DISKTOOL_API std::unique_ptr<OwnWorkbench>
make_workbench(Doors doors, Image& image, const WorkSpec& spec, CancelToken* cancel,
               std::function<std::unique_ptr<Appliance>()> make_appliance);

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// The steps by which the core changes a ploop image.
#pragma once

#include <disktool/format.h>

#include <memory>

namespace disktool::ploop {

class Image;

/// Size and patches at one instant, by a working disk.
std::unique_ptr<Step> resize_step(Image& image, const ResizeRequest& request);
/// Frees the clusters that lie wholly in `discardable`, moves the tail into the holes and cuts the file. `plan`
/// null: only counts.
CompactEstimate plan_free(Image& image, Plan* plan, const ExtentSet& discardable);
/// After a kill: takes the in-use mark off an image whose BAT is sound, and gives back what nothing refers to.
void plan_mend(Image& image, Plan& plan, bool dirty);
CheckReport check_delta(Image& image);

} // namespace disktool::ploop

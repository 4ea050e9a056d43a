// SPDX-License-Identifier: LGPL-2.1-or-later
// Growing in-process: everything new is written beside the old, then one sector switches.
#pragma once

#include "allocator.h"
#include "grow_layout.h"
#include "image.h"
#include "refcounts.h"

#include <disktool/format.h>
#include <disktool/plan.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool::qcow2 {

/// The order of its stages, and why each may be the last: docs/qcow2-writing.md. Stopped before the switch, it
/// takes back what it wrote; a failure after the switch is only warned of, since the disk is new then.
class GrowStep final : public Step {
  public:
    /// Errors: see plan_grow.
    GrowStep(Image& image, ResizeRequest request);

    std::string kind() const override { return "qcow2.grow"; }
    std::string text() const override { return text_; }
    Cost cost() const override { return cost_; }
    std::string needs_no_undo() const override {
        return "the disk changes from old to new in one write of the header";
    }
    void commit(StepContext& context) override;

  private:
    Image& image_;
    ResizeRequest request_;
    std::string text_;
    Cost cost_;
};

} // namespace disktool::qcow2

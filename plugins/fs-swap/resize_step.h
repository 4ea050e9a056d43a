// SPDX-License-Identifier: LGPL-2.1-or-later
// Gives a swap area another size: only its header is written.
#pragma once

#include <disktool/filesystem.h>
#include <disktool/plan.h>

#include <cstdint>
#include <string>

namespace disktool::swap {

/// How many pages a swap area of `bytes` has; the kernel's limit on their number is kept.
std::uint64_t pages_in(std::uint64_t bytes, std::uint32_t page_size);

/// Looks at the header anew when it runs, on the window of the workbench.
class ResizeStep : public Step {
  public:
    ResizeStep(FilesystemResize request, std::uint32_t page_size) : request_(request), page_size_(page_size) {}

    std::string kind() const override { return "swap.resize"; }
    std::string text() const override;
    Cost cost() const override;
    Details details() const override;
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override {
        return "it changes the working disk only, which is dropped when the job fails";
    }

  private:
    FilesystemResize request_;
    std::uint32_t page_size_;
};

} // namespace disktool::swap

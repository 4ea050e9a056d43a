// SPDX-License-Identifier: LGPL-2.1-or-later
// The qcow2 plugin on hostile files: everything that looks, nothing that changes. An Error is a good answer;
// any other exception, a sanitizer's report or a time-out is a finding.
#include "memory_file.h"
#include "plugin.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/extents.h>
#include <disktool/format.h>
#include <disktool/plan.h>

#include <functional>

namespace disktool::fuzz {
namespace {

/// Backing and data files are the same bytes again, a few levels deep.
class Opener final : public ImageOpener {
  public:
    Opener(std::span<const std::byte> content, int depth) : content_(content), depth_(depth), file_(content) {}

    Doors doors() override { return real_doors(); }
    Access access() const override { return Access::read; }
    File& file() override { return file_; }
    std::unique_ptr<Image> open_backing(const std::string&, const std::string&) override {
        constexpr int deepest = 2;
        if (depth_ == deepest) {
            throw Error(ErrorCode::damaged, "the chain is long enough", Reason::backing_loop);
        }
        return qcow2::Plugin().open(std::make_unique<Opener>(content_, depth_ + 1));
    }
    std::unique_ptr<File> open_data_file(const std::string&) override {
        return std::make_unique<MemoryFile>(content_);
    }

  private:
    std::span<const std::byte> content_;
    int depth_;
    MemoryFile file_;
};

void attempt(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error&) { // the answer to damage
    }
}

/// The start, the middle and the end of the disk, whatever size it claims.
void look_at(BlockDevice& device, std::uint64_t cluster_size) {
    const std::uint64_t length = std::min(device.size(), 300 * cluster_size);
    std::vector<std::byte> buffer(std::min<std::uint64_t>(length, 1 << 20));
    for (const std::uint64_t start : {std::uint64_t{0}, device.size() / 2, device.size() - length}) {
        const Range window{start, std::min(length, device.size() - start)};
        attempt([&] { device.extents(window); });
        attempt([&] {
            const std::uint64_t part = std::min<std::uint64_t>(buffer.size(), window.length);
            device.read(window.offset, std::span(buffer).first(part));
        });
    }
}

void open_and_look(std::span<const std::byte> content) {
    const auto image = qcow2::Plugin().open(std::make_unique<Opener>(content, 0));
    const ImageInfo& info = image->info();
    for (const Capability capability :
         {Capability::grow, Capability::compact, Capability::check, Capability::merge_external}) {
        image->refusal(capability);
    }
    attempt([&] { image->allocation(); });
    attempt([&] { look_at(image->device(), info.cluster_size); });
    const Range start{0, std::min<std::uint64_t>(info.virtual_size, 300ull * info.cluster_size)};
    attempt([&] { image->own_extents(start); });
    attempt([&] { image->host_extents(start); });
    attempt([&] {
        Plan plan("resize", info.path);
        image->plan_resize(plan, {info.virtual_size / 1024 * 512, {}});
    });
    const ExtentSet half(Range{info.virtual_size / 3, info.virtual_size / 2});
    attempt([&] { image->estimate_compact(half); });
    attempt([&] {
        Plan plan("compact", info.path);
        image->plan_compact(plan, half);
    });
    attempt([&] {
        Plan plan("mend", info.path);
        image->plan_mend(plan);
    });
    attempt([&] { image->check(); });
}

} // namespace
} // namespace disktool::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    disktool::fuzz::attempt([&] { disktool::fuzz::open_and_look(std::as_bytes(std::span(data, size))); });
    return 0;
}

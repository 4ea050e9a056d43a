// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_image.h"

#include "disk.h"

#include <disktool/error.h>

#include <vector>

namespace disktool::ploop {

namespace {

std::vector<std::unique_ptr<Delta>> single(Doors doors, const std::string& path) {
    std::vector<std::unique_ptr<Delta>> deltas;
    deltas.push_back(
        Delta::open(doors.files.open(path, {.write = true, .follow_links = false}), Access::write));
    return deltas;
}

class NewImage final : public WorkingDisk {
  public:
    NewImage(Doors doors, const std::string& path) : device_(single(doors, path), path) { device_.begin(); }

    std::uint64_t size() const override { return device_.size(); }
    std::string name() const override { return device_.name(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override { device_.read(offset, buffer); }
    std::vector<Extent> extents(Range range) override { return device_.extents(range); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { device_.write(offset, data); }
    void discard(Range range) override { device_.discard(range); }
    void zero(Range range) override { device_.zero(range); }
    void flush() override { device_.flush(); }
    std::uint64_t space_taken() const override {
        return device_.deltas().back()->allocated_clusters() * device_.deltas().back()->cluster_size();
    }
    void commit(const WorkCommit& request) override {
        if (request.reserve) {
            reserve();
        }
        device_.end();
    }

  private:
    void reserve() {
        Delta& delta = device_.top();
        const std::vector<std::byte> zeros(delta.cluster_size());
        for (std::uint64_t cluster = 0; cluster < delta.clusters(); ++cluster) {
            if (!delta.place(cluster)) {
                delta.allocate(cluster, zeros);
            }
        }
    }

    ChainDevice device_;
};

} // namespace

std::unique_ptr<WorkingDisk> open_new_image(Doors doors, const std::string& path) {
    return std::make_unique<NewImage>(doors, path);
}

} // namespace disktool::ploop

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_image.h"

#include "image.h"

#include <stdexcept>
#include <utility>

namespace disktool::qcow2 {

namespace {

/// For a file that no one else can have open, so that there is nothing to lock.
class OwnOpener final : public ImageOpener {
  public:
    OwnOpener(Doors doors, const std::string& path)
        : doors_(doors), file_(doors.files.open(path, {.write = true, .follow_links = false})) {}

    Doors doors() override { return doors_; }
    Access access() const override { return Access::write; }
    File& file() override { return *file_; }
    std::unique_ptr<disktool::Image> open_backing(const std::string&, const std::string&) override {
        throw std::logic_error("a new image has no backing file");
    }
    std::unique_ptr<File> open_data_file(const std::string&) override {
        throw std::logic_error("a new image has no data file");
    }

  private:
    Doors doors_;
    std::unique_ptr<File> file_;
};

class NewImage final : public WorkingDisk {
  public:
    NewImage(Doors doors, const std::string& path)
        : image_(std::make_unique<OwnOpener>(doors, path)),
          work_(image_.begin_work(image_.info().virtual_size)) {}

    std::uint64_t size() const override { return work_->size(); }
    std::string name() const override { return work_->name(); }
    bool concurrent() const override { return work_->concurrent(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override { work_->read(offset, buffer); }
    std::vector<Extent> extents(Range range) override { return work_->extents(range); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { work_->write(offset, data); }
    void discard(Range range) override { work_->discard(range); }
    void zero(Range range) override { work_->zero(range); }
    void flush() override { work_->flush(); }
    bool take_from(std::uint64_t offset, File& source, Range from) override {
        return work_->take_from(offset, source, from);
    }
    std::uint64_t space_taken() const override { return work_->space_taken(); }
    void commit(const WorkCommit& request) override { work_->commit(request); }

  private:
    Image image_;
    std::unique_ptr<WorkingDisk> work_; ///< refers to image_
};

} // namespace

std::unique_ptr<WorkingDisk> open_new_image(Doors doors, const std::string& path) {
    return std::make_unique<NewImage>(doors, path);
}

} // namespace disktool::qcow2

// SPDX-License-Identifier: LGPL-2.1-or-later
// A new disk: image file, what is put on it, descriptor.
#include "left_over.h"
#include "new_names.h"
#include "operations.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t zero_piece = MiB;

std::string descriptor_path(const std::string& image) {
    return directory_of(image) + "/DiskDescriptor.xml";
}

std::string file_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

PloopError invalid(const std::string& sentence, Reason reason = Reason::none) {
    return {Exit::invalid_parameter, ErrorCode::usage, sentence, reason};
}

/// Everything happens under another name; the image's own name and then the descriptor come last. Killed
/// before: the next run with this name takes the rest away.
class InitStep final : public Step {
  public:
    InitStep(Doors doors, InitRequest request, Say say)
        : doors_(doors), request_(std::move(request)), say_(std::move(say)) {}

    std::string kind() const override { return "ploop.init"; }
    std::string text() const override {
        return fmt::format("make {} ({}, clusters of {}{}), and {} for it", request_.image,
                           size_text(request_.disk_sectors * sector_size),
                           size_text(request_.cluster_sectors * sector_size),
                           request_.mode == DiskMode::raw            ? ", raw"
                           : request_.mode == DiskMode::preallocated ? ", preallocated"
                                                                     : "",
                           descriptor_path(request_.image)) +
               (request_.fill ? "; " + request_.fill_text : "");
    }
    Cost cost() const override {
        Cost cost;
        cost.written = request_.mode == DiskMode::expanded
                           ? table_clusters(entries_of(request_.disk_sectors, request_.cluster_sectors),
                                            request_.cluster_sectors) *
                                 request_.cluster_sectors * sector_size
                           : request_.disk_sectors * sector_size;
        cost.space = cost.written;
        return cost;
    }
    std::string needs_no_undo() const override { return ""; }

    void commit(StepContext& context) override {
        remove_part();
        make_file(context);
        if (request_.fill) {
            fill(context);
        }
        image_ = identify(doors_.files, part());
        image_->path = request_.image;
        take_name(doors_.files, part(), request_.image);
        storing_ = true;
        say_("Storing " + descriptor_path(request_.image));
        Descriptor::make(request_.disk_sectors, request_.cluster_sectors, request_.mode,
                         file_name(request_.image))
            .store(doors_.files, descriptor_path(request_.image));
        context.advance(cost().work());
    }

    void undo(StepContext&) override {
        remove_part();
        // First what names the image: it may be there already when storing it fails at its last sync.
        const std::string descriptor = descriptor_path(request_.image);
        if (storing_ && doors_.files.status(descriptor, false)) {
            doors_.files.remove(descriptor);
        }
        if (image_) {
            remove_listed(doors_.files, *image_);
        }
    }

  private:
    std::string part() const { return part_name(request_.image); }
    std::string scratch() const { return request_.image + ".disktool-scratch"; }

    void remove_part() {
        for (const std::string& path : {part(), scratch()}) {
            if (doors_.files.status(path, false)) {
                doors_.files.remove(path);
            }
        }
    }

    void make_file(StepContext& context) {
        const std::unique_ptr<File> file =
            doors_.files.open(part(), {.write = true, .create = true, .exclusive = true});
        if (request_.mode == DiskMode::raw) {
            say_(fmt::format("Creating raw delta {} size={} sectors", request_.image, request_.disk_sectors));
            // Really written: the drivers for ploop want files without holes.
            const std::vector<std::byte> zeros(zero_piece);
            const std::uint64_t size = request_.disk_sectors * sector_size;
            for (std::uint64_t at = 0; at < size; at += zero_piece) {
                context.cancel().check();
                file->write(at, std::span(zeros).first(std::min(zero_piece, size - at)));
            }
            file->sync();
            return;
        }
        say_(fmt::format("Creating {}delta {} bs={} size={} sectors v{}",
                         request_.mode == DiskMode::preallocated ? "preallocated " : "", request_.image,
                         request_.cluster_sectors, request_.disk_sectors,
                         static_cast<std::uint32_t>(request_.version)));
        Delta::create(*file, {request_.disk_sectors, request_.cluster_sectors, request_.version,
                              request_.mode == DiskMode::preallocated});
    }

    void fill(StepContext& context) {
        std::unique_ptr<File> file = doors_.files.open(part(), {.write = true, .follow_links = false});
        std::vector<std::unique_ptr<Delta>> deltas;
        deltas.push_back(request_.mode == DiskMode::raw
                             ? Delta::open_raw(std::move(file), Access::write, request_.cluster_sectors)
                             : Delta::open(std::move(file), Access::write));
        ChainDevice disk(std::move(deltas), request_.image);
        disk.begin();
        request_.fill(context, disk, scratch());
        disk.end();
    }

    Doors doors_;
    InitRequest request_;
    Say say_;
    std::optional<JobFile> image_; ///< the finished file, under the name that it gets
    bool storing_ = false;         ///< the descriptor may be there
};

} // namespace

Plan plan_init(Doors doors, const InitRequest& given, const Say& say) {
    InitRequest request = given;
    if (!is_cluster_size(request.cluster_sectors)) {
        throw invalid(fmt::format("Incorrect block size specified: {} (a power of two from {} to {} sectors)",
                                  request.cluster_sectors, smallest_cluster_sectors, largest_cluster_sectors));
    }
    request.disk_sectors = round_up(request.disk_sectors, request.cluster_sectors);
    const std::uint64_t largest = largest_disk(request.version, request.cluster_sectors);
    if (request.disk_sectors == 0 || request.disk_sectors > largest) {
        throw invalid(
            fmt::format(
                "Invalid image size {} sectors: an image of version {} with this block size has 1 to {} "
                "sectors",
                given.disk_sectors, static_cast<std::uint32_t>(request.version), largest),
            Reason::size_too_large);
    }
    const std::string descriptor = descriptor_path(request.image);
    for (const std::string& path : {descriptor, request.image}) {
        if (doors.files.status(path, false)) {
            throw invalid(fmt::format("{} already exists; remove it first, or name another place", path));
        }
    }
    Plan plan("init", request.image);
    plan.add(std::make_unique<InitStep>(doors, request, say));
    return plan;
}

} // namespace disktool::ploop

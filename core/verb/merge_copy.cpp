// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/merge_copy.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

constexpr std::uint64_t longest_piece = 4 * MiB; // one is moved between two looks at the cancel token
constexpr std::uint64_t sample_length = 4 * KiB;

/// Splits `where` by what the disk says of it.
MergeSet classify(BlockDevice& disk, const ExtentSet& where) {
    MergeSet set;
    for (const Range range : where) {
        for (const Extent& extent : disk.extents(range)) {
            (extent.kind == ExtentKind::data ? set.data : set.zeros).append(extent.range);
        }
    }
    return set;
}

/// Where the bytes lie as plain data, whichever image of the chain holds them; by guest offset.
void locate(Image& image, Range range, std::vector<HostExtent>& found) {
    const Range within{range.offset, std::min(range.end(), image.info().virtual_size) -
                                         std::min(range.offset, image.info().virtual_size)};
    if (within.empty()) {
        return;
    }
    const std::vector<HostExtent> own = image.host_extents(within);
    found.insert(found.end(), own.begin(), own.end());
    if (image.backing() != nullptr) {
        for (const Range rest : image.own_extents(within).complement(within)) {
            locate(*image.backing(), rest, found);
        }
    }
}

std::uint64_t hash_of(BlockDevice& device, Range place) {
    std::vector<std::byte> bytes(place.length);
    device.read(place.offset, bytes);
    return fnv1a(bytes);
}

class Copier {
  public:
    Copier(StepContext& context, Image& top, WorkingDisk& target)
        : context_(context), top_(top), target_(target), buffer_(longest_piece) {}

    void copy(Range run) {
        std::vector<HostExtent> places;
        locate(top_, run, places);
        std::sort(places.begin(), places.end(),
                  [](const HostExtent& a, const HostExtent& b) { return a.guest.offset < b.guest.offset; });
        std::uint64_t at = run.offset;
        for (const HostExtent& place : places) {
            read_and_write({at, place.guest.offset - at});
            take(place);
            at = place.guest.end();
        }
        read_and_write({at, run.end() - at});
    }

  private:
    void take(const HostExtent& place) {
        for (std::uint64_t done = 0; done < place.guest.length;) {
            context_.cancel().check();
            const std::uint64_t length = std::min(64 * longest_piece, place.guest.length - done);
            if (target_.take_from(place.guest.offset + done, *place.file, {place.host_offset + done, length})) {
                context_.report("bytes_moved_by_host", length);
                context_.report("bytes_moved", length);
                context_.advance(2 * length);
            } else {
                // A place that does not fit to whole clusters says nothing of the next one; but asking costs
                // little only where runs are long.
                read_and_write({place.guest.offset + done, length});
            }
            done += length;
        }
    }

    void read_and_write(Range range) {
        for (std::uint64_t at = range.offset; at < range.end();) {
            context_.cancel().check();
            const std::uint64_t length = std::min(longest_piece, range.end() - at);
            const auto piece = std::span(buffer_).first(length);
            top_.device().read(at, piece);
            target_.write(at, piece);
            context_.report("bytes_moved", length);
            context_.advance(2 * length);
            at += length;
        }
    }

    StepContext& context_;
    Image& top_;
    WorkingDisk& target_;
    std::vector<std::byte> buffer_;
};

} // namespace

MergeSet below(Image& top) {
    const Range disk{0, top.info().virtual_size};
    MergeSet set = classify(top.device(), top.own_extents(disk).complement(disk));
    set.zeros = {}; // what the top leaves open and nobody below fills reads as zeros anyway
    return set;
}

MergeSet above(Image& top, Image& base) {
    const std::uint64_t size = top.info().virtual_size;
    ExtentSet own;
    for (Image* image = &top; image != &base; image = image->backing()) {
        const std::uint64_t end = std::min(size, image->info().virtual_size);
        own = own.unite(image->own_extents({0, end}));
        if (end < size) {
            own = own.unite(ExtentSet(Range{end, size - end}));
        }
    }
    return classify(top.device(), own);
}

void MovedRuns::add(BlockDevice& source, Range run) {
    const std::uint64_t length = std::min(run.length, sample_length);
    for (const std::uint64_t offset : {run.offset, run.end() - length}) {
        samples_.push_back({{offset, length}, hash_of(source, {offset, length})});
    }
}

void MovedRuns::compare(BlockDevice& result) const {
    for (const Sample& sample : samples_) {
        if (hash_of(result, sample.place) != sample.hash) {
            throw Error(ErrorCode::failure,
                        fmt::format("{} differs from the chain that it was merged from, at guest byte {}; the "
                                    "backing files are kept",
                                    result.name(), sample.place.offset));
        }
    }
}

void merge_copy(StepContext& context, Image& top, const MergeSet& set, WorkingDisk& target, MovedRuns& moved) {
    Copier copier(context, top, target);
    for (const Range run : set.data) {
        copier.copy(run);
        moved.add(top.device(), run);
    }
    for (const Range range : set.zeros) {
        context.cancel().check();
        target.zero(range);
    }
}

} // namespace disktool

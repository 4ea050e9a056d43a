// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/zero_clusters.h"

#include <disktool/bytes.h>
#include <disktool/size.h>

#include <algorithm>
#include <span>
#include <vector>

namespace disktool {

namespace {

constexpr std::uint64_t longest_piece = 4 * MiB;

class Search {
  public:
    Search(Image& image, CancelToken& cancel, const std::function<void(std::uint64_t)>& advance)
        : image_(image), cancel_(cancel), advance_(advance), cluster_(image.info().cluster_size),
          buffer_(std::max<std::uint64_t>(round_down(longest_piece, cluster_), cluster_)) {}

    /// A run of plain data in a file of the host: its holes are zeros without being read.
    void look_at(const HostExtent& place) {
        const std::uint64_t end = place.host_offset + place.guest.length;
        std::uint64_t at = place.host_offset;
        while (at < end) {
            const std::uint64_t data = std::min(end, place.file->next_data(at).value_or(end));
            found({place.guest.offset + (at - place.host_offset), data - at});
            advance_(data - at);
            const std::uint64_t hole =
                data < end ? std::min(end, place.file->next_hole(data).value_or(end)) : end;
            read({place.guest.offset + (data - place.host_offset), hole - data});
            at = hole;
        }
    }
    ExtentSet result(std::uint64_t disk_size) {
        ExtentSet zeros = ExtentSet::from_unsorted(std::move(zeros_));
        // The last cluster may reach beyond the disk's end.
        if (!zeros.empty() && zeros.span().end() == disk_size) {
            zeros.append({disk_size, round_up(disk_size, cluster_) - disk_size});
        }
        return zeros.rounded_inward(cluster_).clip({0, disk_size});
    }

  private:
    void found(Range range) {
        if (!range.empty()) {
            zeros_.push_back(range);
        }
    }
    void read(Range range) {
        for (std::uint64_t at = range.offset; at < range.end();) {
            cancel_.check();
            const std::uint64_t length = std::min<std::uint64_t>(buffer_.size(), range.end() - at);
            const std::span<std::byte> piece = std::span(buffer_).first(length);
            image_.device().read(at, piece);
            for (std::uint64_t done = 0; done < length;) {
                const std::uint64_t to_boundary = cluster_ - (at + done) % cluster_;
                const std::uint64_t part = std::min(to_boundary, length - done);
                if (all_zero(piece.subspan(done, part))) {
                    found({at + done, part});
                }
                done += part;
            }
            advance_(length);
            at += length;
        }
    }

    Image& image_;
    CancelToken& cancel_;
    const std::function<void(std::uint64_t)>& advance_;
    std::uint64_t cluster_;
    std::vector<std::byte> buffer_;
    std::vector<Range> zeros_;
};

} // namespace

ExtentSet find_zero_clusters(Image& image, CancelToken& cancel,
                             const std::function<void(std::uint64_t)>& advance) {
    const std::uint64_t size = image.info().virtual_size;
    Search search(image, cancel, advance);
    for (const HostExtent& place : image.host_extents({0, size})) {
        search.look_at(place);
    }
    return search.result(size);
}

std::uint64_t bytes_to_search(Image& image) {
    std::uint64_t bytes = 0;
    for (const HostExtent& place : image.host_extents({0, image.info().virtual_size})) {
        bytes += place.guest.length;
    }
    return bytes;
}

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decompress.h"

#include <zlib.h>
#include <zstd.h>

namespace disktool::qcow2 {

namespace {

/// Raw deflate without a zlib header, with a window of 4 KiB: what the format prescribes.
constexpr int window_bits = -12;

bool inflate_cluster(std::span<const std::byte> compressed, std::span<std::byte> cluster) {
    z_stream stream{};
    // zlib wants a pointer to what it does not write to.
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(compressed.data()));
    stream.avail_in = static_cast<uInt>(compressed.size());
    stream.next_out = reinterpret_cast<Bytef*>(cluster.data());
    stream.avail_out = static_cast<uInt>(cluster.size());
    if (inflateInit2(&stream, window_bits) != Z_OK) {
        return false;
    }
    const int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream.avail_out == 0;
}

bool zstd_cluster(std::span<const std::byte> compressed, std::span<std::byte> cluster) {
    const std::size_t frame = ZSTD_findFrameCompressedSize(compressed.data(), compressed.size());
    if (ZSTD_isError(frame)) {
        return false;
    }
    return ZSTD_decompress(cluster.data(), cluster.size(), compressed.data(), frame) == cluster.size();
}

} // namespace

bool decompress(CompressionType type, std::span<const std::byte> compressed, std::span<std::byte> cluster) {
    return type == CompressionType::zstd ? zstd_cluster(compressed, cluster)
                                         : inflate_cluster(compressed, cluster);
}

} // namespace disktool::qcow2

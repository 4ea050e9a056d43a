// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checksum.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#define XXH_INLINE_ALL
#include <gcrypt.h>
#include <xxhash.h>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::btrfs {

namespace {

struct Digest {
    std::array<std::byte, checksum_field> bytes{};
    std::size_t size = 0;

    void set(std::uint64_t value, std::size_t width) {
        size = width;
        for (std::size_t i = 0; i < width; ++i)
            bytes[i] = static_cast<std::byte>(value >> (8 * i));
    }
};

void hash(gcry_md_algos algorithm, std::span<const std::byte> data, Digest& digest) {
    // libgcrypt wants its version asked once before anything else; C++ makes this safe with threads.
    [[maybe_unused]] static const char* version = gcry_check_version(nullptr);
    digest.size = gcry_md_get_algo_dlen(algorithm);
    gcry_md_hash_buffer(algorithm, digest.bytes.data(), data.data(), data.size());
}

Digest digest_of(ChecksumType type, std::span<const std::byte> data) {
    Digest digest;
    switch (type) {
    case ChecksumType::crc32c:
        digest.set(~ext2fs_crc32c_le(~0u, reinterpret_cast<const unsigned char*>(data.data()), data.size()) &
                       0xffffffffu,
                   4);
        break;
    case ChecksumType::xxhash64:
        digest.set(XXH64(data.data(), data.size(), 0), 8);
        break;
    case ChecksumType::sha256:
        hash(GCRY_MD_SHA256, data, digest);
        break;
    case ChecksumType::blake2b:
        hash(GCRY_MD_BLAKE2B_256, data, digest);
        break;
    }
    return digest;
}

} // namespace

bool is_known(ChecksumType type) {
    return type <= ChecksumType::blake2b;
}

std::string name(ChecksumType type) {
    constexpr std::array names = {"crc32c", "xxhash64", "sha256", "blake2b"};
    const auto number = static_cast<std::size_t>(type);
    return number < names.size() ? names[number] : fmt::format("type {}", number);
}

bool checksum_matches(ChecksumType type, std::span<const std::byte> block) {
    const Digest digest = digest_of(type, block.subspan(checksum_field));
    return digest.size != 0 &&
           std::ranges::equal(std::span(digest.bytes).first(digest.size), block.first(digest.size));
}

void set_checksum(ChecksumType type, std::span<std::byte> block) {
    const Digest digest = digest_of(type, block.subspan(checksum_field));
    std::ranges::fill(block.first(checksum_field), std::byte{0});
    std::ranges::copy(std::span(digest.bytes).first(digest.size), block.begin());
}

} // namespace disktool::btrfs

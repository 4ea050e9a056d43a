// SPDX-License-Identifier: LGPL-2.1-or-later
#include "feature_set.h"

#include <array>
#include <bit>

extern "C" {
#include <e2p/e2p.h>
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

namespace {

void append_names(std::string& list, int set, std::uint32_t bits) {
    for (; bits != 0; bits &= bits - 1) {
        std::array<char, 32> name{};
        e2p_feature_to_string(set, 1u << std::countr_zero(bits), name.data(), name.size());
        if (!list.empty())
            list += ' ';
        list += name.data();
    }
}

} // namespace

std::string Features::names() const {
    std::string list;
    append_names(list, E2P_FEATURE_COMPAT, compatible);
    append_names(list, E2P_FEATURE_INCOMPAT, incompatible);
    append_names(list, E2P_FEATURE_RO_INCOMPAT, read_only_compatible);
    return list;
}

Features Features::unknown() const {
    // The library is built with multiple-mount protection; its header leaves the bit out of the set.
    constexpr std::uint32_t known_incompatible = EXT2_LIB_FEATURE_INCOMPAT_SUPP | EXT4_FEATURE_INCOMPAT_MMP;
    return {compatible & ~std::uint32_t{EXT2_LIB_FEATURE_COMPAT_SUPP}, incompatible & ~known_incompatible,
            read_only_compatible & ~std::uint32_t{EXT2_LIB_FEATURE_RO_COMPAT_SUPP}};
}

bool Features::journal_device() const {
    return (incompatible & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV) != 0;
}

std::string Features::type() const {
    constexpr std::uint32_t old_incompatible =
        EXT2_FEATURE_INCOMPAT_FILETYPE | EXT2_FEATURE_INCOMPAT_META_BG | EXT3_FEATURE_INCOMPAT_RECOVER;
    constexpr std::uint32_t btree_dir = 0x0004; // never used, but blkid and the kernel let it pass
    constexpr std::uint32_t old_read_only_compatible =
        EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | btree_dir;
    if ((incompatible & ~old_incompatible) != 0 || (read_only_compatible & ~old_read_only_compatible) != 0)
        return "ext4";
    return (compatible & EXT3_FEATURE_COMPAT_HAS_JOURNAL) != 0 ? "ext3" : "ext2";
}

} // namespace disktool::ext4

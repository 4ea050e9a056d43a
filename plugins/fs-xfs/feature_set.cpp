// SPDX-License-Identifier: LGPL-2.1-or-later
#include "feature_set.h"

#include <fmt/format.h>

#include <bit>
#include <span>

namespace disktool::xfs {

namespace {

struct Feature {
    std::uint32_t bit;
    const char* name;
    bool obstacle = false; ///< its layout is known to nobody here
};

constexpr std::uint32_t morebits = 0x8000; ///< of versionnum: features2 is in use
constexpr std::uint32_t lazy_count = 0x2;  ///< of features2
constexpr std::uint32_t finobt = 0x1, rmapbt = 0x2, reflink = 0x4;
constexpr std::uint32_t meta_uuid = 0x4, needsrepair = 0x10;
constexpr std::uint32_t log_xattrs = 0x1;

constexpr Feature in_versionnum[] = {
    {0x0010, "attr"},  {0x0020, "nlink"},    {0x0040, "quota"},
    {0x0080, "align"}, {0x0100, "dalign"},   {0x0200, "shared", true}, // of IRIX; Linux refuses it
    {0x0400, "logv2"}, {0x0800, "sector"},   {0x1000, "extflg"},
    {0x2000, "dirv2"}, {0x4000, "ascii-ci"}, {morebits, "morebits"},
};
constexpr Feature in_features2[] = {
    {lazy_count, "lazy-count"}, {0x08, "attr2"}, {0x80, "projid32bit"}, {0x100, "crc"}, {0x200, "ftype"},
};
constexpr Feature in_read_only_compatible[] = {
    {finobt, "finobt"}, {rmapbt, "rmapbt"}, {reflink, "reflink"}, {0x8, "inobtcount"}};
constexpr Feature in_incompatible[] = {
    {0x1, "ftype"},
    {0x2, "sparse"},
    {meta_uuid, "meta_uuid"},
    {0x8, "bigtime"},
    {needsrepair, "needsrepair"},
    {0x20, "nrext64"},
    {0x40, "exchange"},
    {0x80, "parent"},
    // Of Linux 6.13 and later: metadata inodes with space reservations of their own, and realtime groups, which
    // may lie on the same device.
    {0x100, "metadir", true},
    {0x200, "zoned", true},
    {0x400, "zone_gaps", true},
};
constexpr Feature in_log_incompatible[] = {{log_xattrs, "log_xattrs"}};

void append(std::string& list, const std::string& name) {
    if (!list.empty())
        list += ' ';
    list += name;
}

/// The names of `bits`. `only_obstacles`: of those that are not known, or known not to be understood.
void append_names(std::string& list, std::uint32_t bits, std::span<const Feature> known, const char* set,
                  bool only_obstacles) {
    for (; bits != 0; bits &= bits - 1) {
        const std::uint32_t bit = 1u << std::countr_zero(bits);
        const Feature* feature = nullptr;
        for (const Feature& candidate : known)
            if (candidate.bit == bit)
                feature = &candidate;
        if (feature == nullptr)
            append(list, fmt::format("{}_bit_{}", set, std::countr_zero(bits)));
        else if (!only_obstacles || feature->obstacle)
            append(list, feature->name);
    }
}

std::string listed(const Features& features, bool only_obstacles) {
    std::string list;
    append_names(list, features.versionnum & 0xfff0u, in_versionnum, "versionnum", only_obstacles);
    if ((features.versionnum & morebits) != 0 || features.has_checksums())
        append_names(list, features.features2, in_features2, "features2", only_obstacles);
    if (!features.has_checksums())
        return list;
    if (!only_obstacles)
        append_names(list, features.compatible, {}, "compat", only_obstacles);
    append_names(list, features.read_only_compatible, in_read_only_compatible, "ro_compat", only_obstacles);
    append_names(list, features.incompatible, in_incompatible, "incompat", only_obstacles);
    if (!only_obstacles)
        append_names(list, features.log_incompatible, in_log_incompatible, "log_incompat", only_obstacles);
    return list;
}

} // namespace

bool Features::has_meta_uuid() const {
    return has_checksums() && (incompatible & meta_uuid) != 0;
}

bool Features::has_finobt() const {
    return has_checksums() && (read_only_compatible & finobt) != 0;
}

bool Features::has_rmapbt() const {
    return has_checksums() && (read_only_compatible & rmapbt) != 0;
}

bool Features::has_reflink() const {
    return has_checksums() && (read_only_compatible & reflink) != 0;
}

bool Features::has_lazy_counters() const {
    return has_checksums() || ((versionnum & morebits) != 0 && (features2 & lazy_count) != 0);
}

bool Features::needs_repair() const {
    return has_checksums() && (incompatible & needsrepair) != 0;
}

bool Features::has_unknown_log_features() const {
    return has_checksums() && (log_incompatible & ~log_xattrs) != 0;
}

std::string Features::names() const {
    return listed(*this, false);
}

std::string Features::obstacles() const {
    return listed(*this, true);
}

} // namespace disktool::xfs

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image.h"

#include "allocation.h"
#include "damage.h"
#include "free_step.h"
#include "header_switch.h"
#include "mend.h"
#include "resize_step.h"
#include "work.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <array>
#include <utility>

namespace disktool::qcow2 {

namespace {

constexpr std::string_view format_name = "qcow2";

/// The feature bits that are set, by name. Names of ours for what we know, the
/// image's own for the rest.
std::string feature_text(const Header& header) {
    using Kind = FeatureName::Kind;
    struct Known {
        Kind kind;
        std::uint64_t mask;
        std::string_view name;
    };
    constexpr std::array known = {
        Known{Kind::incompatible, incompatible::dirty, "dirty"},
        Known{Kind::incompatible, incompatible::corrupt, "corrupt"},
        Known{Kind::incompatible, incompatible::external_data, "external data file"},
        Known{Kind::incompatible, incompatible::compression, "compression type"},
        Known{Kind::incompatible, incompatible::extended_l2, "extended L2 entries"},
        Known{Kind::compatible, compatible::lazy_refcounts, "lazy refcounts"},
        Known{Kind::autoclear, autoclear::bitmaps, "bitmaps"},
        Known{Kind::autoclear, autoclear::data_file_raw, "raw external data"},
    };
    std::array<std::uint64_t, 3> set = {header.incompatible_features, header.compatible_features,
                                        header.autoclear_features};
    std::string text;
    const auto add = [&](Kind kind, std::uint64_t mask, std::string_view name) {
        std::uint64_t& bits = set[static_cast<std::size_t>(kind)];
        if (bits & mask) {
            text += fmt::format("{}{}", text.empty() ? "" : ", ", name);
            bits &= ~mask;
        }
    };
    for (const Known& feature : known) {
        add(feature.kind, feature.mask, feature.name);
    }
    for (const FeatureName& feature : header.feature_names) {
        if (feature.bit < 64) {
            add(feature.kind, std::uint64_t{1} << feature.bit, feature.name);
        }
    }
    return text;
}

std::string snapshot_names(const SnapshotTable& table) {
    constexpr std::size_t shown = 5;
    std::string text;
    for (std::size_t i = 0; i < table.snapshots.size() && i < shown; ++i) {
        const SnapshotInfo& info = table.snapshots[i].info;
        text += fmt::format("{}\"{}\" (id {})", i == 0 ? "" : ", ", printable(info.name), printable(info.id));
    }
    if (table.snapshots.size() > shown) {
        text += fmt::format(" and {} more", table.snapshots.size() - shown);
    }
    return text;
}

} // namespace

Image::Image(std::unique_ptr<ImageOpener> opener)
    : opener_(std::move(opener)), file_(opener_->file()), metadata_(file_),
      snapshots_(read_snapshots(file_, metadata_.header())), bitmaps_(read_bitmaps(file_, metadata_.header())) {
    const Header& header = metadata_.header();
    if (header.external_data()) {
        if (header.data_file.empty()) {
            throw Error(ErrorCode::damaged,
                        fmt::format("{} keeps its data in an external file "
                                    "(incompatible feature bit 2), but does not "
                                    "name it.",
                                    file_.path()),
                        Reason::external_data_file);
        }
        data_file_ = opener_->open_data_file(header.data_file);
    }
    if (!header.backing_name.empty()) {
        backing_ = opener_->open_backing(header.backing_name, header.backing_format);
    }
    fill_info();
}

Image::~Image() = default;

void Image::fill_info() {
    const Header& header = metadata_.header();
    const FileStatus status = file_.status();
    info_ = {};
    info_.path = file_.path();
    info_.format = format_name;
    info_.virtual_size = header.virtual_size;
    info_.file_size = status.size;
    info_.allocated = status.allocated + (data_file_ ? data_file_->status().allocated : 0);
    info_.cluster_size = static_cast<std::uint32_t>(header.cluster_size());
    info_.chain.push_back({info_.path, info_.format, info_.virtual_size, info_.allocated});
    if (backing() != nullptr) {
        const auto& below = backing()->info().chain;
        info_.chain.insert(info_.chain.end(), below.begin(), below.end());
    }
    for (const Snapshot& snapshot : snapshots_.snapshots) {
        info_.snapshots.push_back(snapshot.info);
    }
    for (const Bitmap& bitmap : bitmaps_) {
        info_.bitmaps.push_back(bitmap.info);
    }
    info_.dirty = header.dirty();
    info_.corrupt = header.corrupt();
    info_.encrypted = header.encrypted();
    info_.data_file = header.external_data() ? header.data_file : "";

    Details& details = info_.details;
    details.emplace_back("compat", std::string(header.version == 2 ? "0.10" : "1.1"));
    details.emplace_back("compression_type",
                         std::string(header.compression_type == CompressionType::zstd ? "zstd" : "zlib"));
    details.emplace_back("lazy_refcounts", (header.compatible_features & compatible::lazy_refcounts) != 0);
    details.emplace_back("extended_l2", header.extended_l2());
    details.emplace_back("refcount_bits", std::uint64_t{header.refcount_bits});
    details.emplace_back("features", feature_text(header));
    if (header.external_data()) {
        details.emplace_back("data_file_raw", header.data_file_raw());
    }
    if (header.encrypted()) {
        details.emplace_back("encryption",
                             std::string(header.crypt_method == CryptMethod::luks ? "luks" : "aes"));
    }
    if (!header.backing_name.empty()) {
        details.emplace_back("backing_name", header.backing_name);
        details.emplace_back("backing_format", header.backing_format);
    }
}

BlockDevice& Image::device() {
    return own_device();
}

BlockDevice* Image::backing_device() {
    return backing() != nullptr ? &backing()->device() : nullptr;
}

Device& Image::own_device() {
    if (metadata_.header().encrypted()) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} is encrypted; its content cannot be read "
                                "without its key, which disktool does not "
                                "take. Decrypt it first with \"qemu-img convert\".",
                                info_.path),
                    Reason::encrypted);
    }
    if (!device_) {
        device_ =
            std::make_unique<Device>(metadata_, file_, data_file_ ? *data_file_ : file_, backing_device());
    }
    return *device_;
}

void Image::reload() {
    metadata_.forget();
    const Header& header = metadata_.header();
    shows_backing_ = !header.backing_name.empty();
    snapshots_ = read_snapshots(file_, header);
    bitmaps_ = read_bitmaps(file_, header);
    if (device_) {
        device_->forget(backing_device());
    }
    fill_info();
}

std::optional<Refusal> Image::refusal(Capability capability) const {
    const Header& header = metadata_.header();
    if (capability == Capability::check) {
        return std::nullopt;
    }
    if (capability == Capability::snapshot) {
        return Refusal{
            Reason::capability_missing,
            fmt::format("{}: disktool does not take snapshots of qcow2 images; \"qemu-img snapshot -c\" does.",
                        info_.path)};
    }
    if (auto refused = refusal_to_change()) {
        return refused;
    }
    if (capability != Capability::compact && file_.status().type == FileType::block_device) {
        return Refusal{
            Reason::feature_not_supported,
            fmt::format("{} lies on a block device, which cannot get longer for what has to be written "
                        "beside the present state. Copy it to a file with \"qemu-img convert -O qcow2\".",
                        info_.path)};
    }
    const bool with_snapshots = capability == Capability::compact || capability == Capability::merge_internal;
    if (!with_snapshots && !snapshots_.snapshots.empty()) {
        return Refusal{
            Reason::internal_snapshots,
            fmt::format("{}: Image has internal snapshots. Merge snapshots to proceed. There are: {}; "
                        "\"prl_disk_tool merge --hdd {}\" merges them into the disk by deleting them.",
                        info_.path, snapshot_names(snapshots_), info_.path)};
    }
    const bool drops_backing = capability == Capability::merge_external && backing_ != nullptr;
    if (capability != Capability::compact) {
        std::string obstacle = HeaderSwitch::obstacle(file_, header, drops_backing, header.bitmaps.has_value());
        if (!obstacle.empty()) {
            return Refusal{Reason::feature_not_supported, std::move(obstacle)};
        }
    }
    return std::nullopt;
}

std::optional<Refusal> Image::refusal_to_change() const {
    const Header& header = metadata_.header();
    if (header.corrupt()) {
        return Refusal{Reason::image_corrupt, fmt::format("{} is marked as corrupt (incompatible feature "
                                                          "bit 1). Copy it, then repair it with "
                                                          "\"qemu-img check -r all\".",
                                                          info_.path)};
    }
    if (header.dirty()) {
        return Refusal{
            Reason::image_dirty,
            fmt::format("{} is marked dirty (incompatible feature bit 0): it was not closed properly, "
                        "so its reference counts "
                        "may be wrong. Repair it with \"qemu-img check -r all\".",
                        info_.path)};
    }
    if (header.encrypted()) {
        return Refusal{Reason::encrypted,
                       fmt::format("{} is encrypted, so its partitions and file systems cannot be "
                                   "read. Do it within the guest, or decrypt it first with "
                                   "\"qemu-img convert\".",
                                   info_.path)};
    }
    if (header.external_data()) {
        return Refusal{Reason::external_data_file,
                       fmt::format("{} keeps its data in the external file \"{}\", which "
                                   "disktool only reads. Bring both "
                                   "into one file with \"qemu-img convert -O qcow2\".",
                                   info_.path, printable(header.data_file))};
    }
    return std::nullopt;
}

namespace {
void throw_refusal(const std::optional<Refusal>& refused) {
    if (refused) {
        const bool damaged = refused->reason == Reason::image_dirty || refused->reason == Reason::image_corrupt;
        throw Error(damaged ? ErrorCode::damaged : ErrorCode::unsupported, refused->sentence, refused->reason);
    }
}
} // namespace

void Image::require(Capability capability) const {
    throw_refusal(refusal(capability));
}

void Image::plan_resize(Plan& plan, const ResizeRequest& request) {
    require(request.new_size < info_.virtual_size ? Capability::shrink : Capability::grow);
    qcow2::plan_resize(*this, plan, request);
}

CompactEstimate Image::plan_compact(Plan& plan, const ExtentSet& discardable) {
    require(Capability::compact);
    return plan_free(*this, &plan, discardable);
}

CompactEstimate Image::estimate_compact(const ExtentSet& discardable) {
    require(Capability::compact);
    return plan_free(*this, nullptr, discardable);
}

void Image::plan_mend(Plan& plan) {
    qcow2::plan_mend(*this, plan);
}

CheckReport Image::check() {
    return qcow2::check(*this);
}

ExtentSet Image::own_extents(Range range) {
    return own_device().own(range);
}

std::vector<HostExtent> Image::host_extents(Range range) {
    return own_device().host(range);
}

Allocation Image::allocation() {
    return qcow2::allocation(*this);
}

std::unique_ptr<WorkingDisk> Image::begin_work(std::uint64_t size) {
    if (opener_->access() != Access::write) {
        throw Error(ErrorCode::unsupported, fmt::format("{} is open for reading only", info_.path));
    }
    throw_refusal(refusal_to_change());
    reload(); // a job that failed may have left them stale
    if (std::string obstacle =
            HeaderSwitch::obstacle(file_, metadata_.header(), false, metadata_.header().bitmaps.has_value());
        !obstacle.empty()) {
        throw Error(ErrorCode::unsupported, obstacle, Reason::feature_not_supported);
    }
    return std::make_unique<Work>(*this, size);
}

} // namespace disktool::qcow2

// SPDX-License-Identifier: LGPL-2.1-or-later
// The Appliance over libguestfs: what it tells of a disk, and trimming. The disk is /dev/sda in there.
#include "engine/appliance/boot.h"
#include "engine/appliance/guestfs_handle.h"
#include "engine/appliance_loader.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <utility>

namespace disktool {

namespace {

constexpr const char* disk_device = "/dev/sda";
constexpr std::uint64_t trim_piece = 16 * GiB; // cancelling waits for one

/// Those whose least size the appliance can tell; it does not shrink others.
constexpr std::array shrinkable{"ext2", "ext3", "ext4", "btrfs", "ntfs"};
constexpr std::array ext_types{"ext2", "ext3", "ext4"};
/// Those whose driver discards a part of the file system when asked to.
constexpr std::array trimmed_by_parts{"ext2", "ext3", "ext4", "xfs"};

bool contains(const auto& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::uint64_t unsigned_of(std::int64_t value) {
    return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

/// libguestfs has no other way to tell an empty disk, or a file system on the whole of it, from a failure.
bool says_no_table(const std::string& error) {
    return error.find("unrecognised disk label") != std::string::npos ||
           error.find("not a partitioned device") != std::string::npos;
}

/// A file system that is mounted on / while this lives.
class Mount {
  public:
    Mount(Machine& machine, const std::string& device, const char* options)
        : machine_(machine), device_(device) {
        machine_.call(fmt::format("mount {}", device), [&](guestfs_h* g) {
            return guestfs_mount_options(g, options, device.c_str(), "/") == 0;
        });
    }
    Mount(const Mount&) = delete;
    Mount& operator=(const Mount&) = delete;
    ~Mount() {
        if (mounted_)
            guestfs_umount_all(machine_.guestfs()); // on the way out of an error, which is what is told
    }

    ApplianceUsage usage() {
        GuestfsStatus status;
        machine_.call(fmt::format("learn the usage of {}", device_), [&](guestfs_h* g) {
            status.reset(guestfs_statvfs(g, "/"));
            return status != nullptr;
        });
        // Some file systems leave f_frsize empty; then sizes count in f_bsize.
        const std::uint64_t unit = unsigned_of(status->frsize > 0 ? status->frsize : status->bsize);
        return {unit, bytes(status->blocks, unit), bytes(status->bfree, unit)};
    }
    /// Throws when what was written did not reach the disk.
    void unmount() {
        mounted_ = false;
        if (guestfs_umount_all(machine_.guestfs()) != 0)
            throw Error(ErrorCode::failure,
                        fmt::format("The appliance cannot unmount {}: {}", device_, machine_.last_error()));
    }

  private:
    /// Guest data, as the appliance's kernel made it of a superblock.
    std::uint64_t bytes(std::int64_t blocks, std::uint64_t block_size) const {
        std::uint64_t result = 0;
        if (__builtin_mul_overflow(unsigned_of(blocks), block_size, &result))
            throw Error(
                ErrorCode::damaged,
                fmt::format("The file system on {} says that it is larger than any disk can be", device_));
        return result;
    }

    Machine& machine_;
    const std::string device_;
    bool mounted_ = true;
};

class GuestfsAppliance : public Appliance {
  public:
    explicit GuestfsAppliance(const ApplianceConfig& config) : config_(config) {}

    void launch(const Disk& disk, CancelToken* cancel) override {
        machine_.reset();
        const auto begin = std::chrono::steady_clock::now();
        Booted booted = boot_machine(config_, disk, cancel);
        machine_ = std::move(booted.machine);
        emulated_ = booted.emulated;
        const auto duration = std::chrono::steady_clock::now() - begin;
        boot_milliseconds_ =
            unsigned_of(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
    }

    void shut_down() override {
        const std::unique_ptr<Machine> machine = std::move(machine_);
        if (!machine || machine->read_only())
            return; // nothing that could be lost
        guestfs_h* const g = machine->guestfs();
        if (guestfs_umount_all(g) != 0 || guestfs_shutdown(g) != 0)
            throw Error(ErrorCode::failure,
                        fmt::format("The appliance did not shut down in order, so what it wrote last may be "
                                    "lost: {}",
                                    machine->last_error()));
    }

    bool emulated() const override { return emulated_; }
    std::uint64_t boot_milliseconds() const override { return boot_milliseconds_; }

    std::uint64_t disk_size() override {
        std::int64_t size = 0;
        machine().call("learn the disk's size", [&](guestfs_h* g) {
            size = guestfs_blockdev_getsize64(g, disk_device);
            return size >= 0;
        });
        return unsigned_of(size);
    }

    std::optional<std::string> table_type() override {
        GuestfsString type;
        const bool known = machine().try_call([&](guestfs_h* g) {
            type.reset(guestfs_part_get_parttype(g, disk_device));
            return type != nullptr;
        });
        // "loop" is parted's word for a file system on the whole disk.
        if (known && type.get() != std::string_view("loop"))
            return type.get();
        if (!known && !says_no_table(machine().last_error()))
            throw Error(ErrorCode::failure, fmt::format("The appliance cannot read the partition table: {}",
                                                        machine().last_error()));
        return std::nullopt;
    }

    std::vector<AppliancePartition> partitions() override {
        if (!table_type())
            return {};
        GuestfsPartitions list;
        machine().call("list the partitions", [&](guestfs_h* g) {
            list.reset(guestfs_part_list(g, disk_device));
            return list != nullptr;
        });
        std::vector<AppliancePartition> result;
        for (std::uint32_t i = 0; i < list->len; ++i) {
            const guestfs_partition& found = list->val[i];
            result.push_back({found.part_num, found.part_start, found.part_size});
        }
        return result;
    }

    std::vector<ApplianceFilesystem> filesystems() override {
        char** list = nullptr;
        machine().call("list the file systems", [&](guestfs_h* g) {
            list = guestfs_list_filesystems(g);
            return list != nullptr;
        });
        const std::vector<std::string> words = take_strings(list); // device and type in turn
        std::vector<ApplianceFilesystem> result;
        for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
            if (words[i].starts_with("btrfsvol:"))
                continue; // a subvolume; its file system has an entry of its own
            result.push_back({words[i], words[i + 1], text_of(guestfs_vfs_label, words[i]),
                              text_of(guestfs_vfs_uuid, words[i])});
        }
        return result;
    }

    ApplianceUsage usage(const std::string& device) override {
        check_mountable(device, type_of(device));
        Mount mount(machine(), device, "ro");
        const ApplianceUsage result = mount.usage();
        mount.unmount();
        return result;
    }

    std::optional<std::uint64_t> minimum_size(const std::string& device) override {
        const std::string type = type_of(device);
        if (!contains(shrinkable, type))
            return std::nullopt;
        Mount mount(machine(), device, "ro"); // replays the journal, which the tools ask for
        if (type != "btrfs")                  // whose tool wants it mounted, as the others want it not
            mount.unmount();
        std::int64_t size = 0;
        machine().call(fmt::format("learn the minimum size of {}", device), [&](guestfs_h* g) {
            size = guestfs_vfs_minimum_size(g, device.c_str());
            return size >= 0;
        });
        return unsigned_of(size);
    }

    void trim(const std::string& device) override {
        const std::string type = type_of(device);
        check_mountable(device, type);
        // ext4 would use the time to write inode tables that were never used, and the image would grow.
        Mount mount(machine(), device, type == "ext4" ? "noinit_itable" : "");
        std::uint64_t begin = 0;
        if (contains(trimmed_by_parts, type)) {
            const std::uint64_t size = mount.usage().size;
            for (; size - begin > trim_piece; begin += trim_piece)
                trim_from(device, begin, trim_piece);
        }
        trim_from(device, begin, std::nullopt); // statvfs leaves metadata out of the size: to the end, then
        mount.unmount();
    }

    void resize_filesystem(const std::string& device, const std::string& type, std::uint64_t size) override {
        if (contains(ext_types, type))
            resize_ext(device, size);
        else if (type == "btrfs")
            resize_btrfs(device, size);
        else if (type == "xfs")
            grow_xfs(device);
        else if (type == "ntfs")
            resize_ntfs(device, size);
        else if (type == "swap")
            make_swap_again(device);
        else
            throw Error(ErrorCode::unsupported,
                        fmt::format("The appliance does not know how to resize a file system of type {}", type),
                        Reason::filesystem_not_supported);
    }

    void resize_physical_volume(const std::string& device, std::uint64_t size) override {
        machine().call(fmt::format("resize the physical volume on {}", device), [&](guestfs_h* g) {
            return guestfs_pvresize_size(g, device.c_str(), static_cast<std::int64_t>(size)) == 0;
        });
    }

    void resize_logical_volume(const std::string& device, std::uint64_t size) override {
        if (size % MiB != 0 || size / MiB > std::numeric_limits<int>::max())
            throw Error(
                ErrorCode::unsupported,
                fmt::format("The appliance gives volumes whole MiB, so {} cannot get {} bytes", device, size));
        machine().call(fmt::format("resize the logical volume {}", device), [&](guestfs_h* g) {
            return guestfs_lvresize(g, device.c_str(), static_cast<int>(size / MiB)) == 0;
        });
    }

  private:
    void resize_ext(const std::string& device, std::uint64_t size) {
        machine().call(fmt::format("check {}", device), [&](guestfs_h* g) {
            struct guestfs_e2fsck_argv options {};
            options.bitmask = GUESTFS_E2FSCK_CORRECT_BITMASK;
            options.correct = 1;
            return guestfs_e2fsck_argv(g, device.c_str(), &options) == 0;
        });
        machine().call(fmt::format("resize the file system on {}", device), [&](guestfs_h* g) {
            return guestfs_resize2fs_size(g, device.c_str(), static_cast<std::int64_t>(size)) == 0;
        });
    }

    void resize_btrfs(const std::string& device, std::uint64_t size) {
        require_feature("btrfs", "btrfs-progs");
        Mount mount(machine(), device, "");
        machine().call(fmt::format("resize the file system on {}", device), [&](guestfs_h* g) {
            struct guestfs_btrfs_filesystem_resize_argv options {};
            options.bitmask = GUESTFS_BTRFS_FILESYSTEM_RESIZE_SIZE_BITMASK;
            options.size = static_cast<std::int64_t>(size);
            return guestfs_btrfs_filesystem_resize_argv(g, "/", &options) == 0;
        });
        mount.unmount();
    }

    /// Distributions keep the parts for rarer file systems in packages of their own.
    void require_feature(const char* feature, const char* package) {
        const std::array<char*, 2> names{const_cast<char*>(feature), nullptr};
        const bool available = machine().try_call(
            [&](guestfs_h* g) { return guestfs_feature_available(g, const_cast<char**>(names.data())) == 1; });
        if (!available)
            throw Error(
                ErrorCode::program_missing,
                fmt::format("The appliance cannot work with {}: its programs are not in it; install the "
                            "package {} (Debian's name)",
                            feature, package),
                Reason::program_missing);
    }

    void grow_xfs(const std::string& device) {
        require_feature("xfs", "libguestfs-xfs");
        Mount mount(machine(), device, "");
        machine().call(fmt::format("grow the file system on {}", device), [&](guestfs_h* g) {
            struct guestfs_xfs_growfs_argv options {};
            options.bitmask = GUESTFS_XFS_GROWFS_DATASEC_BITMASK;
            options.datasec = 1;
            return guestfs_xfs_growfs_argv(g, "/", &options) == 0;
        });
        mount.unmount();
    }

    void resize_ntfs(const std::string& device, std::uint64_t size) {
        require_feature("ntfsprogs", "ntfs-3g");
        machine().call(fmt::format("resize the file system on {}", device), [&](guestfs_h* g) {
            struct guestfs_ntfsresize_opts_argv options {};
            options.bitmask = GUESTFS_NTFSRESIZE_OPTS_SIZE_BITMASK | GUESTFS_NTFSRESIZE_OPTS_FORCE_BITMASK;
            options.size = static_cast<std::int64_t>(size);
            options.force = 1;
            return guestfs_ntfsresize_opts_argv(g, device.c_str(), &options) == 0;
        });
    }

    void make_swap_again(const std::string& device) {
        const std::string label = text_of(guestfs_vfs_label, device);
        const std::string uuid = text_of(guestfs_vfs_uuid, device);
        machine().call(fmt::format("make the swap space on {} anew", device), [&](guestfs_h* g) {
            struct guestfs_mkswap_opts_argv options {};
            if (!label.empty()) {
                options.bitmask |= GUESTFS_MKSWAP_OPTS_LABEL_BITMASK;
                options.label = label.c_str();
            }
            if (!uuid.empty()) {
                options.bitmask |= GUESTFS_MKSWAP_OPTS_UUID_BITMASK;
                options.uuid = uuid.c_str();
            }
            return guestfs_mkswap_opts_argv(g, device.c_str(), &options) == 0;
        });
    }

    Machine& machine() const {
        if (!machine_)
            throw std::logic_error("The appliance is not running");
        return *machine_;
    }

    std::string type_of(const std::string& device) { return text_of(guestfs_vfs_type, device); }

    /// Empty where there is none, or the question makes no sense for the file system.
    std::string text_of(char* (*ask)(guestfs_h*, const char*), const std::string& device) {
        GuestfsString text;
        machine().try_call([&](guestfs_h* g) {
            text.reset(ask(g, device.c_str()));
            return text != nullptr;
        });
        return text ? text.get() : "";
    }

    static void check_mountable(const std::string& device, const std::string& type) {
        if (type == "swap" || type.empty())
            throw Error(ErrorCode::failure,
                        fmt::format("{} cannot be mounted in the appliance: it holds {}", device,
                                    type.empty() ? "no file system that is known there" : "swap space"));
    }

    void trim_from(const std::string& device, std::uint64_t begin, std::optional<std::uint64_t> length) {
        struct guestfs_fstrim_argv range {};
        range.bitmask = GUESTFS_FSTRIM_OFFSET_BITMASK;
        range.offset = static_cast<std::int64_t>(begin);
        if (length) {
            range.bitmask |= GUESTFS_FSTRIM_LENGTH_BITMASK;
            range.length = static_cast<std::int64_t>(*length);
        }
        machine().call(fmt::format("discard the free space of {}", device),
                       [&](guestfs_h* g) { return guestfs_fstrim_argv(g, "/", &range) == 0; });
    }

    const ApplianceConfig config_;
    std::unique_ptr<Machine> machine_;
    bool emulated_ = false;
    std::uint64_t boot_milliseconds_ = 0;
};

} // namespace

} // namespace disktool

extern "C" DISKTOOL_API disktool::Appliance* disktool_make_appliance(const disktool::ApplianceConfig* config) {
    return new disktool::GuestfsAppliance(*config);
}

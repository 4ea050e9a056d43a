// SPDX-License-Identifier: LGPL-2.1-or-later
// What a format plugin implements: images, and the operations that they support. It knows nothing of partitions
// or file systems.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/doors.h>
#include <disktool/extents.h>
#include <disktool/plan.h>
#include <disktool/reason.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

enum class Access { read, write };

struct SnapshotInfo {
    std::string id;
    std::string name;
    std::uint64_t virtual_size = 0;  ///< bytes
    std::uint64_t vm_state_size = 0; ///< bytes
    std::int64_t created = 0;        ///< seconds since the epoch
};

struct BitmapInfo {
    std::string name;
    std::uint64_t granularity = 0; ///< bytes
    bool recording = false;
    bool in_use = false; ///< not closed properly: its content is not valid
};

/// One image of a backing chain, top first.
struct ChainMember {
    std::string path;
    std::string format;
    std::uint64_t virtual_size = 0; ///< bytes
    std::uint64_t allocated = 0;    ///< bytes on the host
};

struct ImageInfo {
    std::string path;
    std::string format;             ///< the plugin's name
    std::uint64_t virtual_size = 0; ///< bytes
    std::uint64_t file_size = 0;    ///< bytes, the file's length
    std::uint64_t allocated = 0;    ///< bytes that the host holds for it (this image alone, not its chain)
    std::uint32_t cluster_size = 0; ///< bytes; the unit of allocation
    std::uint64_t size_unit = 512;  ///< bytes; the virtual size is always a multiple of it
    std::vector<ChainMember> chain; ///< itself first
    std::vector<SnapshotInfo> snapshots;
    std::vector<BitmapInfo> bitmaps;
    bool dirty = false;
    bool corrupt = false;
    bool encrypted = false;
    std::string data_file; ///< empty: none
    /// What a working disk takes of the host, it takes of the file system that holds this; empty: of the
    /// image's.
    std::string work_path;
    Details details; ///< what is particular to the format: compat level, compression, ...
};

enum class Capability { grow, shrink, compact, merge_internal, merge_external, convert, snapshot, check };

/// Why something cannot be done, and the way out. Made by Image::refusal.
struct Refusal {
    Reason reason = Reason::none;
    std::string sentence; ///< whole, with the way out
};

/// Guest bytes that must change together with an operation (a partition table with a resize).
struct Patch {
    std::uint64_t offset = 0; ///< in the guest, bytes
    std::vector<std::byte> data;
};

struct ResizeRequest {
    std::uint64_t new_size = 0; ///< bytes
    std::vector<Patch> patches; ///< sorted, disjoint; may lie beyond the old size
};

/// What a compact would bring.
struct CompactEstimate {
    std::uint64_t allocated = 0;   ///< host bytes now
    std::uint64_t reclaimable = 0; ///< host bytes given back: discarded, leaked and already free ones
    std::uint64_t clusters = 0;    ///< guest clusters to be discarded
    std::uint64_t leaked = 0;      ///< host bytes referenced by nothing
    std::uint64_t shared = 0;      ///< guest bytes kept though free, since an internal snapshot shares them
};

/// How an image holds its guest clusters.
enum class Allocation {
    expanding, ///< some or all only when they are first written
    plain,     ///< all of them, with their host blocks reserved
};

/// Guest bytes that lie uncompressed and unencrypted in a file of the host.
struct HostExtent {
    Range guest;
    File* file = nullptr; ///< belongs to the image
    std::uint64_t host_offset = 0;
};

struct CheckReport {
    std::uint64_t leaks = 0; ///< clusters
    std::uint64_t errors = 0;
    std::vector<std::string> sentences; ///< the first few
};

/// An open image. Threads: one at a time. Steps that it appends refer to it, so it outlives the Plan.
class DISKTOOL_API Image {
  public:
    Image() = default;
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;
    virtual ~Image();

    virtual const ImageInfo& info() const = 0;
    /// The disk that the guest sees. Belongs to the image. Throws unsupported for an encrypted one.
    virtual BlockDevice& device() = 0;
    /// None: it can. The planner asks before it plans.
    virtual std::optional<Refusal> refusal(Capability capability) const = 0;

    /// Changes the virtual size and applies the patches, all or nothing. Size already checked by the caller to
    /// be a multiple of 512; throws size_impossible where the format's limits forbid it.
    virtual void plan_resize(Plan& plan, const ResizeRequest& request);
    /// Gives back clusters that lie in `discardable` (guest bytes of no use to anyone). Adds no step where
    /// there is nothing to do.
    virtual CompactEstimate plan_compact(Plan& plan, const ExtentSet& discardable);
    /// As plan_compact, but only counts.
    virtual CompactEstimate estimate_compact(const ExtentSet& discardable);
    /// Mends what an interrupted job may have left (leaked clusters). Adds no step where there is nothing.
    virtual void plan_mend(Plan& plan);
    virtual CheckReport check();

    /// The image below this one in its chain; null: none. Belongs to this image.
    virtual Image* backing() { return nullptr; }
    /// The guest bytes in `range` of which this image itself says something, data or zeros: what is not among
    /// them shows through from its backing image (or reads as zeros where there is none).
    virtual ExtentSet own_extents(Range range);
    /// Where the bytes of own_extents() that are plain data lie. By guest offset; what is zero, compressed or
    /// encrypted is left out.
    virtual std::vector<HostExtent> host_extents(Range range);
    virtual Allocation allocation();
    /// A new state of the disk in the making, `size` bytes large (bytes, at least the present size). Throws
    /// unsupported where the image is not open for writing or cannot be worked on, size_impossible where the
    /// format cannot hold that size. One at a time.
    virtual std::unique_ptr<WorkingDisk> begin_work(std::uint64_t size);
    /// For a format whose chain is no business of the core (its files are named by a descriptor): appends the
    /// steps by which all but the disk's present state goes, none where there is nothing but that, and answers
    /// true. False: the core merges by begin_work and backing().
    virtual bool plan_merge_all(Plan& plan);
};

/// What the core lends to FormatPlugin::open: files that are already locked and allowed. The plugin never opens
/// a path itself. Belongs to the core; valid as long as the image.
class DISKTOOL_API ImageOpener {
  public:
    ImageOpener() = default;
    ImageOpener(const ImageOpener&) = delete;
    ImageOpener& operator=(const ImageOpener&) = delete;
    virtual ~ImageOpener();

    virtual Doors doors() = 0;
    virtual Access access() const = 0;
    /// The image itself, opened and locked as access() says. Valid as long as the image.
    virtual File& file() = 0;
    /// The backing image that the image names: gate, format, cycles and depth are seen to. `format` is empty
    /// where the image does not say. Opened for reading, locked shared. Throws with the name and the way out.
    virtual std::unique_ptr<Image> open_backing(const std::string& stored_name, const std::string& format) = 0;
    /// An external data file, through the same gate, with access().
    virtual std::unique_ptr<File> open_data_file(const std::string& stored_name) = 0;
};

struct CreateRequest {
    std::string path;
    std::uint64_t virtual_size = 0; ///< bytes
    Details options;                ///< by the plugin's own names
};

/// The entry point of a format plugin. Stateless. Threads: any.
class DISKTOOL_API FormatPlugin {
  public:
    FormatPlugin() = default;
    FormatPlugin(const FormatPlugin&) = delete;
    FormatPlugin& operator=(const FormatPlugin&) = delete;
    virtual ~FormatPlugin();

    /// 0: not mine; 100: surely mine. `head` is the start of the file, up to 4 KiB.
    virtual int probe(std::span<const std::byte> head, const std::string& path) = 0;
    /// Throws unsupported (a feature, by name), damaged, or what the opener throws.
    virtual std::unique_ptr<Image> open(std::unique_ptr<ImageOpener> opener) = 0;
    /// A new, empty image; fails where the path exists.
    virtual void create(Doors doors, const CreateRequest& request);

    /// The name of the backing file as an image's file stores it, without opening that; none for an image that
    /// stands alone, and for a file that cannot be read as an image.
    virtual std::optional<std::string> backing_name(File& file);
    /// A new image to be filled: as create, but open. The disk has virtual_size bytes of zeros; its commit
    /// (with that size) completes the image and syncs it. Without commit the file is left incomplete, for the
    /// caller to remove.
    virtual std::unique_ptr<WorkingDisk> create_disk(Doors doors, const CreateRequest& request);
    /// Where users name something else than an image file (a folder, a descriptor): the image file that is
    /// meant. None for what is not of this format's kind. Throws where it is, but cannot be read. With
    /// Access::write a change of which image that is, begun by a run that was killed, is finished before, under
    /// the format's own lock.
    virtual std::optional<std::string> image_behind(Doors doors, const std::string& path, Access access);
};

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
// The door to the host's files. Everything that touches one goes through here, so that tests can record it,
// fail the Nth call and forget what was not synced.
#pragma once

#include <disktool/api.h>
#include <disktool/range.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace disktool {

enum class FileType { regular, directory, block_device, character_device, fifo, socket, symlink, other };

struct FileStatus {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    FileType type = FileType::regular;
    std::uint64_t size = 0;      ///< bytes
    std::uint64_t allocated = 0; ///< bytes the host holds for it (st_blocks * 512)
    std::uint32_t mode = 0;      ///< permission bits
    std::uint32_t owner = 0;
    std::uint32_t group = 0;
    std::uint64_t links = 1;
    std::int64_t modified_ns = 0; ///< nanoseconds since the epoch

    bool same_file(const FileStatus& other) const { return device == other.device && inode == other.inode; }
};

/// Which requests to a regular file go through the host's page cache. Past it (O_DIRECT) go only aligned ones
/// (offset, length and memory of whole 4096-byte pages, or of 512 bytes where the host takes that), and none
/// where the host has no direct I/O; the kernel keeps both ways in step.
enum class HostCache {
    all,
    /// Those of less than 128 KiB, and of larger reads what it holds. For large amounts that are touched once:
    /// they displace nothing that others need, and a sync has little left to wait for.
    small_requests,
    /// Reads of less than 128 KiB: it makes them as fast as they can be. No writes.
    small_reads,
    none, ///< for a guest whose own cache holds what is worth holding
};

struct OpenFlags {
    bool write = false;
    bool create = false;    ///< with write: make it when it is missing
    bool exclusive = false; ///< with create: fail when it exists (also a dangling link)
    bool truncate = false;
    bool follow_links = true;
    std::uint32_t mode = 0600; ///< of a new file
    HostCache cache = HostCache::all;
};

enum class LockMode { none, shared, exclusive };

/// An open file. Positions and lengths in bytes. Every error is a SystemError with path and errno.
/// Threads: the positional calls may be made from many threads at once.
class DISKTOOL_API File {
  public:
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    virtual ~File();

    virtual const std::string& path() const = 0;
    virtual FileStatus status() = 0;

    /// As many bytes as there are up to the end of the file; less than asked for only there.
    virtual std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) = 0;
    /// All of it; a file that ends before is ErrorCode::damaged ("... ends at N, before ...").
    void read(std::uint64_t offset, std::span<std::byte> buffer);
    virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
    virtual void punch_hole(Range range) = 0;               ///< file size stays
    virtual void zero(Range range) = 0;                     ///< allocated or not, reads as zeros; may extend
    virtual void allocate(Range range, bool keep_size) = 0; ///< really reserves host blocks
    virtual void truncate(std::uint64_t size) = 0;
    virtual void sync_data() = 0; ///< fdatasync
    virtual void sync() = 0;      ///< fsync

    /// Start of the first data (of the first hole) at or after `offset`; none up to the end. A file system that
    /// cannot tell says that all is data.
    virtual std::optional<std::uint64_t> next_data(std::uint64_t offset) = 0;
    virtual std::optional<std::uint64_t> next_hole(std::uint64_t offset) = 0;

    /// flock(2), not waiting. False when someone else holds a conflicting one. LockMode::none releases.
    virtual bool try_flock(LockMode mode) = 0;
    /// An open-file-description byte-range lock as QEMU takes them, not waiting.
    virtual bool try_lock_bytes(Range range, LockMode mode) = 0;
    /// Could that byte-range lock be taken now? Takes nothing.
    virtual bool could_lock_bytes(Range range, LockMode mode) = 0;

    /// The descriptor, for what has no call here (passing it to a child, BLKGETSIZE64). -1 for a file of a
    /// test.
    virtual int descriptor() const = 0;

    /// The bytes `from` of `source` at `offset` without any of them passing through this host: shared
    /// (FICLONERANGE), or copied by the server of a network file system. False where that cannot be done for
    /// these files; a part may have been written then. Other errors (no space, ...) throw.
    virtual bool share_range(std::uint64_t offset, File& source, Range from);
    /// The same, also where the host must copy them through its page cache (copy_file_range).
    virtual bool copy_range(std::uint64_t offset, File& source, Range from);
    /// Gives this file the owner, mode, ACLs and other extended attributes of `model`, as far as we may: what
    /// is not permitted (another owner, when we are not root) is left as it is.
    virtual void take_attributes(File& model);

    /// Descriptors of the file's own, for small requests that go beside this object.
    struct Direct {
        int descriptor = -1;  ///< O_DIRECT; -1: the host has no direct I/O, or HostCache::all
        std::size_t unit = 0; ///< bytes; of O_DIRECT: offset, length and memory must be multiples of it
        int cached = -1;      ///< by way of the host's cache; -1: HostCache::none
        bool writes = false;  ///< small writes go past the cache, too
    };
    virtual Direct direct() const { return {}; }
    /// Something was written, or may have been, by way of direct(). Must not throw.
    virtual void written_beside(Range) noexcept {}
};

/// Opens files, and what is done to names. Threads: any.
class DISKTOOL_API FileDoor {
  public:
    FileDoor() = default;
    FileDoor(const FileDoor&) = delete;
    FileDoor& operator=(const FileDoor&) = delete;
    virtual ~FileDoor();

    virtual std::unique_ptr<File> open(const std::string& path, OpenFlags flags) = 0;
    /// None when there is nothing of that name. Follows links unless told not to.
    virtual std::optional<FileStatus> status(const std::string& path, bool follow_links = true) = 0;
    virtual std::string real_path(const std::string& path) = 0;
    virtual std::vector<std::string> list(const std::string& directory) = 0; ///< names, without . and ..
    virtual void rename(const std::string& from, const std::string& to) = 0;
    virtual void link(const std::string& existing, const std::string& name) = 0;
    virtual void remove(const std::string& path) = 0;
    virtual void sync_directory(const std::string& directory) = 0;
    /// Bytes that an unprivileged writer can still put on the file system that holds `path`.
    virtual std::uint64_t free_space(const std::string& path) = 0;

    // Made of the above.
    std::string read_text(const std::string& path, std::size_t limit);
    /// Old or new at any moment: written to `path`.new, synced, renamed over, folder synced.
    void replace_text(const std::string& path, std::string_view text, std::uint32_t mode = 0600);
};

/// The folder part of a path ("." where there is none).
DISKTOOL_API std::string directory_of(const std::string& path);

} // namespace disktool

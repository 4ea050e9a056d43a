// SPDX-License-Identifier: LGPL-2.1-or-later
// Which devices run: a folder with one JSON file for each.
#pragma once

#include <disktool/api.h>
#include <disktool/file.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// An image file of a running device, known by more than its name.
struct DeviceImage {
    std::string path; ///< absolute
    std::uint64_t device = 0, inode = 0;

    bool is(const FileStatus& file) const { return device == file.device && inode == file.inode; }
};

struct DevicePartition {
    int number = 0;
    std::string node;                     ///< "/dev/ploop0p1"
    std::uint64_t offset = 0, length = 0; ///< bytes of the disk
};

/// What /run/ploop/ploopN.json says. Which mount points there are is not written: the kernel knows.
struct DeviceState {
    int minor = 0;
    std::string node;       ///< "/dev/ploop0"
    std::string loop;       ///< "/dev/loop3", the kernel's device that `node` is; empty: not attached yet
    std::string loop_name;  ///< what the loop device says of itself (lo_file_name): no other one does
    std::string backend;    ///< "fuse": served by `pid`; "loop": the loop device lies straight on the file
    int pid = 0;            ///< of the device's process
    std::string format;     ///< "ploop", "qcow2"
    std::string disk;       ///< the descriptor, or the image where there is none; absolute
    std::string descriptor; ///< empty: mounted by its images
    std::vector<DeviceImage> images; ///< base first
    std::string snapshot;            ///< the uuid of the top of these images, with braces; empty: not known
    std::string component;           ///< `mount -c`: so that one image can be mounted several times
    bool read_only = false;
    std::vector<DevicePartition> partitions;
    bool alive = false; ///< not written: a process holds the lock on ploopN.lock

    std::string name() const { return "ploop" + std::to_string(minor); }
};

/// The number that a name says: of "/dev/ploop0", "ploop0", "/dev/ploop0p1". None: it is no such name.
DISKTOOL_API std::optional<int> minor_of_name(const std::string& name);

/// /run/ploop, or $DISKTOOL_RUN for tests. Made when it is missing, mode 0700. Throws SystemError;
/// Error(failure) for one that is no folder, belongs to another user, or that others may write.
DISKTOOL_API std::string device_folder();
/// Path of ploopN.SUFFIX in it: "json", "lock" or "sock". Touches nothing.
DISKTOOL_API std::string device_file(int minor, const std::string& suffix);

/// All of them, by minor, the dead ones, too. A file that cannot be understood is passed over with a warning to
/// the log, which names the way out. No folder: none. Never waits. Throws as device_folder() where there is
/// one.
DISKTOOL_API std::vector<DeviceState> device_states();
DISKTOOL_API std::optional<DeviceState> device_state(int minor);
/// Is there a file of that number's state that cannot be understood? Throws as device_folder().
DISKTOOL_API bool has_unknown_state(int minor);
/// "/dev/ploop0", "ploop0", "/dev/ploop0p1", and any node of the same device number or of one of its partitions
/// ("/dev/loop3", "/dev/loop3p1").
DISKTOOL_API std::optional<DeviceState> device_of_node(const std::string& node);
/// Those that have the file among their images: the one that writes it first. None for a user who may not look
/// into the folder: then the locks on the image are all that tells.
DISKTOOL_API std::vector<DeviceState> devices_of_image(const FileStatus& image);

/// The number of a device, taken without races: an exclusive lock of the open file description (F_OFD_SETLK,
/// the whole file) on ploopN.lock, held as long as this lives, or whoever inherits descriptor(). A number that
/// the kernel's own driver uses (/sys/block/ploopN), or whose node someone else has made, is not free.
class DISKTOOL_API DeviceNumber {
  public:
    /// `wanted`: that one or Error(locked) naming who has it; none: the lowest that is free. A number whose
    /// process is dead is cleaned up (remove_dead_device) and taken. Throws SystemError.
    static std::unique_ptr<DeviceNumber> take(std::optional<int> wanted);
    /// One that the process which started us has taken: its descriptor(), which is ours from now on. Throws
    /// Error(failure) where that is not the lock of a device.
    static std::unique_ptr<DeviceNumber> adopt(int descriptor);
    DeviceNumber(const DeviceNumber&) = delete;
    DeviceNumber& operator=(const DeviceNumber&) = delete;
    ~DeviceNumber();
    int minor() const { return minor_; }
    bool wanted() const { return wanted_; } ///< that one and no other
    int descriptor() const {
        return lock_;
    } ///< closed on exec; without that flag the lock follows it into a child
    /// Written atomically: ploopN.json.new, renamed.
    void store(const DeviceState& state);
    /// Nodes, as far as they are the device's, socket and state go; the lock file stays.
    void forget();

  private:
    DeviceNumber(int minor, int lock, bool wanted) : minor_(minor), lock_(lock), wanted_(wanted) {}
    int minor_;
    int lock_;
    bool wanted_;
};

/// Of a device whose process is dead: its mounts are not touched, and where there are any, or someone has the
/// loop device open, or a process has the number, false is returned and nothing is done. Else the loop device
/// is detached, and nodes, socket and state go.
DISKTOOL_API bool remove_dead_device(const DeviceState& state);

/// Removes a state that cannot be understood, and the socket beside it. False: a process has the number.
DISKTOOL_API bool remove_unknown_state(int minor);

} // namespace disktool

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_backend.h"

#include "block/host_descriptor.h"
#include "device/loop_device.h"

#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>
#include <vector>

namespace disktool::server {

namespace {

constexpr std::uint64_t request_kib = 1024;    // a FUSE request holds as much
constexpr std::uint64_t read_ahead_kib = 1024; // so that a file that is read from start to end comes in such

constexpr std::uint64_t sysfs_sector = 512; // whatever the disk's own sectors are

/// What both have: the loop device.
class LoopBackend : public DeviceBackend {
  public:
    std::string node() const override { return loop_->node(); }
    Descriptor open() const override { return loop_->open(); }
    std::uint64_t size() const override {
        std::ifstream file(fmt::format("/sys/block/loop{}/size", loop_->number()));
        std::uint64_t sectors = 0;
        return file >> sectors ? sectors * sysfs_sector : loop_->size();
    }

    bool detach() override {
        // The next one who gets this loop device expects what all have at first.
        for (const auto& [name, value] : before_) {
            loop_->set_queue(name, value);
        }
        before_.clear();
        return loop_->detach();
    }

  protected:
    void attach(int file, const LoopOptions& options) { loop_ = LoopDevice::attach(file, options); }
    LoopDevice& loop() { return *loop_; }

    void set_queue() {
        const std::string scheduler = fmt::format("/sys/block/loop{}/queue/scheduler", loop_->number());
        std::string schedulers;
        std::getline(std::ifstream(scheduler), schedulers); // the one at work in brackets
        // To write what is there already makes the kernel stop and start the queue all the same: 10 to 30 ms.
        if (schedulers.find("[none]") == std::string::npos) {
            std::ofstream(scheduler) << "none" << std::flush;
        }
        set("max_sectors_kb", request_kib);
        set("read_ahead_kb", read_ahead_kib);
    }

  private:
    void set(const char* name, std::uint64_t value) {
        std::ifstream file(fmt::format("/sys/block/loop{}/queue/{}", loop_->number(), name));
        std::uint64_t before = 0;
        if (file >> before && before != value && loop_->set_queue(name, value)) {
            before_.emplace_back(name, before);
        }
    }

    std::vector<std::pair<std::string, std::uint64_t>> before_; ///< settings that were changed
    std::unique_ptr<LoopDevice> loop_;
};

class FuseBackend final : public LoopBackend {
  public:
    FuseBackend(DeviceSource& source, const DeviceOptions& options, const std::string& shown_name) {
        FuseDiskOptions disk;
        disk.threads = options.threads;
        disk.discard_unit = source.discard_unit();
        disk_ = FuseDisk::serve(source.device(), disk);
        LoopOptions loop_options;
        loop_options.shown_name = shown_name;
        loop_options.read_only = !source.device().writable();
        loop_options.sector_size = options.sector_size;
        const Descriptor file(disk_->open_file(source.device().writable()));
        attach(file.get(), loop_options);
        set_queue();
    }

    std::string name() const override { return "fuse"; }
    bool serves() const override { return true; }
    bool can_grow() const override { return true; }
    void follow_size() override {
        disk_->follow_size();
        loop().follow_size();
    }
    FuseDisk::Counters counters() const override { return disk_->counters(); }
    std::optional<Error> first_error() const override { return disk_->first_error(); }
    void end() override { disk_.reset(); }

  private:
    std::unique_ptr<FuseDisk> disk_;
};

/// Meanwhile the name may be another file's, which nobody has locked.
void refuse_another_file(const DeviceSource& source, int file, const std::string& path) {
    DeviceState state;
    source.describe(state);
    struct stat status {};
    if (fstat(file, &status) != 0 ||
        std::none_of(state.images.begin(), state.images.end(), [&](const DeviceImage& one) {
            return one.device == status.st_dev && one.inode == status.st_ino;
        })) {
        throw Error(ErrorCode::failure,
                    fmt::format("{} is not the file any more that was opened as the disk", path));
    }
}

class FileBackend final : public LoopBackend {
  public:
    FileBackend(DeviceSource& source, const WholeFile& whole, const DeviceOptions& options,
                const std::string& shown_name)
        : to_end_(whole.to_end) {
        const bool writable = source.device().writable();
        const Descriptor file(
            ::open(whole.path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC));
        if (!file) {
            // EINVAL: a file system without direct I/O.
            throw errno == EINVAL ? Error(ErrorCode::unsupported,
                                          fmt::format("{}: its file system has no direct I/O", whole.path),
                                          Reason::capability_missing)
                                  : SystemError("Cannot open", whole.path, errno);
        }
        refuse_another_file(source, file.get(), whole.path);
        LoopOptions loop_options;
        loop_options.shown_name = shown_name;
        loop_options.part = {whole.range.offset, to_end_ ? 0 : whole.range.length};
        loop_options.read_only = !writable;
        loop_options.discard = !writable || whole.discard;
        loop_options.sector_size = options.sector_size;
        attach(file.get(), loop_options);
        set_queue();
    }

    std::string name() const override { return "loop"; }
    bool serves() const override { return false; }
    bool can_grow() const override { return to_end_; }
    void follow_size() override { loop().follow_size(); }
    FuseDisk::Counters counters() const override { return {}; }
    std::optional<Error> first_error() const override { return std::nullopt; }
    bool detach() override {
        spoilt_ = loop().refuses_discards();
        return LoopBackend::detach();
    }
    void end() override {}
    ~FileBackend() override {
        if (spoilt_) {
            LoopDevice::renew(loop().number());
        }
    }

  private:
    bool to_end_;
    bool spoilt_ = false; ///< for others
};

} // namespace

DeviceBackend::~DeviceBackend() = default;
DeviceSource::~DeviceSource() = default;

std::unique_ptr<DeviceBackend> make_fuse_backend(DeviceSource& source, const DeviceOptions& options,
                                                 const std::string& shown_name) {
    return std::make_unique<FuseBackend>(source, options, shown_name);
}

std::unique_ptr<DeviceBackend> make_loop_backend(DeviceSource& source, const WholeFile& file,
                                                 const DeviceOptions& options, const std::string& shown_name) {
    return std::make_unique<FileBackend>(source, file, options, shown_name);
}

std::unique_ptr<DeviceBackend> make_backend(DeviceSource& source, const DeviceOptions& options,
                                            const std::string& shown_name) {
    const std::optional<WholeFile> whole =
        options.backend == BackendChoice::fuse ? std::nullopt : source.whole_file();
    if (!whole && options.backend == BackendChoice::loop) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("The clusters of {} do not lie in one run of one file, so a loop device alone cannot "
                        "show it: use the back end fuse, or auto",
                        source.device().name()),
            Reason::capability_missing);
    }
    if (whole) {
        try {
            return make_loop_backend(source, *whole, options, shown_name);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::unsupported || options.backend == BackendChoice::loop) {
                throw;
            }
            log(LogLevel::info, fmt::format("{}; it goes through this process", error.what()));
        }
    }
    return make_fuse_backend(source, options, shown_name);
}

} // namespace disktool::server

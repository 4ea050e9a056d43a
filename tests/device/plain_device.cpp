// SPDX-License-Identifier: LGPL-2.1-or-later
// plain-device: the process of a device whose disk is a plain file, with faults on demand. The same library,
// and so the same life, as of ploop-device.
#include "device_process.h"
#include "running_device.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/file.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace disktool::server {
namespace {

class PlainDisk final : public BlockDevice {
  public:
    PlainDisk(const std::string& path, bool read_only)
        : file_(real_doors().files.open(path, {.write = !read_only})), writable_(!read_only),
          size_(file_->status().size) {}

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return file_->path(); }
    bool writable() const override { return writable_; }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        wait_or_fail();
        file_->read(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        wait_or_fail();
        file_->write(offset, data);
    }
    void discard(Range range) override { file_->punch_hole(range); }
    void zero(Range range) override { file_->zero(range); }
    void flush() override {
        wait_or_fail();
        file_->sync_data();
    }
    FileStatus status() const { return file_->status(); }
    void grow(std::uint64_t size) {
        file_->truncate(size);
        size_ = size;
    }

    /// "": works, "io", "space": every request fails so, "hold": they wait.
    void set_fault(const std::string& fault) {
        const std::scoped_lock lock(mutex_);
        fault_ = fault;
        changed_.notify_all();
    }

  private:
    void wait_or_fail() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return fault_ != "hold"; });
        if (!fault_.empty()) {
            throw Error(fault_ == "space" ? ErrorCode::no_space : ErrorCode::failure, "a fault on demand");
        }
    }

    const std::unique_ptr<File> file_;
    const bool writable_;
    std::atomic<std::uint64_t> size_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string fault_;
};

class PlainSource final : public DeviceSource {
  public:
    PlainSource(Config& config, const std::function<void(const std::string&)>& say)
        : path_(config.path("image")), whole_(config.flag("whole")), fail_close_(config.flag("fail_close")),
          disk_(path_, config.flag("read_only")) {
        config.finish();
        say("opened " + path_);
    }

    BlockDevice& device() override { return disk_; }
    std::optional<WholeFile> whole_file() override {
        return whole_ ? std::optional(WholeFile{path_, {0, disk_.size()}, true, false}) : std::nullopt;
    }
    std::uint64_t discard_unit() const override { return 64 << 10; }
    void describe(DeviceState& state) const override {
        const FileStatus status = disk_.status();
        state.format = "plain";
        state.disk = path_;
        state.images = {{path_, status.device, status.inode}};
        state.read_only = !disk_.writable();
    }
    std::map<std::string, DeviceRequest> requests(RunningDevice& device) override {
        return {{"fault",
                 {[this](ControlRequest& request) {
                      disk_.set_fault(request.text("fault"));
                      return ControlMessage::object();
                  },
                  true}},
                {"grow", {[this, &device](ControlRequest& request) {
                     device.require_growable();
                     disk_.grow(request.number("sectors") * 512);
                     return ControlMessage{{"size", device.follow_size()}};
                 }}}};
    }
    void close() override {
        if (fail_close_) {
            throw Error(ErrorCode::damaged, "it was told not to close");
        }
        disk_.writable() ? disk_.flush() : void();
    }

  private:
    const std::string path_;
    const bool whole_, fail_close_;
    PlainDisk disk_;
};

} // namespace
} // namespace disktool::server

int main(int count, char** words) {
    using namespace disktool;
    return server::run_device_process(count, words,
                                      {"plain-device",
                                       [](server::Config& config, const auto& say) {
                                           return std::make_unique<server::PlainSource>(config, say);
                                       },
                                       [](const Error& error) { return static_cast<int>(error.code()); }});
}

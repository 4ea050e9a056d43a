// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_device.h"

#include "block/host_descriptor.h"
#include "device/device_state_json.h"
#include "device/device_users.h"
#include "device/kernel_partitions.h"
#include "device/loop_device.h"
#include "node_device.h"
#include "partition/table.h"

#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>

namespace disktool::server {

namespace {

using namespace std::chrono_literals;

constexpr int most_partitions = 255;            // that the kernel numbers
constexpr std::uint64_t extended_length = 1024; // bytes: as much as the kernel shows of an extended one
constexpr std::chrono::milliseconds look_again{50};
constexpr std::chrono::milliseconds users_patience{3'000}; // udev opens each device that it is told of
constexpr std::chrono::milliseconds detach_patience{10'000};

/// Nobody else's loop device has it.
std::string unique_name(const std::string& device) {
    std::uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        throw SystemError("Cannot get", "a random number", errno);
    }
    return fmt::format("{} {:016x}", device, random);
}

std::vector<KernelPartition> partitions_in(const PartitionTable& table) {
    std::vector<KernelPartition> partitions;
    for (const Partition& partition : table.partitions) {
        if (partition.number < 1 || partition.number > most_partitions) {
            log(LogLevel::warning,
                fmt::format("Partition {} is passed over: the kernel has no such number", partition.number));
            continue;
        }
        Range range = partition.range;
        if (partition.extended) {
            range.length = std::min(range.length, extended_length); // the logical ones lie in it
        }
        partitions.push_back({partition.number, range, 0});
    }
    return partitions;
}

template <typename Done>
bool wait_until(std::chrono::milliseconds patience, Done done) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() >= end) {
            return false;
        }
        std::this_thread::sleep_for(look_again);
    }
    return true;
}

} // namespace

RunningDevice::RunningDevice(DeviceSource& source, const DeviceOptions& options,
                             std::unique_ptr<DeviceNumber> number, FreezerProcess& freezer)
    : source_(source), options_(options), number_(std::move(number)),
      node_(fmt::format("/dev/ploop{}", number_->minor())), freezer_(freezer) {}

std::unique_ptr<RunningDevice> RunningDevice::start(DeviceSource& source, const DeviceOptions& options,
                                                    std::unique_ptr<DeviceNumber> number,
                                                    FreezerProcess& freezer) {
    std::unique_ptr<RunningDevice> device(new RunningDevice(source, options, std::move(number), freezer));
    device->attach();
    return device;
}

void RunningDevice::attach() {
    state_.minor = number_->minor();
    state_.node = node_;
    state_.loop_name = unique_name(node_);
    state_.pid = getpid();
    state_.component = options_.component;
    source_.describe(state_);
    store();
    backend_ = make_backend(source_, options_, state_.loop_name);
    {
        const std::scoped_lock lock(mutex_);
        state_.backend = backend_->name();
        state_.loop = backend_->node();
    }
    store();
    make_node();
    try {
        read_partitions();
    } catch (const Error& error) { // whoever needs them asks anew, and is told why
        log(LogLevel::warning, fmt::format("{} is shown without partitions: {}", node_, error.what()));
    }
}

/// Another program may have made a node of this name since the number was taken: then the next one will do,
/// unless it was asked for.
void RunningDevice::make_node() {
    for (;;) {
        try {
            make_device_node(node_, numbers().front(), backend_->node(), OldNode::refuse);
            return;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::locked || number_->wanted()) {
                throw;
            }
        }
        std::unique_ptr<DeviceNumber> next = DeviceNumber::take(std::nullopt);
        node_ = fmt::format("/dev/ploop{}", next->minor());
        {
            const std::scoped_lock lock(mutex_);
            state_.minor = next->minor();
            state_.node = node_;
        }
        next->store(state());
        number_->forget();
        number_ = std::move(next);
    }
}

RunningDevice::~RunningDevice() {
    if (!stopped_) {
        try {
            if (const std::string problem = take_down(); !problem.empty()) {
                log(LogLevel::warning, problem);
            }
        } catch (const std::exception& error) {
            log(LogLevel::warning, error.what());
        }
    }
}

void RunningDevice::store() {
    number_->store(state());
}

DeviceBackend& RunningDevice::served() const {
    if (!backend_) {
        throw Error(ErrorCode::not_found, fmt::format("{} has been stopped", node_));
    }
    return *backend_;
}

DeviceState RunningDevice::state() const {
    const std::scoped_lock lock(mutex_);
    return state_;
}

ControlMessage RunningDevice::status() const {
    const std::shared_lock lock(serving_);
    const DeviceBackend& backend = served();
    ControlMessage status = json_of(state());
    const FuseDisk::Counters counters = backend.counters();
    status["size"] = backend.size();
    status["counters"] = {{"reads", counters.reads},
                          {"read_bytes", counters.read_bytes},
                          {"writes", counters.writes},
                          {"written_bytes", counters.written_bytes},
                          {"flushes", counters.flushes},
                          {"discards", counters.discards},
                          {"discarded_bytes", counters.discarded_bytes},
                          {"errors", counters.errors}};
    if (const std::optional<Error> error = backend.first_error()) {
        status["first_error"] = error->what();
    }
    return status;
}

void RunningDevice::describe_anew() {
    DeviceState fresh = state();
    source_.describe(fresh);
    {
        const std::scoped_lock lock(mutex_);
        state_ = std::move(fresh);
    }
    store();
}

void RunningDevice::require_growable() const {
    if (!served().can_grow()) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{} shows a part of a file by a loop device alone, and cannot grow while it is there. "
                        "Unmount it, and grow the disk at rest, or mount it with --backend fuse",
                        node_),
            Reason::capability_missing);
    }
}

std::uint64_t RunningDevice::follow_size() {
    backend_->follow_size();
    return backend_->size();
}

std::vector<std::uint64_t> RunningDevice::numbers() const {
    return device_numbers_of(served().node());
}

std::vector<DeviceMount> RunningDevice::freeze() {
    std::vector<std::uint64_t> used;
    {
        const std::shared_lock lock(serving_);
        used = numbers();
    }
    return freezer_.freeze(used);
}

void RunningDevice::thaw() noexcept {
    freezer_.thaw();
}

void RunningDevice::make_nodes(const std::vector<DevicePartition>& partitions) {
    for (const KernelPartition& there : kernel_partitions_of(numbers().front())) {
        for (const DevicePartition& partition : partitions) {
            if (partition.number == there.number) {
                make_device_node(partition.node, there.device_number,
                                 fmt::format("{}p{}", backend_->node(), partition.number));
            }
        }
    }
}

std::vector<DevicePartition> RunningDevice::read_partitions() {
    const Descriptor opened = backend_->open();
    NodeDevice disk(opened.get(), backend_->size(), node_);
    std::vector<KernelPartition> wanted;
    try {
        const PartitionTable table = read_partition_table(disk);
        for (const std::string& warning : table.warnings) {
            log(LogLevel::warning, fmt::format("{}: {}", node_, warning));
        }
        wanted = partitions_in(table);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) {
            throw;
        }
        log(LogLevel::warning, fmt::format("{} is shown without partitions: {}", node_, error.what()));
    }
    std::vector<DevicePartition> fresh;
    for (const KernelPartition& partition : wanted) {
        fresh.push_back({partition.number, fmt::format("{}p{}", node_, partition.number),
                         partition.range.offset, partition.range.length});
    }
    const std::vector<DevicePartition> before = state().partitions;
    std::vector<DevicePartition> gone, all = fresh;
    std::copy_if(before.begin(), before.end(), std::back_inserter(gone), [&](const DevicePartition& one) {
        return std::none_of(fresh.begin(), fresh.end(),
                            [&](const DevicePartition& other) { return other.number == one.number; });
    });
    all.insert(all.end(), gone.begin(), gone.end());
    store_partitions(all); // for a moment the state names the old ones, too
    try {
        set_kernel_partitions(opened.get(), wanted);
    } catch (...) {
        store_partitions(before);
        throw;
    }
    make_nodes(fresh);
    for (const DevicePartition& one : gone) {
        unlink(one.node.c_str());
    }
    store_partitions(fresh);
    return fresh;
}

void RunningDevice::store_partitions(const std::vector<DevicePartition>& partitions) {
    {
        const std::scoped_lock lock(mutex_);
        state_.partitions = partitions;
    }
    store();
}

std::string RunningDevice::users() const {
    return users_of(backend_->node(), numbers());
}

void RunningDevice::refuse_users() const {
    std::string who;
    const auto unused = [&] { return (who = users()).empty(); };
    const auto mounted = [&] { return is_claimed(backend_->node()) || !mounts_of(numbers()).empty(); };
    if (!wait_until(users_patience, [&] { return mounted() || unused(); }) || !unused()) {
        throw Error(ErrorCode::locked, fmt::format("{} is in use: {}", node_, who), Reason::image_in_use);
    }
}

void RunningDevice::refuse_openers(const std::vector<std::uint64_t>& numbers) const {
    std::vector<DeviceOpener> openers;
    if (!wait_until(users_patience, [&] { return (openers = openers_of(numbers)).empty(); })) {
        throw Error(ErrorCode::locked,
                    fmt::format("{} is open in {} (process {})", node_, openers[0].program, openers[0].pid),
                    Reason::image_in_use);
    }
}

std::string RunningDevice::stop() {
    refuse_users();
    {
        // From here on nobody can mount it. Nothing waits in the kernel to be written: whoever was the last to
        // close it has waited for that.
        const Descriptor alone(open(backend_->node().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
        if (!alone) {
            throw Error(ErrorCode::locked, fmt::format("{} is in use", node_), Reason::image_in_use);
        }
        const std::vector<std::uint64_t> used = numbers();
        refuse_openers(used);
        set_kernel_partitions(alone.get(), {});
        try {
            refuse_openers(used);
        } catch (...) {
            read_partitions();
            throw;
        }
    }
    return take_down();
}

std::string RunningDevice::take_down() {
    stopped_ = true;
    if (backend_) {
        const std::string node = backend_->node();
        if (!backend_->detach() && !wait_until(detach_patience, [&] { return !LoopDevice::find(node); })) {
            log(LogLevel::warning,
                fmt::format("{} is still open somewhere, and shows errors from now on", node));
        }
        const std::unique_lock lock(serving_);
        backend_->end();
        ended_ = std::move(backend_);
    }
    std::string problem;
    try {
        source_.close();
    } catch (const std::exception& error) {
        problem = error.what();
    }
    number_->forget();
    return problem;
}

} // namespace disktool::server

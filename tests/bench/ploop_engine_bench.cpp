// SPDX-License-Identifier: LGPL-2.1-or-later
// The ploop engine beside a plain file: the same requests to a disk whose clusters are all allocated, and to a
// file of the same size, by turns, so that what else the machine does troubles both. Prints medians and their
// ratio.
//
//     ploop-engine-bench FOLDER [MIB] [ROUNDS] [direct]
//
// "direct": past the page cache of the host, where the folder's file system can. Else all is in the page cache,
// which leaves nothing to hide behind.
#include "block/direct_file.h"
#include "disk.h"

#include <disktool/doors.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string_view>
#include <vector>

namespace disktool::ploop {
namespace {

constexpr std::uint64_t sequential_piece = 1 * MiB;
constexpr std::uint64_t random_piece = 4 * KiB;
constexpr std::size_t page = 4096;

struct Target {
    std::function<void(std::uint64_t offset, std::span<std::byte>)> read;
    std::function<void(std::uint64_t offset, std::span<const std::byte>)> write;
};

using Offsets = std::vector<std::uint64_t>;

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

class Bench {
  public:
    Bench(Target plain, Target engine, std::uint64_t size, unsigned rounds, std::size_t random_requests)
        : plain_(std::move(plain)), engine_(std::move(engine)), rounds_(rounds),
          memory_(sequential_piece + page) {
        // What O_DIRECT wants.
        const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
        buffer_ = std::span(memory_).subspan((page - at % page) % page, sequential_piece);
        std::ranges::fill(buffer_, std::byte{0x5a});
        for (std::uint64_t offset = 0; offset < size; offset += sequential_piece) {
            sequential_.push_back(offset);
        }
        std::mt19937_64 random(20261128);
        for (std::size_t i = 0; i < random_requests; ++i) {
            random_.push_back(random() % (size / random_piece) * random_piece);
        }
    }

    void run() {
        fmt::print(
            "| requests | plain file | engine | engine / plain | aim |\n| --- | --- | --- | --- | --- |\n");
        compare("sequential read, 1 MiB", false, sequential_, sequential_piece, 95);
        compare("sequential write, 1 MiB", true, sequential_, sequential_piece, 90);
        compare("random read, 4 KiB", false, random_, random_piece, 90);
        compare("random write, 4 KiB", true, random_, random_piece, 80);
    }

  private:
    /// Bytes a second.
    double speed(const Target& target, bool write, const Offsets& offsets, std::uint64_t piece) {
        const auto bytes = buffer_.first(piece);
        const auto start = std::chrono::steady_clock::now();
        for (const std::uint64_t offset : offsets) {
            write ? target.write(offset, bytes) : target.read(offset, bytes);
        }
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        return static_cast<double>(offsets.size() * piece) / time.count();
    }

    void compare(const char* name, bool write, const Offsets& offsets, std::uint64_t piece, int aim) {
        std::vector<double> plain, engine, ratios;
        for (unsigned round = 0; round < rounds_; ++round) {
            // Who comes first changes, too.
            const bool engine_first = round % 2 != 0;
            for (const bool second : {false, true}) {
                const bool of_engine = engine_first != second;
                (of_engine ? engine : plain)
                    .push_back(speed(of_engine ? engine_ : plain_, write, offsets, piece));
            }
            ratios.push_back(engine.back() / plain.back());
        }
        fmt::print("| {} | {:.0f} MiB/s | {:.0f} MiB/s | {:.1f} % | {} % |\n", name,
                   median(plain) / double{MiB}, median(engine) / double{MiB}, 100 * median(ratios), aim);
        std::fflush(stdout);
    }

    Target plain_, engine_;
    unsigned rounds_;
    std::vector<std::byte> memory_;
    std::span<std::byte> buffer_;
    Offsets sequential_, random_;
};

struct Cleanup {
    std::vector<std::string> paths;
    ~Cleanup() {
        for (const std::string& path : paths) {
            std::remove(path.c_str());
        }
    }
};

void run(const std::string& folder, std::uint64_t size, unsigned rounds, bool direct) {
    const Cleanup cleanup{{folder + "/ploop-engine-bench.plain", folder + "/ploop-engine-bench.hdd"}};
    FileDoor& real = real_doors().files;
    DirectFileDoor direct_door(real, HostCache::none);
    FileDoor& files = direct ? static_cast<FileDoor&>(direct_door) : real;
    const OpenFlags fresh{.write = true, .create = true, .exclusive = true};
    const std::vector<std::byte> piece(sequential_piece, std::byte{0x11});

    const auto plain = files.open(cleanup.paths[0], fresh);
    for (std::uint64_t offset = 0; offset < size; offset += piece.size()) {
        plain->write(offset, piece);
    }
    plain->sync();
    NewDelta request;
    request.disk_sectors = size / sector_size;
    Delta::create(*real.open(cleanup.paths[1], fresh), request);
    std::vector<std::unique_ptr<Delta>> deltas;
    deltas.push_back(Delta::open(files.open(cleanup.paths[1], {.write = true}), Access::write));
    ChainDevice disk(std::move(deltas), "bench");
    disk.begin();
    for (std::uint64_t offset = 0; offset < size; offset += piece.size()) {
        disk.write(offset, piece);
    }
    disk.flush();

    Bench({[&](std::uint64_t offset, std::span<std::byte> bytes) { plain->read(offset, bytes); },
           [&](std::uint64_t offset, std::span<const std::byte> bytes) { plain->write(offset, bytes); }},
          {[&](std::uint64_t offset, std::span<std::byte> bytes) { disk.read(offset, bytes); },
           [&](std::uint64_t offset, std::span<const std::byte> bytes) { disk.write(offset, bytes); }},
          size, rounds, direct ? 4'000 : 100'000)
        .run();
    disk.end();
}

} // namespace
} // namespace disktool::ploop

int main(int count, char** words) {
    if (count < 2) {
        fmt::print(stderr, "usage: ploop-engine-bench FOLDER [MIB] [ROUNDS] [direct]\n");
        return 2;
    }
    const std::uint64_t mebibytes = count > 2 ? std::strtoull(words[2], nullptr, 10) : 512;
    const unsigned rounds = count > 3 ? static_cast<unsigned>(std::strtoul(words[3], nullptr, 10)) : 15;
    try {
        disktool::ploop::run(words[1], std::max<std::uint64_t>(mebibytes, 1) * disktool::MiB,
                             std::max(rounds, 1u), count > 4 && std::string_view(words[4]) == "direct");
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}

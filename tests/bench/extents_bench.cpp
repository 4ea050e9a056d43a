// SPDX-License-Identifier: LGPL-2.1-or-later
// Sets of extents at their worst: every second 4 KiB block of a disk.
#include <disktool/extents.h>
#include <disktool/size.h>

#include <benchmark/benchmark.h>

namespace disktool {
namespace {

ExtentSet every_second_block(std::uint64_t disk, std::uint64_t phase) {
    ExtentSet set;
    for (std::uint64_t offset = phase; offset < disk; offset += 8 * KiB) {
        set.append({offset, 4 * KiB});
    }
    return set;
}

void build(benchmark::State& state) {
    std::uint64_t disk = static_cast<std::uint64_t>(state.range(0)) * GiB;
    for (auto _ : state) {
        benchmark::DoNotOptimize(every_second_block(disk, 0).count());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(disk / (8 * KiB)));
}
BENCHMARK(build)->Arg(10)->Arg(100)->Unit(benchmark::kMillisecond);

void unite(benchmark::State& state) {
    std::uint64_t disk = static_cast<std::uint64_t>(state.range(0)) * GiB;
    ExtentSet even = every_second_block(disk, 0);
    ExtentSet odd = every_second_block(disk, 4 * KiB);
    for (auto _ : state) {
        benchmark::DoNotOptimize(even.unite(odd).count());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(disk / (4 * KiB)));
}
BENCHMARK(unite)->Arg(10)->Arg(100)->Unit(benchmark::kMillisecond);

void round_inward(benchmark::State& state) {
    ExtentSet set = every_second_block(100 * GiB, 0);
    for (auto _ : state) {
        benchmark::DoNotOptimize(set.rounded_inward(64 * KiB).count());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(set.count()));
}
BENCHMARK(round_inward)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace disktool

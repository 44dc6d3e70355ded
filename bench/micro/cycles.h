// Time-stamp counter cycles per packet. They are of constant rate, not of the core's clock: compare
// numbers of one machine and one run only.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock {

// Runs passes over `packets` packets in slices: slice(at) does `slice_packets` from `at` on and is
// measured by itself, prepare() before each pass is not. Reports cycles per packet as counters: of
// the median slice, and of the tenth part that was disturbed least. The mean is left out: what else
// runs on the machine decides it.
template <class Prepare, class Slice>
void measure_cycles(benchmark::State& state, size_t packets, size_t slice_packets,
                    const Prepare& prepare, const Slice& slice) {
  std::vector<uint64_t> cycles;
  for ([[maybe_unused]] auto _ : state) {
    prepare();
    const auto start = std::chrono::steady_clock::now();
    for (size_t at = 0; at < packets; at += slice_packets) {
      const uint64_t first = __rdtsc();
      slice(at);
      cycles.push_back(__rdtsc() - first);
    }
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const auto percentile = [&](size_t percent) {
    const auto at = cycles.begin() + static_cast<long>(cycles.size() * percent / 100);
    std::nth_element(cycles.begin(), at, cycles.end());
    return static_cast<double>(*at) / static_cast<double>(slice_packets);
  };
  state.counters["cycles"] = percentile(50);
  state.counters["cycles_p10"] = percentile(10);
  state.SetItemsProcessed(static_cast<int64_t>(packets) * state.iterations());
}

}  // namespace penstock

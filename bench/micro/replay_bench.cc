// The replay window: check, then commit, as each inbound packet does. Its own cost, with windows
// that are in cache and with 10,000 that are not.
#include <random>
#include <vector>

#include "bench/micro/cycles.h"
#include "dataplane/sa/replay_window.h"

namespace penstock {
namespace {

constexpr size_t kPackets = 8192;
constexpr size_t kBurst = 32;
constexpr size_t kSlice = 1024;

void replay_in_order(benchmark::State& state) {
  std::vector<ReplayWindow<>> windows(static_cast<size_t>(state.range(0)));
  std::vector<uint32_t> order(kPackets);
  std::mt19937 random(1);
  for (uint32_t& window : order) window = static_cast<uint32_t>(random() % windows.size());
  uint64_t sequence = 0;
  measure_cycles(
      state, kPackets, kSlice, [&] { sequence += kPackets; },
      [&](size_t first) {
        for (size_t at = first; at < first + kSlice; at += kBurst) {
          for (size_t i = at; i < at + kBurst; ++i) windows[order[i]].prefetch(sequence + i);
          for (size_t i = at; i < at + kBurst; ++i) {
            benchmark::DoNotOptimize(windows[order[i]].check(sequence + i));
          }
          for (size_t i = at; i < at + kBurst; ++i) {
            benchmark::DoNotOptimize(windows[order[i]].commit(sequence + i));
          }
        }
      });
}
BENCHMARK(replay_in_order)->ArgName("windows")->Arg(1)->Arg(10'000)->UseManualTime();

// Each packet up to 64 places from where it was sent.
void replay_reordered(benchmark::State& state) {
  ReplayWindow<> window;
  std::vector<uint64_t> offsets(kPackets);
  for (size_t i = 0; i < kPackets; ++i) offsets[i] = i;
  std::mt19937 random(1);
  for (size_t i = 0; i < kPackets; ++i) {
    std::swap(offsets[i], offsets[std::min(kPackets - 1, i + random() % 64)]);
  }
  uint64_t sequence = 0;
  measure_cycles(
      state, kPackets, kSlice, [&] { sequence += kPackets; },
      [&](size_t first) {
        for (size_t i = first; i < first + kSlice; ++i) {
          const uint64_t offset = offsets[i];
          benchmark::DoNotOptimize(window.check(sequence + offset));
          benchmark::DoNotOptimize(window.commit(sequence + offset));
        }
      });
}
BENCHMARK(replay_reordered)->UseManualTime();

}  // namespace
}  // namespace penstock

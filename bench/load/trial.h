// What the packet loop is asked to do and what came of it. Plain values.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "bench/load/inner_packet.h"
#include "bench/load/profile.h"
#include "bench/load/search.h"

namespace penstock::load {

struct TrialSpec {
  uint32_t tunnels = 1;  // the first so many of the plan
  SizeMix mix;
  Direction direction = Direction::kBoth;
  Order order = Order::kRoundRobin;
  double rate = 0;  // packets a second and direction; 0: as fast as possible
  double seconds = 1;
  double drain_s = 0.5;
  uint32_t rekey_rate = 0;  // handshakes a second; 0: as they are due
  double interval_s = 0;    // of the samples; 0: none
};

// Nanoseconds.
struct LatencySummary {
  uint64_t packets = 0;
  double smallest = 0, mean = 0, p50 = 0, p99 = 0, p999 = 0, largest = 0;
  static LatencySummary of(const LatencyHistogram& ticks, double ticks_per_ns);
};

struct Sample {
  double at_s = 0;  // since the trial began
  Counts up, down;  // since the trial began
};

struct TrialResult {
  double asked_rate = 0;  // 0: as fast as possible
  double seconds = 0;     // in which was sent
  Counts up, down;
  LatencySummary up_latency, down_latency;
  uint64_t rekeys = 0, rekeys_failed = 0;
  LatencySummary rekey_latency;
  double busy = 0;       // share of the time in which the generator had something to do
  uint64_t foreign = 0;  // packets that are not of the generator
  std::vector<Sample> samples;

  // Of the directions that were sent in; the slower one for rates.
  [[nodiscard]] TrialOutcome outcome() const;
  // Of inner packets that came back good, both directions together.
  [[nodiscard]] double good_packets_per_second() const;
  [[nodiscard]] double good_bits_per_second() const;
  [[nodiscard]] double loss_ratio() const;
  // The rate asked for was not reached: the figures say nothing about the gateway.
  [[nodiscard]] bool generator_too_slow() const;
  // Anything that is not loss: packets in the wrong tunnel, changed, twice, not to be opened.
  [[nodiscard]] uint64_t wrong() const;
};

struct StormSpec {
  uint32_t tunnels = 1;
  uint32_t rate = 0;      // new handshakes a second; 0: as fast as answers come
  uint32_t window = 256;  // under way at a time
  bool prepared = false;  // first messages are computed before the time runs
  double give_up_s = 10;  // without any progress
};

struct StormResult {
  uint32_t tunnels = 0, up = 0;
  uint64_t handshakes = 0;  // answered now; tunnels that were up before need none
  uint64_t repeated = 0;    // handshakes without an answer in time
  double seconds = 0;       // from the first message to the last answer
  LatencySummary latency;   // from a handshake's first message to its answer
  std::string trouble;      // why tunnels are missing
  [[nodiscard]] double per_second() const {
    return seconds > 0 ? static_cast<double>(handshakes) / seconds : 0;
  }
};

// What the loop tells while it works. Written by it, read by the main thread.
struct Progress {
  std::atomic<uint64_t> sent{0}, good{0}, lost{0}, wrong{0};
  std::atomic<uint32_t> tunnels_up{0};
  std::atomic<uint32_t> samples{0};
};

}  // namespace penstock::load

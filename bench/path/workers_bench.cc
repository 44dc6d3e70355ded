// Two workers beside one. Each has its tunnels, buffers and source, as where ports steer tunnels to
// workers; the tables are shared. One worker alone is a gateway with one worker.
//
// Cases: workers/{wireguard,esp-aes128gcm}/{in,out}/{64,1420}/tunnels:{2,1000}, of both together.
// The cipher alone is measured in the same ways, so that what the two cores share (clock, cache)
// can be told from what the workers share.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <memory>
#include <string>

#include "bench/path/passes.h"
#include "bench/path/threads.h"

namespace penstock::bench {
namespace {

constexpr int kPassesASlice = 16;

struct Case {
  WorldOptions world;
  Load load;
};

// One worker of a world, with its packets.
struct Lane {
  Lane(World& of, const Load& load, uint16_t worker)
      : world(of), buffers(of, load, worker), cipher(of, !load.inbound) {}
  double pass(bool path) {
    if (world.options().peers > 2) buffers.draw_peers();
    return path ? run_path(world, buffers) : run_cipher(buffers, cipher);
  }
  World& world;
  Buffers buffers;
  RawCipher cipher;
};

// What the second worker does: the same as the first, or nothing.
enum class Mode : int { kIdle, kCipher, kPath };

// The second worker's side. Its passes count where the first was busy from begin to end.
class Companion {
 public:
  explicit Companion(Lane& lane) : lane_(lane), thread_([this](const auto& stop) { run(stop); }) {}

  void set(Mode mode) {
    mode_.store(mode, std::memory_order_release);
    while (seen_.load(std::memory_order_acquire) != mode) rte_pause();
  }
  // Only while idle.
  std::vector<double>& path_cycles() { return path_cycles_; }
  std::vector<double>& cipher_cycles() { return cipher_cycles_; }

 private:
  void run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) {
      const Mode mode = mode_.load(std::memory_order_acquire);
      seen_.store(mode, std::memory_order_release);
      if (mode == Mode::kIdle) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        continue;
      }
      const double cycles = lane_.pass(mode == Mode::kPath);
      if (mode_.load(std::memory_order_relaxed) != mode) continue;
      (mode == Mode::kPath ? path_cycles_ : cipher_cycles_).push_back(cycles);
    }
  }

  Lane& lane_;
  std::atomic<Mode> mode_{Mode::kIdle}, seen_{Mode::kIdle};
  std::vector<double> path_cycles_, cipher_cycles_;
  SecondThread thread_;  // last: it uses the others
};

void measure(benchmark::State& state, const Case& test) {
  WorldOptions one = test.world, two = test.world;
  one.workers = 1;
  two.workers = 2;
  // As many tunnels for the one as each of the two has.
  one.peers = two.peers / 2;
  World alone(one), together(two);
  Lane single(alone, test.load, 0), first(together, test.load, 0), second(together, test.load, 1);
  std::vector<double> path_alone, path_both, cipher_alone, cipher_both;
  const auto slice = [](Lane& lane, bool path, std::vector<double>& into) {
    for (int i = 0; i < kPassesASlice; ++i) into.push_back(lane.pass(path));
  };
  {
    Companion companion(second);
    for (auto _ : state) {
      slice(single, true, path_alone);
      slice(single, false, cipher_alone);
      companion.set(Mode::kPath);
      slice(first, true, path_both);
      companion.set(Mode::kCipher);
      slice(first, false, cipher_both);
      companion.set(Mode::kIdle);
    }
    const auto append = [](std::vector<double>& to, const std::vector<double>& more) {
      to.insert(to.end(), more.begin(), more.end());
    };
    append(path_both, companion.path_cycles());
    append(cipher_both, companion.cipher_cycles());
  }
  if (alone.drops() != 0 || together.drops() != 0) {
    together.explain_drops();
    state.SkipWithError("packets were lost on the path");
    return;
  }
  state.counters["path_alone"] = percentile(path_alone, 0.5);
  state.counters["path_both"] = percentile(path_both, 0.5);
  state.counters["cipher_alone"] = percentile(cipher_alone, 0.5);
  state.counters["cipher_both"] = percentile(cipher_both, 0.5);
  state.counters["tsc_ghz"] = static_cast<double>(rte_get_tsc_hz()) / 1e9;
}

}  // namespace

void register_workers() {
  for (const bool esp : {false, true}) {
    for (const bool inbound : {true, false}) {
      for (const uint16_t bytes : {64, 1420}) {
        for (const uint32_t tunnels : {2U, 1000U}) {
          Case test;
          test.world.peers = tunnels;
          if (esp) {
            test.world.protocol = TunnelProtocol::kEsp;
            test.world.algorithm = SaAlgorithm::kAes128Gcm16;
          }
          test.load = {inbound, bytes, 256};
          const std::string name = std::string("workers/") + (esp ? "esp-aes128gcm" : "wireguard") +
                                   (inbound ? "/in/" : "/out/") + std::to_string(bytes) +
                                   "/tunnels:" + std::to_string(tunnels);
          benchmark::RegisterBenchmark(name.c_str(), measure, test)->UseRealTime();
        }
      }
    }
  }
}

}  // namespace penstock::bench

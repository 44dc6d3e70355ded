// Tunnels that are added, rekeyed and removed while a worker is at full load with 60,000 of them.
//
// The worker polls without an end; each turn has 32 packets of tunnels drawn at random, outbound
// and inbound by turns, made in the process. The control thread does what it does in the gateway,
// grace periods included: 10,000 changes a second, a third of each kind. Slices with and without
// changes alternate; measured are the gaps between two polls of the worker.
//
// Cases: churn/{wireguard,esp-aes128gcm}/{64,1420}.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <memory>
#include <string>

#include "bench/path/passes.h"
#include "bench/path/threads.h"
#include "dataplane/worker/reclaim.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kTunnels = 60'000;
constexpr uint32_t kSpareTunnels = 4096;
constexpr uint32_t kLiveSpareTunnels = 1024;  // added ones that are not removed yet
constexpr int kChangesAStep = 10;
constexpr auto kStep = std::chrono::milliseconds(1);
constexpr int kStepsASlice = 50;

struct Case {
  WorldOptions world;
  uint16_t bytes = 0;
};

enum class Phase : int { kWarmUp, kQuiet, kChurn };

// A polling loop as that of the gateway's worker, with a source and a sink for ports.
class LoadedWorker {
 public:
  LoadedWorker(World& world, Reclaimer& reclaimer, uint16_t bytes)
      : world_(world), reclaimer_(reclaimer), items_(kBurst) {
    for (Item& item : items_) {
      item.mbuf = rte_pktmbuf_alloc(world.pool());
      item.inner_bytes = bytes;
    }
    thread_ = std::make_unique<SecondThread>([this](const auto& stop) { run(stop); });
  }
  ~LoadedWorker() {
    thread_.reset();
    for (const Item& item : items_) rte_pktmbuf_free(item.mbuf);
  }
  LoadedWorker(const LoadedWorker&) = delete;
  LoadedWorker& operator=(const LoadedWorker&) = delete;

  void set(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }
  // Once it has stopped.
  void stop() { thread_.reset(); }
  std::vector<double>& gaps(Phase phase) { return phase == Phase::kQuiet ? quiet_ : churn_; }
  [[nodiscard]] uint64_t packets() const { return packets_; }

 private:
  void run(const std::atomic<bool>& stop) {
    reclaimer_.online(0);
    uint64_t last = rte_rdtsc();
    Phase before = Phase::kWarmUp;
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t now = rte_rdtsc();
      const Phase phase = phase_.load(std::memory_order_relaxed);
      if (phase == before && phase != Phase::kWarmUp) {
        (phase == Phase::kQuiet ? quiet_ : churn_).push_back(static_cast<double>(now - last));
      }
      before = phase;
      last = now;
      turn();
      reclaimer_.quiescent(0);
    }
    reclaimer_.offline(0);
  }

  void turn() {
    inbound_ = !inbound_;
    rte_mbuf* frames[kBurst];
    for (size_t i = 0; i < kBurst; ++i) {
      Item& item = items_[i];
      frames[i] = item.mbuf;
      // Tunnels with even numbers keep their keys: the source knows no others.
      const auto drawn = static_cast<uint32_t>(random_() % kTunnels);
      item.peer = inbound_ ? drawn & ~1U : drawn;
      if (inbound_) {
        write_tunnel_frame(world_, item);
      } else {
        write_clear_frame(world_, item);
      }
    }
    if (inbound_) seal_frames(world_, items_);
    world_.pipeline().receive(inbound_ ? kOutsidePort : kInsidePort, frames, kBurst);
    world_.pipeline().finish_turn();
    packets_ += kBurst;
  }

  World& world_;
  Reclaimer& reclaimer_;
  std::vector<Item> items_;
  std::mt19937 random_{815};
  bool inbound_ = false;
  uint64_t packets_ = 0;
  std::atomic<Phase> phase_{Phase::kWarmUp};
  std::vector<double> quiet_, churn_;  // TSC cycles
  std::unique_ptr<SecondThread> thread_;
};

// What the control thread does: changes in turn.
class Churn {
 public:
  explicit Churn(World& world) : world_(world) {}
  void change() {
    switch (number_++ % 3) {
      case 0:
        return world_.add_peer(spare(added_++));
      case 1:
        rekeyed_ = (rekeyed_ + 2) % kTunnels;
        return world_.rekey_peer(rekeyed_ + 1);  // those with odd numbers
      default:
        if (added_ > removed_ + kLiveSpareTunnels) world_.remove_peer(spare(removed_++));
    }
  }
  [[nodiscard]] uint64_t changes() const { return number_; }

 private:
  static uint32_t spare(uint64_t n) { return kTunnels + static_cast<uint32_t>(n % kSpareTunnels); }
  World& world_;
  uint64_t number_ = 0, added_ = 0, removed_ = 0;
  uint32_t rekeyed_ = 0;
};

void report(benchmark::State& state, const char* phase, std::vector<double>& gaps) {
  const double per_us = static_cast<double>(rte_get_tsc_hz()) / 1e6;
  for (const auto& [name, of] : {std::pair{"_p50", 0.5}, std::pair{"_p99", 0.99},
                                 std::pair{"_p99_9", 0.999}, std::pair{"_max", 1.0}}) {
    state.counters[std::string(phase) + name] = percentile(gaps, of) / per_us;
  }
}

void measure(benchmark::State& state, const Case& test) {
  auto reclaimer = Reclaimer::create(1);
  if (!reclaimer.ok()) return state.SkipWithError(reclaimer.error().text.c_str());
  Reclaimer& grace = **reclaimer;
  World world(test.world, [&grace](std::function<void()> fn) { grace.defer(std::move(fn)); });
  grace.poll();
  LoadedWorker worker(world, grace, test.bytes);
  Churn churn(world);
  uint64_t busy = 0;  // TSC cycles of the control thread
  const auto slice = [&](Phase phase) {
    worker.set(phase);
    for (int step = 0; step < kStepsASlice; ++step) {
      std::this_thread::sleep_for(kStep);
      const uint64_t start = rte_rdtsc();
      for (int i = 0; i < kChangesAStep && phase == Phase::kChurn; ++i) churn.change();
      grace.poll();
      if (phase == Phase::kChurn) busy += rte_rdtsc() - start;
    }
  };
  slice(Phase::kWarmUp);
  for (auto _ : state) {
    slice(Phase::kQuiet);
    slice(Phase::kChurn);
  }
  worker.stop();
  grace.drain();
  if (world.drops() != 0 ||
      world.sink().frames[kInsidePort] + world.sink().frames[kOutsidePort] != worker.packets()) {
    world.explain_drops();
    return state.SkipWithError("packets were lost on the path");
  }
  report(state, "quiet", worker.gaps(Phase::kQuiet));
  report(state, "churn", worker.gaps(Phase::kChurn));
  const auto changes = static_cast<double>(churn.changes());
  state.counters["changes"] = changes;
  state.counters["change_us"] =
      static_cast<double>(busy) / static_cast<double>(rte_get_tsc_hz()) * 1e6 / changes;
}

}  // namespace

void register_churn() {
  for (const bool esp : {false, true}) {
    for (const uint16_t bytes : {64, 1420}) {
      Case test;
      test.world.peers = kTunnels;
      test.world.spare_peers = kSpareTunnels;
      if (esp) {
        test.world.protocol = TunnelProtocol::kEsp;
        test.world.algorithm = SaAlgorithm::kAes128Gcm16;
      }
      test.bytes = bytes;
      const std::string name =
          std::string("churn/") + (esp ? "esp-aes128gcm/" : "wireguard/") + std::to_string(bytes);
      benchmark::RegisterBenchmark(name.c_str(), measure, test)->UseRealTime();
    }
  }
}

}  // namespace penstock::bench

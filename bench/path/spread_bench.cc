// One tunnel on two cores: the whole way of its packets through a worker that a second one helps,
// beside the same packets through the only worker of a gateway, in turn. Wall time, as both work at
// once; the source is in the process, and making the packets is not measured.
//
// Cases: spread/wireguard/{in,out}/{512,1420} and spread/esp/{in,out}/ALGORITHM/{512,1420}.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_pause.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "bench/path/world.h"
#include "dataplane/pipeline/lending_board.h"

namespace penstock::bench {
namespace {

constexpr size_t kBuffers = 4096;
constexpr size_t kHeaderBytes = 64;  // at least, of Ethernet, IP and UDP

std::array<int, 2> two_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::array<int, 2> cpus{-1, -1};
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    size_t found = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus[found++] = cpu;
    }
  }
  if (cpus[1] < 0) {
    std::fprintf(stderr, "bench: two CPUs are needed\n");
    std::exit(1);
  }
  return cpus;
}

void run_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

AeadEngines make_engines() {
  auto made = AeadEngines::create();
  if (!made.ok()) {
    std::fprintf(stderr, "bench: %s\n", made.error().text.c_str());
    std::exit(1);
  }
  return std::move(made).value();
}

// Two workers of a gateway, of which the second has a thread that does nothing but help. Its tables
// are those of the world, whose own pipeline is the one that works alone.
class Pair {
 public:
  Pair(World& world, int cpu) : world_(world) {
    SharedTables& tables = world.tables();
    tables.worker_count = 2;
    tables.rings[1] = tables.rings[0];
    tables.lending = std::make_unique<LendingBoard>(uint16_t{2});
    for (uint16_t id = 0; id < 2; ++id) {
      engines_[id] = std::make_unique<AeadEngines>(make_engines());
      PipelineConfig config;
      config.worker = id;
      config.pool = world.pool();
      config.random = &random_;
      pipelines_[id] = std::make_unique<Pipeline>(config, tables, *engines_[id], world.sink());
      pipelines_[id]->set_time(1);
    }
    pipelines_[1]->set_helper(true);
    pipelines_[0]->lend(true);
    helper_ = std::thread([this, cpu] {
      run_on(cpu);
      while (!stop_.load(std::memory_order_acquire)) {
        pipelines_[1]->help();
        rte_pause();
      }
    });
  }
  ~Pair() {
    stop_ = true;
    helper_.join();
  }
  Pipeline& owner() { return *pipelines_[0]; }
  [[nodiscard]] uint64_t drops() const {
    uint64_t sum = pipelines_[0]->counters().punts.get();
    for (const Counter& counter : pipelines_[0]->counters().drops) sum += counter.get();
    return sum;
  }

 private:
  World& world_;
  SystemRandom random_;
  std::unique_ptr<AeadEngines> engines_[2];
  std::unique_ptr<Pipeline> pipelines_[2];
  std::atomic<bool> stop_{false};
  std::thread helper_;
};

struct Case {
  WorldOptions world;
  bool inbound = false;
  uint16_t bytes = 0;
};

class Buffers {
 public:
  Buffers(World& world, const Case& test) : items_(kBuffers) {
    for (Item& item : items_) {
      item.mbuf = rte_pktmbuf_alloc(world.pool());
      item.inner_bytes = test.bytes;
    }
  }
  ~Buffers() {
    for (const Item& item : items_) rte_pktmbuf_free(item.mbuf);
  }
  std::vector<Item>& items() { return items_; }

 private:
  std::vector<Item> items_;
};

// TSC cycles, until the last packet has left. Whoever had the payload in cache before, this core
// writes it anew.
uint64_t run_pass(World& world, Pipeline& pipeline, const Case& test, std::vector<Item>& items) {
  for (Item& item : items) {
    if (test.inbound) {
      write_tunnel_frame(world, item);
    } else {
      write_clear_frame(world, item);
      std::memset(rte_pktmbuf_mtod_offset(item.mbuf, uint8_t*, kHeaderBytes), 0,
                  item.inner_bytes - kHeaderBytes);
    }
  }
  if (test.inbound) seal_frames(world, items);
  const uint16_t port = test.inbound ? kOutsidePort : kInsidePort;
  const uint64_t start = rte_rdtsc_precise();
  for (size_t first = 0; first < items.size(); first += kBurst) {
    rte_mbuf* frames[kBurst];
    for (size_t i = 0; i < kBurst; ++i) frames[i] = items[first + i].mbuf;
    pipeline.receive(port, frames, kBurst);
    pipeline.finish_turn();
  }
  while (pipeline.finish_turn()) rte_pause();
  return rte_rdtsc_precise() - start;
}

double quantile(std::vector<double>& values, double share) {
  const auto at = static_cast<long>(static_cast<double>(values.size() - 1) * share);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

void measure(benchmark::State& state, const Case& test, std::array<int, 2> cpus) {
  run_on(cpus[0]);
  World world(test.world);
  Buffers buffers(world, test);
  Pair pair(world, cpus[1]);
  const PipelineCounters& counters = pair.owner().counters();
  const uint64_t& out = world.sink().frames[test.inbound ? kInsidePort : kOutsidePort];
  const double hz = static_cast<double>(rte_get_tsc_hz());
  std::vector<double> alone, both, ratios;
  uint64_t passes = 0;
  for (auto _ : state) {
    const auto one = static_cast<double>(run_pass(world, world.pipeline(), test, buffers.items()));
    const auto two = static_cast<double>(run_pass(world, pair.owner(), test, buffers.items()));
    alone.push_back(one / kBuffers);
    both.push_back(two / kBuffers);
    ratios.push_back(one / two);
    state.SetIterationTime(two / hz);
    ++passes;
  }
  if (world.drops() + pair.drops() != 0 || out != 2 * passes * kBuffers) {
    world.explain_drops();
    state.SkipWithError("packets were lost on the path");
    return;
  }
  const auto lent = static_cast<double>(counters.lent_batches.get());
  const auto packets = static_cast<double>(passes * kBuffers);
  state.counters["alone_cycles"] = quantile(alone, 0.5);
  state.counters["spread_cycles"] = quantile(both, 0.5);
  state.counters["rate_ratio"] = quantile(ratios, 0.5);
  state.counters["undisturbed_ratio"] = quantile(alone, 0.1) / quantile(both, 0.1);
  state.counters["lent_share"] = lent * kBatchPackets / packets;
  state.counters["helper_cycles"] =
      lent == 0 ? 0 : static_cast<double>(pair.owner().helped_cycles()) / (lent * kBatchPackets);
  state.counters["late_batches"] = static_cast<double>(counters.late_batches.get());
  state.counters["tsc_ghz"] = hz / 1e9;
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}

void register_cases(const std::array<int, 2>& cpus) {
  const auto add = [&](const std::string& protocol, const std::string& algorithm,
                       const WorldOptions& world) {
    for (const bool inbound : {true, false}) {
      for (const uint16_t bytes : {512, 1420}) {
        const std::string name = "spread/" + protocol + (inbound ? "/in" : "/out") + algorithm +
                                 "/" + std::to_string(bytes);
        const Case test{world, inbound, bytes};
        benchmark::RegisterBenchmark(name.c_str(), measure, test, cpus)
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  };
  WorldOptions world;
  add("wireguard", "", world);
  world.protocol = TunnelProtocol::kEsp;
  for (const auto& [name, algorithm] :
       {std::pair{"/chacha20poly1305", SaAlgorithm::kChacha20Poly1305},
        std::pair{"/aes128gcm", SaAlgorithm::kAes128Gcm16},
        std::pair{"/aes256gcm", SaAlgorithm::kAes256Gcm16},
        std::pair{"/aes128cbc-sha256", SaAlgorithm::kAes128CbcSha256}}) {
    world.algorithm = algorithm;
    add("esp", name, world);
  }
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto cpus = penstock::bench::two_cpus();  // before EAL takes one
  penstock::bench::start_environment();
  penstock::bench::register_cases(cpus);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

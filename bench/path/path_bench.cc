// The whole way of a tunnel packet through a worker, from frame in to frame out without I/O, beside
// the cipher alone on the same buffers, keys and lengths in the same iteration.
//
// Cases: wireguard/{in,out}/{64,512,1420,imix}/peers:{1,10000}[/cold] and
// esp/{in,out}/ALGORITHM/{64,512,1420,imix}/sas:{1,10000}[/cold]. Sizes are of the inner IP packet.
// 256 buffers stay in cache; "cold" cycles through 8,192, where the cipher alone is no floor, as
// the path's prefetches may beat it.
//
// ESP is native, its tunnels are those of policies before the routes, and with 10,000 SAs each
// packet of each pass draws one anew, for the path and for the cipher alone. Beside that, with one
// SA and packets of 64 B: .../udp in UDP, and .../route through an interface.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <algorithm>
#include <memory>
#include <string>

#include "bench/path/raw_cipher.h"
#include "bench/path/world.h"

namespace penstock::bench {
namespace {

constexpr size_t kWarmBuffers = 256;
constexpr size_t kColdBuffers = 8192;

struct Case {
  WorldOptions world;
  bool inbound = false;
  uint16_t bytes = 0;  // 0: IMIX
  size_t buffers = kWarmBuffers;

  // Whether each pass has other peers than the one before.
  [[nodiscard]] bool draws() const {
    return world.protocol == TunnelProtocol::kEsp && world.peers > 1;
  }
};

// Simple IMIX: 7 × 64, 4 × 570, 1 × 1420 (the largest that fits the tunnel).
uint16_t imix_bytes(size_t i) {
  const size_t at = i % 12;
  return at < 7 ? 64 : at < 11 ? 570 : 1420;
}

World& world_of(const WorldOptions& options) {
  static std::unique_ptr<World> world;
  if (world == nullptr || world->options() != options) {
    world.reset();
    world = std::make_unique<World>(options);
  }
  return *world;
}

class Buffers {
 public:
  Buffers(World& world, const Case& test) : items_(test.buffers), peers_(test.world.peers) {
    for (size_t i = 0; i < items_.size(); ++i) {
      items_[i].mbuf = rte_pktmbuf_alloc(world.pool());
      items_[i].inner_bytes = test.bytes != 0 ? test.bytes : imix_bytes(i);
    }
    draw_peers();
    if (test.bytes == 0) std::shuffle(items_.begin(), items_.end(), random_);
  }
  ~Buffers() {
    for (const Item& item : items_) rte_pktmbuf_free(item.mbuf);
  }
  void draw_peers() {
    for (Item& item : items_) {
      item.peer = peers_ == 1 ? 0 : static_cast<uint32_t>(random_() % peers_);
    }
  }
  std::vector<Item>& items() { return items_; }

 private:
  std::mt19937 random_{4711};
  std::vector<Item> items_;
  uint32_t peers_;
};

// TSC cycles for one pass of all buffers through the pipeline.
uint64_t run_path(World& world, const Case& test, std::vector<Item>& items) {
  for (Item& item : items) {
    if (test.inbound) {
      write_tunnel_frame(world, item);
    } else {
      write_clear_frame(world, item);
    }
  }
  if (test.inbound) seal_frames(world, items);
  const uint16_t port = test.inbound ? kOutsidePort : kInsidePort;
  uint64_t cycles = 0;
  for (size_t first = 0; first < items.size(); first += kBurst) {
    rte_mbuf* frames[kBurst];
    for (size_t i = 0; i < kBurst; ++i) frames[i] = items[first + i].mbuf;
    const uint64_t start = rte_rdtsc_precise();
    world.pipeline().receive(port, frames, kBurst);
    world.pipeline().finish_turn();
    cycles += rte_rdtsc_precise() - start;
  }
  return cycles;
}

uint64_t run_raw(const std::vector<Item>& items, RawCipher& raw) {
  raw.choose_keys(items);
  uint64_t cycles = 0;
  for (size_t first = 0; first < items.size(); first += kBurst) {
    const uint64_t start = rte_rdtsc_precise();
    raw.run(items, first);
    cycles += rte_rdtsc_precise() - start;
  }
  return cycles;
}

double median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void measure(benchmark::State& state, const Case& test) {
  World& world = world_of(test.world);
  Buffers buffers(world, test);
  RawCipher raw(world, !test.inbound);
  std::vector<double> path_cycles, raw_cycles, overheads;
  const auto packets = static_cast<double>(test.buffers);
  const uint64_t drops_before = world.drops();
  const uint64_t out_before = world.sink().frames[test.inbound ? kInsidePort : kOutsidePort];
  const double hz = static_cast<double>(rte_get_tsc_hz());
  uint64_t passes = 0;
  for (auto _ : state) {
    if (test.draws()) buffers.draw_peers();
    const double raw_pass = static_cast<double>(run_raw(buffers.items(), raw)) / packets;
    if (test.draws()) buffers.draw_peers();
    const double path_pass = static_cast<double>(run_path(world, test, buffers.items())) / packets;
    raw_cycles.push_back(raw_pass);
    path_cycles.push_back(path_pass);
    overheads.push_back(path_pass - raw_pass);
    state.SetIterationTime(path_pass * packets / hz);
    ++passes;
  }
  const uint64_t out = world.sink().frames[test.inbound ? kInsidePort : kOutsidePort] - out_before;
  if (world.drops() != drops_before || out != passes * test.buffers) {
    world.explain_drops();
    state.SkipWithError("packets were lost on the path");
    return;
  }
  state.counters["cycles_per_packet"] = median(path_cycles);
  state.counters["aead_cycles_per_packet"] = median(raw_cycles);
  state.counters["overhead_cycles"] = median(overheads);
  state.counters["tsc_ghz"] = hz / 1e9;
  state.SetItemsProcessed(static_cast<int64_t>(passes * test.buffers));
}

void add_case(const std::string& name, const Case& test) {
  benchmark::RegisterBenchmark(name.c_str(), measure, test)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

std::string size_and_peers(const Case& test, const char* peers) {
  return (test.bytes != 0 ? std::to_string(test.bytes) : "imix") + "/" + peers + ":" +
         std::to_string(test.world.peers) + (test.buffers == kColdBuffers ? "/cold" : "");
}

// Calls add(case) for each number of peers, buffers, direction and size.
template <class Add>
void for_each_load(const WorldOptions& world, const Add& add) {
  Case test;
  test.world = world;
  for (const uint32_t peers : {1U, 10'000U}) {
    test.world.peers = peers;
    for (const size_t buffers : {kWarmBuffers, kColdBuffers}) {
      test.buffers = buffers;
      for (const bool inbound : {true, false}) {
        test.inbound = inbound;
        for (const uint16_t bytes : {64, 512, 1420, 0}) {
          test.bytes = bytes;
          add(test);
        }
      }
    }
  }
}

void register_esp(const char* name, SaAlgorithm algorithm) {
  WorldOptions world;
  world.protocol = TunnelProtocol::kEsp;
  world.algorithm = algorithm;
  const auto begin = [name](bool inbound) {
    return std::string("esp/") + (inbound ? "in/" : "out/") + name + "/";
  };
  for_each_load(world, [&](const Case& test) {
    add_case(begin(test.inbound) + size_and_peers(test, "sas"), test);
  });
  for (const bool inbound : {true, false}) {
    Case test{world, inbound, 64, kWarmBuffers};
    test.world.in_udp = true;
    add_case(begin(inbound) + size_and_peers(test, "sas") + "/udp", test);
    test.world.in_udp = false;
    test.world.route_based = true;
    add_case(begin(inbound) + size_and_peers(test, "sas") + "/route", test);
  }
}

void register_cases() {
  for_each_load({}, [](const Case& test) {
    add_case(
        std::string("wireguard/") + (test.inbound ? "in/" : "out/") + size_and_peers(test, "peers"),
        test);
  });
  register_esp("aes128gcm", SaAlgorithm::kAes128Gcm16);
  register_esp("aes256gcm", SaAlgorithm::kAes256Gcm16);
  register_esp("chacha20poly1305", SaAlgorithm::kChacha20Poly1305);
  register_esp("aes128cbc-sha256", SaAlgorithm::kAes128CbcSha256);
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  penstock::bench::start_environment();
  penstock::bench::register_cases();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

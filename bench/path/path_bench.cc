// The whole way of a tunnel packet through a worker, from frame in to frame out without I/O, beside
// the cipher alone on the same buffers, keys and lengths in the same iteration.
//
// Cases: wireguard/{in,out}/{64,512,1420,imix}/peers:{1,10000}[/cold] and
// esp/{in,out}/ALGORITHM/{64,512,1420,imix}/sas:{1,10000}[/cold]. Sizes are of the inner IP packet.
// 256 buffers stay in cache; "cold" cycles through 8,192, where the cipher alone is no floor, as
// the path's prefetches may beat it. Of 64 and 1420 B also with 1,000 and 100,000.
//
// ESP is native, its tunnels are those of policies before the routes. With many tunnels each packet
// of each pass draws one anew, for the path and for the cipher alone. Beside that, with one SA and
// packets of 64 B: .../udp in UDP, and .../route through an interface; of both protocols .../flows,
// where packets of 64 hosts come in random order, hardly two in a row with the same addresses.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <memory>
#include <string>

#include "bench/path/addresses.h"
#include "bench/path/passes.h"
#include "bench/path/raw_cipher.h"
#include "bench/path/world.h"

namespace penstock::bench {
namespace {

constexpr size_t kWarmBuffers = 256;
constexpr size_t kColdBuffers = 8192;

// What workers touch of a tunnel with an SA each way, beside the tables of the cipher: each SA may
// have 2 KiB.
constexpr size_t kHotBytesPerTunnel = sizeof(TunnelHot) + sizeof(OutboundSa) + sizeof(InboundSa);
static_assert(sizeof(OutboundSa) <= 2048 && sizeof(InboundSa) <= 2048);

struct Case {
  WorldOptions world;
  bool inbound = false;
  uint16_t bytes = 0;  // 0: IMIX
  size_t buffers = kWarmBuffers;
  uint32_t hosts = 1;

  // Whether each pass has other peers than the one before.
  [[nodiscard]] bool draws() const { return world.peers > 1; }
};

World& world_of(const WorldOptions& options) {
  static std::unique_ptr<World> world;
  if (world == nullptr || world->options() != options) {
    world.reset();
    world = std::make_unique<World>(options);
  }
  return *world;
}

void measure(benchmark::State& state, const Case& test) {
  World& world = world_of(test.world);
  Buffers buffers(world, {test.inbound, test.bytes, test.buffers, test.hosts});
  RawCipher raw(world, !test.inbound);
  std::vector<double> path_cycles, raw_cycles, overheads;
  const auto packets = static_cast<double>(test.buffers);
  const uint64_t drops_before = world.drops();
  const uint64_t out_before = world.sink().frames[test.inbound ? kInsidePort : kOutsidePort];
  const double hz = static_cast<double>(rte_get_tsc_hz());
  uint64_t passes = 0;
  for (auto _ : state) {
    if (test.draws()) buffers.draw_peers();
    const double raw_pass = run_cipher(buffers, raw);
    if (test.draws()) buffers.draw_peers();
    const double path_pass = run_path(world, buffers);
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
  state.counters["cycles_per_packet"] = percentile(path_cycles, 0.5);
  state.counters["aead_cycles_per_packet"] = percentile(raw_cycles, 0.5);
  state.counters["overhead_cycles"] = percentile(overheads, 0.5);
  state.counters["tsc_ghz"] = hz / 1e9;
  state.counters["tunnels"] = test.world.peers;
  state.counters["add_us"] = world.microseconds_per_peer();
  state.counters["resident_bytes"] = world.resident_bytes_per_peer();
  state.counters["hot_bytes"] = kHotBytesPerTunnel;
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
  for (const uint32_t peers : {1U, 1'000U, 10'000U, 100'000U}) {
    test.world.peers = peers;
    for (const size_t buffers : {kWarmBuffers, kColdBuffers}) {
      test.buffers = buffers;
      for (const bool inbound : {true, false}) {
        test.inbound = inbound;
        for (const uint16_t bytes : {64, 512, 1420, 0}) {
          test.bytes = bytes;
          const bool every_size = peers == 1 || peers == 10'000;
          if (every_size || bytes == 64 || bytes == 1420) add(test);
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
    Case test{world, inbound, 64};
    test.world.in_udp = true;
    add_case(begin(inbound) + size_and_peers(test, "sas") + "/udp", test);
    test.world.in_udp = false;
    test.hosts = kHosts;
    add_case(begin(inbound) + size_and_peers(test, "sas") + "/flows", test);
    test.hosts = 1;
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
  for (const bool inbound : {true, false}) {
    const Case test{{}, inbound, 64, kWarmBuffers, kHosts};
    add_case(std::string("wireguard/") + (inbound ? "in/" : "out/") +
                 size_and_peers(test, "peers") + "/flows",
             test);
  }
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

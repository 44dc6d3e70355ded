// Policies: hosts as remotes, each with its own tunnel, under a trap for everything, looked up at
// random; and what it costs the control thread to change them.
#include <random>
#include <vector>

#include "bench/micro/cycles.h"
#include "dataplane/policy/policy_table.h"

namespace penstock {
namespace {

constexpr size_t kPackets = 16'384;
constexpr size_t kBurst = 32;
constexpr size_t kSlice = 1024;

template <size_t kBytes>
IpAddress host(uint32_t number) {
  if constexpr (kBytes == 4) return Ipv4Address::from_host(0x0a000000U + number);
  Ipv6Address address;
  address.bytes[0] = 0xfd;
  for (size_t i = 0; i < 4; ++i) address.bytes[15 - i] = static_cast<uint8_t>(number >> 8 * i);
  return address;
}

template <size_t kBytes>
TrafficSelector everything() {
  TrafficSelector selector;
  if constexpr (kBytes == 4) {
    selector.last = Ipv4Address::from_host(UINT32_MAX);
  } else {
    Ipv6Address last;
    last.bytes.fill(0xff);
    selector.first = Ipv6Address{};
    selector.last = last;
  }
  return selector;
}

template <size_t kBytes>
PolicySpec protect_host(uint32_t number) {
  PolicySpec spec;
  spec.selectors.local = everything<kBytes>();
  spec.selectors.remote.first = spec.selectors.remote.last = host<kBytes>(number);
  spec.tunnel = TunnelId{number};
  spec.priority = 100;
  return spec;
}

template <size_t kBytes>
PolicySpec trap() {
  PolicySpec spec;
  spec.selectors = {everything<kBytes>(), everything<kBytes>()};
  spec.tunnel = TunnelId{0};
  spec.priority = 1000;
  return spec;
}

constexpr PolicyId kTrap{UINT32_MAX - 1};

template <size_t kBytes>
bool fill(PolicyTable& table, uint32_t count) {
  bool room = table.add(kTrap, trap<kBytes>()).ok();
  for (uint32_t i = 0; i < count; ++i) {
    room = table.add(PolicyId{i}, protect_host<kBytes>(i)).ok() && room;
  }
  return room;
}

template <size_t kBytes, bool kTwoSteps>
void policy_lookup(benchmark::State& state) {
  PolicyTable table([](const auto& fn) { fn(); });
  const auto count = static_cast<uint32_t>(state.range(0));
  if (!fill<kBytes>(table, count)) return state.SkipWithError("no room");
  std::mt19937 random(1);
  std::vector<IpAddress> asked(kPackets);
  for (IpAddress& address : asked) address = host<kBytes>(static_cast<uint32_t>(random() % count));
  const IpAddress local = host<kBytes>(UINT32_MAX >> 1);
  const auto flow = [] { return Flow{6, Flow::Ports::kBoth, 1, 2}; };
  bool found = true;
  measure_cycles(
      state, kPackets, kSlice, [] {},
      [&](size_t first) {
        for (size_t at = first; at < first + kSlice; at += kBurst) {
          PolicyStart starts[kBurst];
          for (size_t i = 0; i < kBurst; ++i) {
            const uint8_t* remote = asked[at + i].bytes().data();
            const uint8_t* mine = local.bytes().data();
            constexpr auto kSender = PolicySender::kLocal;
            if constexpr (kTwoSteps) {
              starts[i] = table.start<kBytes>(mine, remote);
            } else {
              found &= table.find<kBytes>(mine, remote, flow, kSender).found();
            }
          }
          if constexpr (kTwoSteps) {
            for (size_t i = 0; i < kBurst; ++i) {
              const uint8_t* remote = asked[at + i].bytes().data();
              const uint8_t* mine = local.bytes().data();
              constexpr auto kSender = PolicySender::kLocal;
              found &= table.find<kBytes>(starts[i], mine, remote, flow, kSender).found();
            }
          }
        }
      });
  if (!found) state.SkipWithError("a policy was not found");
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("policies")->Arg(1)->Arg(10'000)->Arg(100'000)->MinTime(0.2)->UseManualTime();
}
BENCHMARK(policy_lookup<4, false>)->Name("policy_v4/single")->Apply(sizes);
BENCHMARK(policy_lookup<4, true>)->Name("policy_v4/two_steps")->Apply(sizes);
BENCHMARK(policy_lookup<16, false>)->Name("policy_v6/single")->Apply(sizes);
BENCHMARK(policy_lookup<16, true>)->Name("policy_v6/two_steps")->Apply(sizes);

// Adds and removes one, host or trap, beside many.
void policy_change(benchmark::State& state, bool whole) {
  PolicyTable table([](const auto& fn) { fn(); });
  const auto count = static_cast<uint32_t>(state.range(0));
  if (!fill<4>(table, count)) return state.SkipWithError("no room");
  constexpr PolicyId kAnother{UINT32_MAX - 2};
  if (whole) table.remove(kTrap);
  const PolicySpec spec = whole ? trap<4>() : protect_host<4>(count + 1);
  bool ok = true;
  for ([[maybe_unused]] auto _ : state) {
    ok = table.add(kAnother, spec).ok() && ok;
    ok = table.remove(kAnother) && ok;
  }
  if (!ok) state.SkipWithError("no change");
}
BENCHMARK_CAPTURE(policy_change, host, false)->ArgName("policies")->Arg(60'000);
BENCHMARK_CAPTURE(policy_change, trap, true)
    ->ArgName("policies")
    ->Arg(60'000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace penstock

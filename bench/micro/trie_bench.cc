// Longest-prefix match: host prefixes in one network over a default route, looked up at random, one
// at a time and as bursts.
#include <random>
#include <vector>

#include "bench/micro/cycles.h"
#include "dataplane/route/prefix_trie.h"

namespace penstock {
namespace {

constexpr size_t kPackets = 16'384;
constexpr size_t kBurst = 32;
constexpr size_t kSlice = 1024;

template <size_t kBytes>
using Address = std::array<uint8_t, kBytes>;

enum class Spread { kInARow, kRandom };

// Hosts of 10.0.0.0/8 or of one /64.
template <size_t kBytes>
Address<kBytes> host(uint32_t number, Spread spread, std::mt19937& random) {
  Address<kBytes> address{};
  address[0] = kBytes == 4 ? 10 : 0xfd;
  const uint32_t low = spread == Spread::kInARow ? number : random();
  for (size_t i = 0; i < (kBytes == 4 ? 3U : 4U); ++i) {
    address[kBytes - 1 - i] = static_cast<uint8_t>(low >> 8 * i);
  }
  if (kBytes == 16 && spread == Spread::kRandom) {
    for (size_t i = 8; i < 12; ++i) address[i % kBytes] = static_cast<uint8_t>(random());
  }
  return address;
}

template <size_t kBytes, Spread kSpread, bool kBatch>
void trie_lookup(benchmark::State& state) {
  auto created = PrefixTrie<kBytes>::create(size_t{1} << 30, [](const auto& fn) { fn(); });
  if (!created.ok()) return state.SkipWithError(created.error().text.c_str());
  PrefixTrie<kBytes>& trie = **created;
  std::mt19937 random(1);
  const auto count = static_cast<uint32_t>(state.range(0));
  const uint8_t zero[kBytes] = {};
  bool room = trie.set(zero, 0, 1).ok();
  std::vector<Address<kBytes>> hosts;
  for (uint32_t i = 0; i < count; ++i) {
    hosts.push_back(host<kBytes>(i, kSpread, random));
    room = trie.set(hosts.back().data(), kBytes * 8, i + 2).ok() && room;
  }
  if (!room) return state.SkipWithError("the trie is full");
  std::vector<Address<kBytes>> asked(kPackets);
  std::vector<const uint8_t*> pointers(kPackets);
  for (size_t i = 0; i < kPackets; ++i) {
    asked[i] = hosts[random() % count];
    pointers[i] = asked[i].data();
  }
  measure_cycles(
      state, kPackets, kSlice, [] {},
      [&](size_t first) {
        uint32_t values[kBurst];
        for (size_t at = first; at < first + kSlice; at += kBurst) {
          if constexpr (kBatch) {
            trie.reader().lookup_batch(pointers.data() + at, kBurst, values);
          } else {
            for (size_t i = 0; i < kBurst; ++i) values[i] = trie.lookup(pointers[at + i]);
          }
          benchmark::DoNotOptimize(values);
          benchmark::ClobberMemory();
        }
      });
  state.counters["trie_bytes"] = static_cast<double>(trie.memory_bytes());
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("prefixes")->Arg(1)->Arg(1'000)->Arg(100'000)->MinTime(0.2)->UseManualTime();
}

BENCHMARK(trie_lookup<4, Spread::kInARow, false>)->Name("trie_v4/row/single")->Apply(sizes);
BENCHMARK(trie_lookup<4, Spread::kInARow, true>)->Name("trie_v4/row/batch")->Apply(sizes);
BENCHMARK(trie_lookup<4, Spread::kRandom, false>)->Name("trie_v4/random/single")->Apply(sizes);
BENCHMARK(trie_lookup<4, Spread::kRandom, true>)->Name("trie_v4/random/batch")->Apply(sizes);
BENCHMARK(trie_lookup<16, Spread::kInARow, false>)->Name("trie_v6/row/single")->Apply(sizes);
BENCHMARK(trie_lookup<16, Spread::kInARow, true>)->Name("trie_v6/row/batch")->Apply(sizes);
BENCHMARK(trie_lookup<16, Spread::kRandom, false>)->Name("trie_v6/random/single")->Apply(sizes);
BENCHMARK(trie_lookup<16, Spread::kRandom, true>)->Name("trie_v6/random/batch")->Apply(sizes);

}  // namespace
}  // namespace penstock

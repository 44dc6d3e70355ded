// Instructions of the packet path, counted by callgrind: `bench/run check` and `bench/run record`
// run this under valgrind and read what it dumps, one file a case.
//
// Cases: wireguard/{in,out}/{64,1420}/peers:N and esp/{in,out}/ALGORITHM/{64,1420}/sas:N. Only
// receive() and finish_turn() are counted: frames are written, and sealed, outside. Keys are
// random, which peer a frame belongs to is not, so that two runs execute the same instructions.
// Cases that end in /changes are those of 100 peers while others come, are rekeyed and go between
// the vectors: a worker must not notice.
#include <rte_mbuf.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/path/world.h"

namespace penstock::bench {
namespace {

constexpr size_t kBuffers = 256;
constexpr size_t kPasses = 2;  // that are counted, after one that is not
constexpr const char* kChangesSuffix = "/changes";
constexpr uint32_t kSparePeers = 64;
constexpr uint32_t kChangedPeers = 8;  // of these, between two vectors

struct Case {
  std::string name;
  WorldOptions world;
  bool inbound = false;
  uint16_t bytes = 0;
  [[nodiscard]] bool changes() const { return world.spare_peers > 0; }
};

// Peers that no packet belongs to: some are added and rekeyed, those of the vector before removed.
class Changes {
 public:
  explicit Changes(World& world) : world_(world), first_(world.options().peers) {}
  void make() {
    for (uint32_t i = 0; i < kChangedPeers; ++i) {
      const uint32_t fresh = spare(added_++);
      world_.add_peer(fresh);
      world_.rekey_peer(fresh);
      if (added_ > kChangedPeers) world_.remove_peer(spare(removed_++));
    }
  }

 private:
  [[nodiscard]] uint32_t spare(uint32_t n) const { return first_ + n % kSparePeers; }

  World& world_;
  const uint32_t first_;
  uint32_t added_ = 0, removed_ = 0;
};

void write_frames(World& world, const Case& test, std::vector<Item>& items) {
  for (Item& item : items) {
    if (test.inbound) {
      write_tunnel_frame(world, item);
    } else {
      write_clear_frame(world, item);
    }
  }
  if (test.inbound) seal_frames(world, items);
}

void run_pass(World& world, const Case& test, std::vector<Item>& items, Changes& changes,
              bool counted) {
  write_frames(world, test, items);
  const uint16_t port = test.inbound ? kOutsidePort : kInsidePort;
  for (size_t first = 0; first < items.size(); first += kBurst) {
    if (test.changes()) changes.make();
    rte_mbuf* frames[kBurst];
    for (size_t i = 0; i < kBurst; ++i) frames[i] = items[first + i].mbuf;
    if (counted) CALLGRIND_TOGGLE_COLLECT;
    world.pipeline().receive(port, frames, kBurst);
    world.pipeline().finish_turn();
    if (counted) CALLGRIND_TOGGLE_COLLECT;
  }
}

// False: packets were lost, so that their instructions mean nothing.
bool run_case(const Case& test) {
  World world(test.world);
  std::mt19937 random(4711);
  std::vector<Item> items(kBuffers);
  for (Item& item : items) {
    item.mbuf = rte_pktmbuf_alloc(world.pool());
    item.peer = static_cast<uint32_t>(random() % test.world.peers);
    item.inner_bytes = test.bytes;
  }
  Changes changes(world);
  for (size_t pass = 0; pass <= kPasses; ++pass) run_pass(world, test, items, changes, pass > 0);
  CALLGRIND_DUMP_STATS_AT(test.name.c_str());
  const uint64_t out = world.sink().frames[test.inbound ? kInsidePort : kOutsidePort];
  const bool good = world.drops() == 0 && out == kBuffers * (kPasses + 1);
  if (!good) {
    world.explain_drops();
    std::fprintf(stderr, "bench: %s: packets were lost on the path\n", test.name.c_str());
  }
  for (const Item& item : items) rte_pktmbuf_free(item.mbuf);
  return good;
}

std::vector<Case> all_cases() {
  struct Protocol {
    const char* begin;
    const char* algorithm;
    const char* peers;
    WorldOptions world;
  };
  const auto esp = [](SaAlgorithm algorithm, bool in_udp) {
    WorldOptions world;
    world.protocol = TunnelProtocol::kEsp;
    world.algorithm = algorithm;
    world.in_udp = in_udp;
    return world;
  };
  const Protocol protocols[] = {
      {"wireguard/", "", "/peers:", {}},
      {"esp/", "aes128gcm/", "/sas:", esp(SaAlgorithm::kAes128Gcm16, false)},
      {"esp/", "chacha20poly1305/", "/sas:", esp(SaAlgorithm::kChacha20Poly1305, true)},
  };
  std::vector<Case> cases;
  for (const Protocol& protocol : protocols) {
    for (const uint32_t peers : {1U, 100U}) {
      for (const bool inbound : {true, false}) {
        for (const uint16_t bytes : {64, 1420}) {
          Case test;
          test.world = protocol.world;
          test.world.peers = peers;
          test.inbound = inbound;
          test.bytes = bytes;
          test.name = std::string(protocol.begin) + (inbound ? "in/" : "out/") +
                      protocol.algorithm + std::to_string(bytes) + protocol.peers +
                      std::to_string(peers);
          cases.push_back(test);
          if (peers == 1 || bytes != 64) continue;
          test.world.spare_peers = kSparePeers;
          test.name += kChangesSuffix;
          cases.push_back(test);
          test.world.spare_peers = 0;
        }
      }
    }
  }
  return cases;
}

}  // namespace
}  // namespace penstock::bench

int main() {
  using namespace penstock::bench;
  start_environment();
  CALLGRIND_START_INSTRUMENTATION;
  bool good = true;
  for (const Case& test : all_cases()) good = run_case(test) && good;
  std::printf("%zu packets a case\n", kBuffers * kPasses);
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

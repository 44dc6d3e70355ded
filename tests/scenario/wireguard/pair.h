// Two nodes that are each other's peer.
#pragma once

#include "tests/scenario/wireguard/simulator.h"

namespace penstock::wireguard::simulation {

inline const ByteVector kPing{'p', 'i', 'n', 'g'};
inline const ByteVector kPong{'p', 'o', 'n', 'g'};
inline constexpr const char* kA = "192.0.2.1:51820";
inline constexpr const char* kB = "192.0.2.2:51820";

struct Pair {
  explicit Pair(uint64_t seed = 1, const Device::Options& options = {}, bool b_knows_a = true,
                const Secret<32>& psk = {})
      : world(seed), a(world.add("a", kA, options)), b(world.add("b", kB, options)) {
    world.connect(a, b, b_knows_a, psk);
  }
  [[nodiscard]] PeerId b_at_a() const { return a.device->peer_ids().at(0); }
  [[nodiscard]] PeerId a_at_b() const { return b.device->peer_ids().at(0); }
  void exchange() {
    a.send_data(b_at_a(), kPing);
    world.run_for(kSecond);
    b.send_data(a_at_b(), kPong);
    world.run_for(kSecond);
  }
  World world;
  Node& a;
  Node& b;
};

}  // namespace penstock::wireguard::simulation

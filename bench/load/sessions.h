// The sessions of all tunnels as the packet loop uses them: keys where the ciphers want them,
// sequence numbers, which of a tunnel's last two inbound sessions a packet is of.
//
// One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/load/peers.h"
#include "dataplane/crypto/aead.h"
#include "gateway/base/clock.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock::load {

class Sessions {
 public:
  struct alignas(64) Outbound {
    const void* key = nullptr;
    uint64_t next_sequence = 0, sequence_limit = 0;
    uint32_t peer_index = 0;
    uint32_t salt = 0;
    SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;
    bool up = false;
    bool esn = false;
    bool in_udp = true;
    bool sent_lately = false;  // since the last look of whoever keeps tunnels alive
    Nanoseconds made_ns = 0, look_at_ns = 0;
  };
  // Two: packets on the way are still under the old session when the new one is there.
  struct Inbound {
    const void* key = nullptr;
    uint32_t index = 0;
    uint32_t salt = 0;
    uint64_t highest = 0;  // sequence number, for the high half of ESN
    SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;
    bool esn = false;
  };

  // `algorithm`: what no session exceeds in the size of its key.
  static Result<Sessions> create(uint32_t tunnels, SaAlgorithm algorithm);

  void install(const SessionUp& session, Nanoseconds now_ns);
  [[nodiscard]] Outbound& outbound(uint32_t tunnel) { return outbound_[tunnel]; }
  // nullptr: no session has this index.
  [[nodiscard]] Inbound* inbound(uint32_t index) {
    const uint32_t tunnel = tunnel_of_index(index);
    if (tunnel >= tunnels()) return nullptr;
    for (int place = 0; place < 2; ++place) {
      Inbound& one = inbound_[size_t{tunnel} * 2 + static_cast<size_t>(place)];
      if (one.index == index && one.key != nullptr) return &one;
    }
    return nullptr;
  }
  [[nodiscard]] uint32_t tunnels() const { return static_cast<uint32_t>(outbound_.size()); }
  [[nodiscard]] uint32_t up() const { return up_; }

 private:
  Sessions() = default;
  // Of the outbound session, and of two inbound ones.
  [[nodiscard]] uint8_t* key_place(uint32_t tunnel, unsigned place) {
    return keys_.data() + (size_t{tunnel} * 3 + place) * stride_;
  }

  SecretArena keys_;
  size_t stride_ = 0;
  std::vector<Outbound> outbound_;
  std::vector<Inbound> inbound_;  // two of each tunnel, the older one is written over
  std::vector<uint8_t> older_;    // which
  uint32_t up_ = 0;
};

}  // namespace penstock::load

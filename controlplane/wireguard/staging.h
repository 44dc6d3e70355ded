// Inner packets that wait for a session: a queue per peer and a bound over all of them. At either
// bound the oldest packet goes, which for traffic that will be repeated is the least useful one.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/base/bytes.h"

namespace penstock::wireguard {

// A peer's queue: positions in Staging. Empty at start.
struct StagedQueue {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t head = kNone;
  uint32_t tail = kNone;
  uint32_t packets = 0;
};

class Staging {
 public:
  Staging(uint32_t packets_per_peer, uint32_t packets)
      : packets_per_peer_(packets_per_peer), packets_(packets) {}

  // Appends; returns how many packets, of whatever peer, had to go. `owner` must stay where it is
  // while it has packets here.
  uint32_t push(StagedQueue& owner, Bytes packet);
  // Takes the oldest packet of a peer.
  [[nodiscard]] std::optional<ByteVector> pop(StagedQueue& owner);
  // Drops a peer's packets; returns how many.
  uint32_t clear(StagedQueue& owner);
  [[nodiscard]] uint32_t size() const { return used_; }

 private:
  static constexpr uint32_t kNone = StagedQueue::kNone;
  struct Slot {
    ByteVector packet;
    StagedQueue* owner = nullptr;
    uint32_t next_of_owner = kNone;
    uint32_t older = kNone;
    uint32_t newer = kNone;
  };

  uint32_t packets_per_peer_;
  uint32_t packets_;
  std::vector<Slot> slots_;  // grows to packets_
  std::vector<uint32_t> free_;
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  uint32_t used_ = 0;
};

}  // namespace penstock::wireguard

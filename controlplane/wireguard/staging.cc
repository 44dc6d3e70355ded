#include "controlplane/wireguard/staging.h"

#include <utility>

namespace penstock::wireguard {

uint32_t Staging::push(StagedQueue& owner, Bytes packet) {
  if (packets_ == 0 || packets_per_peer_ == 0) return 1;
  uint32_t dropped = 0;
  if (owner.packets >= packets_per_peer_) {
    (void)pop(owner);
    ++dropped;
  }
  if (used_ >= packets_) {
    (void)pop(*slots_[oldest_].owner);  // the oldest of all is the head of its owner's queue
    ++dropped;
  }
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t at = free_.back();
  free_.pop_back();
  slots_[at] = Slot{to_vector(packet), &owner, kNone, newest_, kNone};
  (newest_ == kNone ? oldest_ : slots_[newest_].newer) = at;
  newest_ = at;
  (owner.tail == kNone ? owner.head : slots_[owner.tail].next_of_owner) = at;
  owner.tail = at;
  ++owner.packets;
  ++used_;
  return dropped;
}

std::optional<ByteVector> Staging::pop(StagedQueue& owner) {
  if (owner.head == kNone) return std::nullopt;
  const uint32_t at = owner.head;
  Slot& slot = slots_[at];
  (slot.older == kNone ? oldest_ : slots_[slot.older].newer) = slot.newer;
  (slot.newer == kNone ? newest_ : slots_[slot.newer].older) = slot.older;
  owner.head = slot.next_of_owner;
  if (owner.head == kNone) owner.tail = kNone;
  --owner.packets;
  --used_;
  free_.push_back(at);
  ByteVector packet = std::move(slot.packet);
  slot = Slot{};
  return packet;
}

uint32_t Staging::clear(StagedQueue& owner) {
  uint32_t dropped = 0;
  while (pop(owner)) ++dropped;
  return dropped;
}

}  // namespace penstock::wireguard

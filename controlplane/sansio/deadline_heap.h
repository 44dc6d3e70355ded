// The earliest deadline of many owners: an indexed binary heap with one entry per owner.
//
// A deadline that moves later need not be told: the owner comes up early, looks at its own timers
// and is set again. That makes a packet's re-arming free; only moving earlier costs O(log n).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "gateway/base/clock.h"

namespace penstock {

class DeadlineHeap {
 public:
  // The owner comes up at `deadline_ns` or before.
  void set_no_later_than(uint32_t owner, Nanoseconds deadline_ns) {
    if (deadline_ns == kNever) return;
    if (owner >= position_.size()) position_.resize(owner + 1, kAbsent);
    size_t at = position_[owner];
    if (at == kAbsent) {
      at = heap_.size();
      heap_.push_back({deadline_ns, owner});
      position_[owner] = static_cast<uint32_t>(at);
    } else if (deadline_ns < heap_[at].deadline_ns) {
      heap_[at].deadline_ns = deadline_ns;
    } else {
      return;
    }
    sift_up(at);
  }

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] size_t size() const { return heap_.size(); }
  [[nodiscard]] Nanoseconds earliest_ns() const {
    return heap_.empty() ? kNever : heap_.front().deadline_ns;
  }

  // Takes out the earliest owner. Requires !empty().
  uint32_t pop() {
    const uint32_t owner = heap_.front().owner;
    remove(owner);
    return owner;
  }

  void remove(uint32_t owner) {
    if (owner >= position_.size() || position_[owner] == kAbsent) return;
    const size_t at = position_[owner];
    position_[owner] = kAbsent;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    heap_[at] = last;
    position_[last.owner] = static_cast<uint32_t>(at);
    sift_down(at);
    sift_up(position_[last.owner]);
  }

 private:
  struct Entry {
    Nanoseconds deadline_ns;
    uint32_t owner;
  };
  static constexpr uint32_t kAbsent = UINT32_MAX;

  // Owners break ties, so that replays expire in the same order.
  [[nodiscard]] bool before(size_t a, size_t b) const {
    return std::pair(heap_[a].deadline_ns, heap_[a].owner) <
           std::pair(heap_[b].deadline_ns, heap_[b].owner);
  }
  void swap_entries(size_t a, size_t b) {
    std::swap(heap_[a], heap_[b]);
    position_[heap_[a].owner] = static_cast<uint32_t>(a);
    position_[heap_[b].owner] = static_cast<uint32_t>(b);
  }
  void sift_up(size_t at) {
    while (at > 0 && before(at, (at - 1) / 2)) {
      swap_entries(at, (at - 1) / 2);
      at = (at - 1) / 2;
    }
  }
  void sift_down(size_t at) {
    while (true) {
      size_t least = at;
      for (const size_t child : {2 * at + 1, 2 * at + 2}) {
        if (child < heap_.size() && before(child, least)) least = child;
      }
      if (least == at) return;
      swap_entries(at, least);
      at = least;
    }
  }

  std::vector<Entry> heap_;
  std::vector<uint32_t> position_;  // of each owner in heap_
};

}  // namespace penstock

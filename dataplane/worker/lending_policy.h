// When a worker lends batches of packets to others, and when it has time to cipher for them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace penstock {

// Of one worker; decides every two milliseconds. It begins to lend when it had no idle time, full
// bursts (more would have come) and somebody else has time. It goes on as long as its packets take
// it fewer cycles than they did before, or leave it time, and as long as the work, with what others
// do of it, would fill it. Where lending brings nothing it waits, longer each time. All times are
// in cycles of the TSC.
class LendingPolicy {
 public:
  explicit LendingPolicy(uint64_t tsc_hz)
      : window_(tsc_hz / 500),
        first_wait_(tsc_hz / 100),
        longest_wait_(tsc_hz),
        wait_(first_wait_) {}

  // Of a turn from `begin` to `end`: the packets that came, whether there was other work, and
  // whether as many came as a burst holds.
  void after_turn(uint64_t begin, uint64_t end, uint32_t packets, bool busy, bool full) {
    if (packets == 0 && !busy) return;
    busy_ += end - begin;
    packets_ += packets;
    ++busy_turns_;
    full_turns_ += full ? 1 : 0;
  }
  [[nodiscard]] bool due(uint64_t now) const { return now - window_begin_ >= window_; }

  // `helpers`: how many others have time. `helped`: the cycles that they have ciphered for this
  // worker so far.
  void decide(uint64_t now, size_t helpers, uint64_t helped) {
    const uint64_t span = now - window_begin_;
    const uint64_t help = helped - helped_before_;
    const bool full = busy_ >= span - span / 16;
    const uint64_t cycles_each = packets_ == 0 ? 0 : busy_ / packets_;
    if (!lends_) {
      lends_ = full && 2 * full_turns_ > busy_turns_ && helpers > 0 && now >= not_before_;
      cycles_alone_ = cycles_each;
    } else if (help == 0 || (full && cycles_each > cycles_alone_ - cycles_alone_ / 16)) {
      lends_ = false;
      not_before_ = now + wait_;
      wait_ = std::min(2 * wait_, longest_wait_);
    } else {
      wait_ = first_wait_;
      lends_ = helpers > 0 && busy_ + help >= span - span / 8;
    }
    has_time_ = !lends_ && busy_ < span / 2;
    window_begin_ = now;
    helped_before_ = helped;
    busy_ = packets_ = busy_turns_ = full_turns_ = 0;
  }

  [[nodiscard]] bool lends() const { return lends_; }
  [[nodiscard]] bool has_time() const { return has_time_; }

 private:
  const uint64_t window_, first_wait_, longest_wait_;
  uint64_t window_begin_ = 0;
  uint64_t busy_ = 0, packets_ = 0, busy_turns_ = 0, full_turns_ = 0;
  uint64_t helped_before_ = 0;
  uint64_t cycles_alone_ = 0;  // for each packet, before it lent
  uint64_t not_before_ = 0, wait_;
  bool lends_ = false, has_time_ = false;
};

}  // namespace penstock

// A token bucket: `burst` events at once, then one per interval.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock {

// Time is whatever the caller counts in (nanoseconds, TSC ticks), and never runs backwards. Of one
// thread. Written as the generic cell rate algorithm: the state is the time at which the bucket
// will be full again, so that nothing is divided and no time is lost by rounding.
class TokenBucket {
 public:
  // interval > 0, burst > 0, and their product below 2^63.
  constexpr TokenBucket(uint64_t interval_ticks, uint32_t burst)
      : interval_(interval_ticks), window_(interval_ticks * burst) {}

  constexpr bool take(uint64_t now_ticks) {
    const uint64_t full_at = std::max(full_at_, now_ticks) + interval_;
    if (full_at - now_ticks > window_) return false;
    full_at_ = full_at;
    return true;
  }

 private:
  uint64_t interval_;
  uint64_t window_;
  uint64_t full_at_ = 0;
};

}  // namespace penstock

// When an idle worker sleeps, and for how long.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gateway/base/clock.h"

namespace penstock {

// Of one worker. Busy turns reset it; a run of empty turns first goes on polling, then sleeps with
// pauses that double. With pauses of at most kLongestPause an idle worker uses a percent or two of
// a CPU, and the first packet after silence waits at most that long.
class IdlePolicy {
 public:
  static constexpr uint32_t kEmptyTurns = 256;
  static constexpr Nanoseconds kFirstPause = 10 * kMicrosecond;
  static constexpr Nanoseconds kLongestPause = 500 * kMicrosecond;

  // Called after each turn; returns how long to sleep now, 0: not at all.
  Nanoseconds after_turn(bool busy) {
    if (busy) {
      empty_turns_ = 0;
      pause_ns_ = kFirstPause;
      return 0;
    }
    if (empty_turns_ < kEmptyTurns) {
      ++empty_turns_;
      return 0;
    }
    const Nanoseconds pause = pause_ns_;
    pause_ns_ = std::min(pause_ns_ * 2, kLongestPause);
    return pause;
  }

 private:
  uint32_t empty_turns_ = 0;
  Nanoseconds pause_ns_ = kFirstPause;
};

}  // namespace penstock

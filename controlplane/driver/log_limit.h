// Keeps log lines that a peer can cause from filling the journal.
#pragma once

#include <cstdint>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"

namespace penstock {

// So many lines within a second; the rest is counted and reported with the next second's first.
class LogLimit {
 public:
  static constexpr unsigned kLinesPerSecond = 50;

  [[nodiscard]] bool allow(Nanoseconds boot_ns) {
    if (boot_ns - second_began_ns_ >= kSecond) {
      if (suppressed_ > 0) {
        log_notice("%llu log lines about peers left out",
                   static_cast<unsigned long long>(suppressed_));
      }
      second_began_ns_ = boot_ns;
      lines_ = 0;
      suppressed_ = 0;
    }
    if (lines_ >= kLinesPerSecond) {
      ++suppressed_;
      return false;
    }
    ++lines_;
    return true;
  }

 private:
  Nanoseconds second_began_ns_ = 0;
  unsigned lines_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace penstock

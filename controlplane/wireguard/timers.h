// A peer's timers (paper section 6): what each is armed by, and what it does when it expires.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "gateway/base/clock.h"

namespace penstock::wireguard {

enum class Timer : uint8_t {
  // Armed when an initiation leaves. Sends another one, or gives up (6.4).
  kRetransmitHandshake,
  // Armed when data arrives and nothing has been sent since. Sends a keepalive (6.5).
  kSendKeepalive,
  // Armed when data leaves and nothing has been received since. Starts a handshake (6.5).
  kNewHandshake,
  // Armed when a session is made. Wipes everything the peer's sessions left behind (6.3).
  kZeroKeyMaterial,
  // Armed whenever anything authenticated passes, if the peer has an interval. Sends a keepalive.
  kPersistentKeepalive,
  kCount,
};

class PeerTimers {
 public:
  PeerTimers() { deadlines_.fill(kNever); }
  void arm(Timer timer, Nanoseconds at_ns) { slot(timer) = at_ns; }
  void disarm(Timer timer) { slot(timer) = kNever; }
  [[nodiscard]] bool armed(Timer timer) const { return deadline_ns(timer) != kNever; }
  [[nodiscard]] Nanoseconds deadline_ns(Timer timer) const {
    return deadlines_[static_cast<size_t>(timer)];
  }
  [[nodiscard]] Nanoseconds earliest_ns() const {
    return *std::min_element(deadlines_.begin(), deadlines_.end());
  }
  // Disarms and returns true where it is due.
  bool take_if_due(Timer timer, Nanoseconds now_ns) {
    if (deadline_ns(timer) > now_ns) return false;
    disarm(timer);
    return true;
  }

 private:
  Nanoseconds& slot(Timer timer) { return deadlines_[static_cast<size_t>(timer)]; }
  std::array<Nanoseconds, static_cast<size_t>(Timer::kCount)> deadlines_;
};

}  // namespace penstock::wireguard

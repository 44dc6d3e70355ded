// Who tries to reach us and cannot: initiations whose static key no peer has, or that were made
// with another public key than ours. So that an operator who mistyped a key is told of it; an
// attacker who sends many gains a line a second.
//
// Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "controlplane/wireguard/configuration.h"
#include "gateway/base/clock.h"

namespace penstock::wireguard {

class Strangers {
 public:
  static constexpr size_t kRemembered = 16;                    // the least recent one makes room
  static constexpr Nanoseconds kRepeatAfterNs = 60 * kSecond;  // the same one is told again
  static constexpr Nanoseconds kTellEveryNs = kSecond;         // whoever they are

  // `key`: what it authenticates with; zeros: it does not have our public key. True: tell the
  // operator.
  bool note(Nanoseconds boot_ns, Nanoseconds wall_ns, const PublicKey& key, const Endpoint& source);
  // A peer with this key exists now.
  void forget(const PublicKey& key);

  [[nodiscard]] const std::vector<StrangerStatus>& list() const { return known_; }

 private:
  std::vector<StrangerStatus> known_;
  std::vector<Nanoseconds> told_at_ns_;  // of each, boot time
  Nanoseconds last_told_ns_ = -kTellEveryNs;
};

}  // namespace penstock::wireguard

#include "controlplane/wireguard/strangers.h"

#include <algorithm>

namespace penstock::wireguard {

bool Strangers::note(Nanoseconds boot_ns, Nanoseconds wall_ns, const PublicKey& key,
                     const Endpoint& source) {
  // Without a key the address tells them apart: the port changes with every try.
  const auto is_it = [&](const StrangerStatus& one) {
    return one.public_key == key && (key != PublicKey{} || one.endpoint.address == source.address);
  };
  auto found = std::find_if(known_.begin(), known_.end(), is_it);
  if (found == known_.end() && known_.size() < kRemembered) {
    found = known_.insert(known_.end(), StrangerStatus{});
    told_at_ns_.push_back(boot_ns - kRepeatAfterNs);
  } else if (found == known_.end()) {
    found = std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
      return a.last_wall_ns < b.last_wall_ns;
    });
    *found = StrangerStatus{};
    told_at_ns_[static_cast<size_t>(found - known_.begin())] = boot_ns - kRepeatAfterNs;
  }
  found->public_key = key;
  found->endpoint = source;
  found->last_wall_ns = wall_ns;
  ++found->attempts;

  Nanoseconds& told_at_ns = told_at_ns_[static_cast<size_t>(found - known_.begin())];
  if (boot_ns - told_at_ns < kRepeatAfterNs || boot_ns - last_told_ns_ < kTellEveryNs) return false;
  told_at_ns = last_told_ns_ = boot_ns;
  return true;
}

void Strangers::forget(const PublicKey& key) {
  for (size_t i = known_.size(); i-- > 0;) {
    if (known_[i].public_key != key) continue;
    known_.erase(known_.begin() + static_cast<ptrdiff_t>(i));
    told_at_ns_.erase(told_at_ns_.begin() + static_cast<ptrdiff_t>(i));
  }
}

}  // namespace penstock::wireguard

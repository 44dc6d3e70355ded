#include "controlplane/driver/dataplane_poller.h"

namespace penstock {
namespace {

constexpr size_t kPuntsPerTurn = 256;
// WireGuard's timers that follow data count in seconds.
constexpr Nanoseconds kActivityInterval = 100 * kMillisecond;

}  // namespace

bool DataplanePoller::turn(Nanoseconds boot_ns) {
  const size_t punts = dataplane_.poll_punts(kPuntsPerTurn, on_punt_);
  const bool activity = boot_ns >= next_activity_ns_;
  if (activity) next_activity_ns_ = boot_ns + kActivityInterval;
  // Activity alone is no reason to hurry: on a busy gateway there is always some.
  const size_t events = dataplane_.poll_events(activity, on_events_);
  dataplane_.poll_reclaim();
  return punts > 0 || (events > 0 && !activity);
}

}  // namespace penstock

// Fetches what the workers have to say: punted packets, tunnel events, the ends of grace periods.
//
// Control thread only.
#pragma once

#include <functional>

#include "controlplane/driver/event_loop.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

class DataplanePoller final : public PolledService {
 public:
  using PuntHandler = std::function<void(const PuntedPacket&)>;
  using EventHandler = std::function<void(const TunnelEvents&)>;

  DataplanePoller(Dataplane& dataplane, PuntHandler on_punt, EventHandler on_events)
      : dataplane_(dataplane), on_punt_(std::move(on_punt)), on_events_(std::move(on_events)) {}

  bool turn(Nanoseconds boot_ns) override;
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return kNever; }

 private:
  Dataplane& dataplane_;
  const PuntHandler on_punt_;
  const EventHandler on_events_;
  Nanoseconds next_activity_ns_ = 0;
};

}  // namespace penstock

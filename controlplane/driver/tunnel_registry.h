// Whose each tunnel of the dataplane is, whatever its protocol: what the workers report about a
// tunnel goes to the one who made it.
//
// Control thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/api/punt.h"
#include "dataplane/api/tunnel.h"

namespace penstock {

// Who makes tunnels. `place` is what it has named the tunnel by.
class TunnelUser {
 public:
  virtual ~TunnelUser() = default;
  virtual void on_need_session(uint64_t place, Bytes inner_packet) = 0;
  virtual void on_events(uint64_t place, const TunnelEvents& events) = 0;
};

class TunnelRegistry {
 public:
  void set(TunnelId tunnel, TunnelUser& user, uint64_t place) {
    if (tunnel.value >= owners_.size()) owners_.resize(tunnel.value + size_t{1});
    owners_[tunnel.value] = {&user, place};
  }
  void clear(TunnelId tunnel) {
    if (tunnel.value < owners_.size()) owners_[tunnel.value] = {};
  }

  // A punt of kind kNeedSession. False: nobody has the tunnel any more.
  [[nodiscard]] bool need_session(const PuntedPacket& packet) const {
    const Owner owner = find(packet.tunnel);
    if (owner.user != nullptr) owner.user->on_need_session(owner.place, packet.bytes);
    return owner.user != nullptr;
  }
  void events(const TunnelEvents& events) const {
    const Owner owner = find(events.tunnel);
    if (owner.user != nullptr) owner.user->on_events(owner.place, events);
  }

 private:
  struct Owner {
    TunnelUser* user = nullptr;
    uint64_t place = 0;
  };
  [[nodiscard]] Owner find(TunnelId tunnel) const {
    return tunnel.value < owners_.size() ? owners_[tunnel.value] : Owner{};
  }
  std::vector<Owner> owners_;  // by TunnelId
};

}  // namespace penstock

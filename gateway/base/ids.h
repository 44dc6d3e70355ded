// Small typed numbers, so that a port is not a worker.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace penstock {

template <class Tag>
struct Id {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t value = kNone;
  [[nodiscard]] constexpr bool valid() const { return value != kNone; }
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
};

using PortId = Id<struct PortTag>;            // a gateway port, in the order of the configuration
using WorkerId = Id<struct WorkerTag>;        // a polling worker, from 0
using InterfaceId = Id<struct InterfaceTag>;  // a tunnel interface such as wg0
using TunnelId = Id<struct TunnelTag>;        // a slot in the tunnel table: one peer

}  // namespace penstock

template <class Tag>
struct std::hash<penstock::Id<Tag>> {
  size_t operator()(const penstock::Id<Tag>& id) const noexcept {
    return std::hash<uint32_t>{}(id.value);
  }
};

#include "controlplane/driver/neighbour_driver.h"

#include <algorithm>

#include "dataplane/wire/icmp_build.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

constexpr size_t kEffectsPerTurn = 1024;
constexpr uint8_t kLinkLocalLength = 64;  // RFC 4291 2.5.6

}  // namespace

Result<std::vector<InterfaceAddress>> NeighbourDriver::add_port(neighbour::PortSetup setup,
                                                                bool proxies) {
  const bool has_v6 = std::any_of(setup.addresses.begin(), setup.addresses.end(),
                                  [](const auto& one) { return one.address.is_v6(); });
  const bool has_link_local = std::any_of(
      setup.addresses.begin(), setup.addresses.end(),
      [](const auto& one) { return one.address.is_v6() && one.address.is_link_local(); });
  // Neighbour discovery speaks from a link-local address (RFC 4861 7.2.2).
  if (has_v6 && !has_link_local) {
    setup.addresses.push_back({neighbour::link_local_of(setup.mac), kLinkLocalLength});
  }
  PENSTOCK_CHECK(resolver_.set_port(boot_time_ns(), setup));
  ports_.push_back({setup.id, setup.addresses, proxies});
  return setup.addresses;
}

void NeighbourDriver::on_link(PortId port, bool up) { resolver_.on_link(boot_time_ns(), port, up); }

void NeighbourDriver::on_punt(const PuntedPacket& packet) {
  const Nanoseconds now = boot_time_ns();
  switch (packet.kind) {
    case PuntKind::kArp:
      resolver_.on_arp(now, packet.port, packet.source_mac, packet.bytes);
      break;
    case PuntKind::kNeighbourDiscovery:
      resolver_.on_nd(now, packet.port, packet.source_mac, packet.bytes);
      break;
    case PuntKind::kNeedNeighbour:
      resolver_.on_need(now, packet.port, packet.next_hop, packet.bytes);
      break;
    case PuntKind::kHandshake:
    case PuntKind::kNeedSession:
    case PuntKind::kIke:
    case PuntKind::kUnknownSpi:
      break;
  }
}

void NeighbourDriver::set_proxy(const IpAddress& address, bool on) {
  for (const Port& port : ports_) {
    const bool on_link =
        std::any_of(port.addresses.begin(), port.addresses.end(), [&](const InterfaceAddress& own) {
          return !own.address.is_link_local() && own.network().contains(address) &&
                 own.address != address;
        });
    if (!port.proxies || !on_link) continue;
    if (on) {
      resolver_.add_proxy(port.id, address);
    } else {
      resolver_.remove_proxy(port.id, address);
    }
  }
}

std::vector<NeighbourStatus> NeighbourDriver::status() const {
  std::vector<NeighbourStatus> all;
  for (const neighbour::NeighbourState& state : resolver_.list(boot_time_ns())) {
    all.push_back({state.neighbour, std::string(neighbour::text_of(state.state)),
                   static_cast<uint64_t>(state.age_ns / kSecond), state.queued_packets});
  }
  return all;
}

bool NeighbourDriver::turn(Nanoseconds boot_ns) {
  if (resolver_.next_timeout() <= boot_ns) resolver_.on_timeout(boot_ns);
  for (size_t i = 0; i < kEffectsPerTurn; ++i) {
    std::optional<neighbour::Effect> effect = resolver_.poll();
    if (!effect) return false;
    std::visit([this](auto& one) { carry_out(one); }, *effect);
  }
  return true;
}

void NeighbourDriver::carry_out(neighbour::SendFrame& effect) {
  (void)dataplane_.send_frame(effect.port, effect.destination, effect.ether_type, effect.payload);
}

void NeighbourDriver::carry_out(neighbour::SetNeighbour& effect) {
  const Status set = dataplane_.set_neighbour(effect.port, effect.address, effect.mac);
  if (set.ok()) return;
  if (log_limit_.allow(boot_time_ns())) {
    log_error("neighbour %s: %s", effect.address.to_string().c_str(), set.error().text.c_str());
  }
  resolver_.on_refused(boot_time_ns(), effect.port, effect.address);
}

void NeighbourDriver::carry_out(neighbour::RemoveNeighbour& effect) {
  dataplane_.remove_neighbour(effect.port, effect.address);
}

void NeighbourDriver::carry_out(neighbour::SendIp& effect) {
  (void)dataplane_.send_ip(effect.packet);
}

// The packet's sender learns that it waited in vain (RFC 1812 5.2.7.1, RFC 4861 7.2.2).
void NeighbourDriver::carry_out(neighbour::UnreachableIcmp& effect) {
  if (effect.packet.empty()) return;
  const bool v4 = effect.packet[0] >> 4 == 4;
  for (const Port& port : ports_) {
    if (port.id != effect.port) continue;
    for (const InterfaceAddress& from : port.addresses) {
      if (from.address.is_v4() != v4 || from.address.is_link_local()) continue;
      uint8_t buffer[kMaxIcmpv6ErrorBytes];
      Writer out{buffer};
      if (write_icmp_error(effect.packet, from.address, IcmpError::kHostUnreachable, 0, out)) {
        (void)dataplane_.send_ip(out.written());
      }
      return;
    }
  }
}

void NeighbourDriver::carry_out(neighbour::CountDrop& effect) {
  dataplane_.count_drop(effect.reason, effect.packets);
}

void NeighbourDriver::carry_out(neighbour::Notify& effect) {
  if (!log_limit_.allow(boot_time_ns())) return;
  using Kind = neighbour::Notify::Kind;
  const std::string address = effect.address.to_string();
  const std::string mac = effect.mac.to_string();
  switch (effect.kind) {
    case Kind::kDuplicateAddress:
      log_error("%s uses our address %s", mac.c_str(), address.c_str());
      break;
    case Kind::kMacChanged:
      log_notice("neighbour %s has moved to %s", address.c_str(), mac.c_str());
      break;
    case Kind::kTableFull:
      log_warning("neighbour table is full: an entry in use made room for %s", address.c_str());
      break;
  }
}

}  // namespace penstock

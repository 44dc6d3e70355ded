#include "controlplane/driver/wireguard_interface.h"

#include <cerrno>
#include <utility>

#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

using wireguard::DeviceChange;
using wireguard::DeviceStatus;
using wireguard::Now;
using wireguard::PeerId;

constexpr uint16_t kFirstDynamicPort = 49152;  // RFC 6335, section 6
constexpr unsigned kPortAttempts = 64;

Now now() { return {boot_time_ns(), wall_time_ns()}; }

PeerId peer_at(uint64_t place) {
  return {static_cast<uint32_t>(place >> 32), static_cast<uint32_t>(place)};
}

wireguard::Device::Options device_options(const WireguardContext& context,
                                          const WireguardOptions& options) {
  wireguard::Device::Options made;
  made.limits = options.limits;
  made.timers = options.timers;
  made.timestamp_floor_ns = context.timestamps.floor_ns();
  return made;
}

}  // namespace

WireguardInterface::WireguardInterface(WireguardContext& context, const WireguardOptions& options)
    : context_(context),
      options_(options),
      device_(context.random, *this, device_options(context, options)),
      self_(std::make_shared<WireguardInterface*>(this)) {}

Result<std::unique_ptr<WireguardInterface>> WireguardInterface::create(
    WireguardContext& context, const WireguardOptions& options, const DeviceChange& configuration) {
  std::unique_ptr<WireguardInterface> interface(new WireguardInterface(context, options));
  PENSTOCK_CHECK(interface->open(configuration));
  return interface;
}

Status WireguardInterface::open(const DeviceChange& configuration) {
  const uint16_t wanted = configuration.listen_port.value_or(options_.spec.listen_port);
  // A free port is found by trying: the dataplane refuses one that another interface has.
  for (unsigned attempt = 0; !id_.valid(); ++attempt) {
    InterfaceSpec spec = options_.spec;
    spec.listen_port = wanted;
    if (wanted == 0) {
      spec.listen_port = static_cast<uint16_t>(
          kFirstDynamicPort + context_.random.below(UINT16_MAX - kFirstDynamicPort));
    }
    auto added = context_.dataplane.add_interface(spec);
    if (added.ok()) {
      id_ = *added;
      options_.spec = spec;
    } else if (wanted != 0 || attempt >= kPortAttempts) {
      return errorf("%s: %s", name().c_str(), added.error().text.c_str());
    }
  }
  for (const InterfaceAddress& address : options_.addresses) {
    PENSTOCK_CHECK(context_.routes.add_interface_address(id_, name(), address));
  }
  DeviceChange first = configuration;
  first.listen_port = options_.spec.listen_port;
  if (!fits(first)) {
    return errorf("%s: more peers than max_tunnels (%u)", name().c_str(), context_.max_tunnels);
  }
  if (const Status applied = commit(first); !applied.ok()) {
    return errorf("%s: %s", name().c_str(), applied.error().text.c_str());
  }
  turn(now(), SIZE_MAX);
  return {};
}

WireguardInterface::~WireguardInterface() {
  // What is left in the dataplane goes with it: it ends with, or before, its interfaces.
  for (const Peer& peer : peers_) {
    if (peer.tunnel.valid()) context_.tunnels.clear(peer.tunnel);
  }
}

// --- configuration -------------------------------------------------------------------------------

bool WireguardInterface::fits(const DeviceChange& change) const {
  size_t count = context_.tunnel_count - (change.replace_peers ? device_.peer_count() : 0);
  for (const auto& peer : change.peers) {
    if (peer.remove || peer.update_only) continue;
    if (change.replace_peers || !device_.find_peer(peer.public_key)) ++count;
  }
  return count <= context_.max_tunnels;
}

// Counts at once, not when the effects are carried out: the next change may come before.
Status WireguardInterface::commit(const DeviceChange& change) {
  const size_t before = device_.peer_count();
  const Status applied = device_.apply(now(), change);
  context_.tunnel_count = context_.tunnel_count - before + device_.peer_count();
  return applied;
}

Result<uint16_t> WireguardInterface::claim_port(uint16_t port) {
  InterfaceSpec spec = options_.spec;
  if (port != 0) {
    spec.listen_port = port;
    PENSTOCK_CHECK(context_.dataplane.update_interface(id_, spec));
    return port;
  }
  for (unsigned attempt = 0; attempt < kPortAttempts; ++attempt) {
    spec.listen_port = static_cast<uint16_t>(kFirstDynamicPort +
                                             context_.random.below(UINT16_MAX - kFirstDynamicPort));
    if (context_.dataplane.update_interface(id_, spec).ok()) return spec.listen_port;
  }
  return errorf("no free UDP port");
}

Result<void, ChangeError> WireguardInterface::apply(const DeviceChange& change) {
  if (!fits(change)) {
    return ChangeError{
        ENOSPC,
        errorf("%s: more peers than max_tunnels (%u)", name().c_str(), context_.max_tunnels).text};
  }
  const uint16_t before = device_.listen_port();
  uint16_t port = before;
  if (change.listen_port && (*change.listen_port != before || before == 0)) {
    const auto claimed = claim_port(*change.listen_port);
    if (!claimed.ok()) return ChangeError{EADDRINUSE, claimed.error().text};
    port = *claimed;
  }
  DeviceChange chosen = change;
  if (chosen.listen_port) chosen.listen_port = port;
  if (const Status applied = commit(chosen); !applied.ok()) {
    // The old port was ours a moment ago, so it is free.
    if (port != before) (void)claim_port(before);
    return ChangeError{ENOSPC, applied.error().text};
  }
  options_.spec.listen_port = port;
  return {};
}

DeviceStatus WireguardInterface::status() const {
  DeviceStatus status = device_.status(now());
  const std::vector<PeerId> ids = device_.peer_ids();
  for (size_t i = 0; i < ids.size() && i < status.peers.size(); ++i) {
    if (ids[i].slot >= peers_.size()) continue;
    const Peer& peer = peers_[ids[i].slot];
    if (peer.generation != ids[i].generation || !peer.tunnel.valid()) continue;
    const TunnelCounters counters = context_.dataplane.tunnel_counters(peer.tunnel);
    status.peers[i].rx_bytes = counters.rx_bytes;
    status.peers[i].tx_bytes = counters.tx_bytes;
  }
  return status;
}

// --- what the workers report ---------------------------------------------------------------------

void WireguardInterface::on_handshake(const PuntedPacket& packet) {
  device_.on_datagram(now(), packet.source, packet.destination, packet.worker, packet.bytes);
}

void WireguardInterface::on_need_session(uint64_t place, Bytes inner_packet) {
  device_.on_need_session(now(), peer_at(place), inner_packet);
}

void WireguardInterface::on_events(uint64_t place, const TunnelEvents& events) {
  device_.on_events(now(), peer_at(place), events.flags, events.inbound_index, events.roamed_source,
                    events.roamed_destination);
}

bool WireguardInterface::turn(const Now& time, size_t budget) {
  if (device_.next_timeout() <= time.boot_ns) device_.on_timeout(time);
  if (!waiting_.empty()) submit_waiting();
  for (size_t i = 0; i < budget; ++i) {
    std::optional<wireguard::Effect> effect = std::exchange(held_, std::nullopt);
    if (!effect) effect = device_.poll();
    if (!effect) return false;
    if (const auto* const added = std::get_if<wireguard::PeerAdded>(&*effect);
        added != nullptr && !make_tunnel(*added)) {
      held_ = std::move(effect);
      return true;
    }
    std::visit([this](auto& one) { carry_out(one); }, *effect);
  }
  return true;
}

Nanoseconds WireguardInterface::next_timeout() const { return device_.next_timeout(); }

Result<uint32_t> WireguardInterface::reserve() {
  return context_.dataplane.reserve_inbound_index();
}
void WireguardInterface::release(uint32_t index) {
  context_.dataplane.release_inbound_index(index);
}

// --- peers ---------------------------------------------------------------------------------------

WireguardInterface::Peer* WireguardInterface::find(PeerId peer) {
  if (peer.slot >= peers_.size() || peers_[peer.slot].generation != peer.generation) return nullptr;
  return &peers_[peer.slot];
}

TunnelId WireguardInterface::tunnel_of(PeerId peer) {
  const Peer* found = find(peer);
  return found == nullptr ? TunnelId{} : found->tunnel;
}

std::string WireguardInterface::text_of_peer(PeerId peer) {
  const Peer* found = find(peer);
  return name() + ": peer " + (found == nullptr ? "(removed)" : to_base64(found->public_key));
}

}  // namespace penstock

#include "controlplane/driver/ike_gateway.h"

#include <algorithm>

#include "controlplane/ike/crypto/self_test.h"
#include "gateway/base/byte_order.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

// Effects per turn; between turns sockets and punts are served.
constexpr size_t kEffectsPerTurn = 2048;
constexpr uint32_t kLimitEvents = kEventSoftLimit | kEventHardLimit | kEventNearLimit;

}  // namespace

IkeGateway::IkeGateway(const IkeContext& context, const IkeGatewayOptions& options)
    : context_(context),
      options_(options),
      engine_(context.random, *this, options.engine),
      installer_(context.dataplane, context.tunnels, *this),
      self_(std::make_shared<IkeGateway*>(this)) {}

Result<std::unique_ptr<IkeGateway>> IkeGateway::create(const IkeContext& context,
                                                       const IkeGatewayOptions& options) {
  // What a library lacks or gets wrong must not be found by a peer.
  if (const Status tested = ike::crypto_self_test(); !tested.ok()) {
    return errorf("ipsec: self-test: %s", tested.error().text.c_str());
  }
  std::unique_ptr<IkeGateway> gateway(new IkeGateway(context, options));
  PENSTOCK_CHECK(gateway->open());
  return gateway;
}

Status IkeGateway::open() {
  for (const IkeInterfaceOptions& one : options_.interfaces) {
    const auto id = context_.dataplane.add_interface(one.spec);
    if (!id.ok()) return errorf("%s: %s", one.spec.name.c_str(), id.error().text.c_str());
    interfaces_.push_back({one, *id});
    installer_.add_interface(one.if_id, *id, one.dscp);
    for (const InterfaceAddress& address : one.addresses) {
      PENSTOCK_CHECK(context_.routes.add_interface_address(*id, one.spec.name, address));
    }
  }
  engine_.set_credentials(credentials_.snapshot());
  context_.dataplane.listen_ike(true);
  return {};
}

IkeGateway::~IkeGateway() { context_.dataplane.listen_ike(false); }

const IkeGateway::Interface* IkeGateway::find(std::string_view name) const {
  for (const Interface& one : interfaces_) {
    if (one.options.spec.name == name) return &one;
  }
  return nullptr;
}

bool IkeGateway::say_goodbye(Nanoseconds limit_ns) {
  if (engine_.totals().ike_sas == 0) return false;
  engine_.terminate(now(), 0, {}, true, limit_ns);
  engine_changed();
  return true;
}

// --- what the workers report ---------------------------------------------------------------------

void IkeGateway::on_punt(const PuntedPacket& packet) {
  if (packet.kind == PuntKind::kIke) {
    engine_.on_datagram(now(), packet.source, packet.destination, packet.worker, packet.bytes);
  } else if (packet.bytes.size() >= sizeof(Be32)) {
    const uint32_t spi = header_at<Be32>(packet.bytes)->get();
    engine_.on_unknown_spi(now(), packet.source, packet.destination, spi);
  }
}

void IkeGateway::on_need_session(uint64_t place, Bytes inner_packet) {
  engine_.on_acquire(now(), static_cast<ike::ChildTunnel>(place), inner_packet);
}

void IkeGateway::on_events(uint64_t place, const TunnelEvents& events) {
  const auto tunnel = static_cast<ike::ChildTunnel>(place);
  const uint32_t limits = events.flags & kLimitEvents;
  const uint32_t others = events.flags & ~kLimitEvents;
  if (others != 0) {
    engine_.on_tunnel_events(now(), tunnel, others, events.inbound_index, events.roamed_source,
                             events.roamed_destination);
  }
  if (limits != 0) {
    // Of which pair: a limit of its outbound SA names that one only.
    const uint32_t spi = events.limit_outbound.valid()
                             ? installer_.inbound_spi_of(events.limit_outbound)
                             : events.limit_inbound_index;
    engine_.on_tunnel_events(now(), tunnel, limits, spi, {}, {});
  }
}

bool IkeGateway::turn(Nanoseconds boot_ns) {
  changed_ = false;
  if (engine_.next_timeout() <= boot_ns) engine_.on_timeout(now());
  if (!waiting_.empty()) submit_waiting();
  for (size_t i = 0; i < kEffectsPerTurn; ++i) {
    std::optional<ike::Effect> effect = engine_.poll();
    if (!effect) return changed_;
    std::visit([this](auto& one) { carry_out(one); }, *effect);
  }
  return true;
}

Nanoseconds IkeGateway::next_deadline_ns() const { return changed_ ? 0 : engine_.next_timeout(); }

// --- ike::Host -----------------------------------------------------------------------------------

Result<uint32_t> IkeGateway::reserve_spi() { return context_.dataplane.reserve_inbound_index(); }

void IkeGateway::release_spi(uint32_t spi) { context_.dataplane.release_inbound_index(spi); }

std::optional<IpAddress> IkeGateway::source_address_for(const IpAddress& remote) const {
  return context_.dataplane.source_address_for(remote);
}

std::vector<IpAddress> IkeGateway::local_addresses() const { return options_.local_addresses; }

// --- vici::GatewayHooks --------------------------------------------------------------------------

ike::Now IkeGateway::now() const { return {boot_time_ns(), wall_time_ns()}; }

std::optional<vici::ChildTraffic> IkeGateway::child_traffic(ike::ChildTunnel,
                                                            uint32_t inbound_spi) const {
  const auto outbound = installer_.outbound_of(inbound_spi);
  if (!outbound) return std::nullopt;
  const SaCounters in = context_.dataplane.inbound_sa_counters(inbound_spi);
  const SaCounters out = context_.dataplane.outbound_sa_counters(*outbound);
  vici::ChildTraffic traffic;
  traffic.inbound = {in.packets, in.bytes, in.last_used_ns};
  traffic.outbound = {out.packets, out.bytes, out.last_used_ns};
  return traffic;
}

}  // namespace penstock

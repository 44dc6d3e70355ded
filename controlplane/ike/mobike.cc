// Addresses that change: MOBIKE (RFC 4555), and without it the NAT rule of RFC 7296 2.23. Only what
// has authenticated and is not a replay moves anything.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

constexpr size_t kPeerAddressesMax = 8;

// NO_NATS_ALLOWED (RFC 4555 4.2.6): the addresses and ports as the initiator sees them.
bool names(Bytes data, const Arrival& arrival) {
  ByteVector expected = to_vector(arrival.source.address.bytes());
  const Bytes destination = arrival.destination.address.bytes();
  expected.insert(expected.end(), destination.begin(), destination.end());
  for (const uint16_t port : {arrival.source.port, arrival.destination.port}) {
    expected.push_back(static_cast<uint8_t>(port >> 8));
    expected.push_back(static_cast<uint8_t>(port));
  }
  return equal_bytes(data, expected);
}

}  // namespace

bool Engine::Core::encapsulates(const IkeSa& sa) const {
  return sa.nat_local || sa.nat_remote || sa.nat_faked || sa.config->encap;
}

void Engine::Core::update_endpoints(IkeSa& sa) {
  std::vector<ChildTunnel> tunnels;
  for (const auto& child : sa.children) {
    if (child->unused || std::count(tunnels.begin(), tunnels.end(), child->tunnel) != 0) continue;
    tunnels.push_back(child->tunnel);
    const auto line = lines_.find(child->tunnel);
    if (line != lines_.end()) set_endpoint(sa, line->second);
  }
  for (const HeldLease& lease : sa.leases) {
    const auto pool = pools_.find(lease.pool);
    if (pool != pools_.end()) pool->second->move(lease.address, sa.remote);
  }
}

void Engine::Core::move_to(IkeSa& sa, const Endpoint& local, const Endpoint& remote) {
  log(&sa, LogLevel::kNotice, Reason::kNatMapping,
      "IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) + "] moves from " +
          sa.remote.to_string() + " to " + remote.to_string());
  sa.local = local;
  sa.remote = remote;
  update_endpoints(sa);
  arm_liveness(sa);
}

// RFC 7296 2.23: without MOBIKE the peer is where its last message came from, unless we are the one
// behind the NAT.
void Engine::Core::follow(IkeSa& sa, const Arrival& arrival) {
  if (sa.phase != Phase::kEstablished || sa.mobike || sa.nat_local) return;
  if (arrival.source == sa.remote && arrival.destination.address == sa.local.address) return;
  if (arrival.source.address.family() != arrival.destination.address.family()) return;
  move_to(sa, arrival.destination, arrival.source);
}

// The same for ESP, with the newest sequence number (the dataplane's part).
void Engine::Core::on_roamed(IkeSa& sa, const Endpoint& source, const IpAddress& destination) {
  if (sa.phase != Phase::kEstablished || sa.mobike || sa.nat_local) return;
  Endpoint remote = source;
  if (!encapsulates(sa)) remote.port = sa.remote.port;  // protocol 50 has none
  if (remote == sa.remote && destination == sa.local.address) return;
  move_to(sa, Endpoint{destination, sa.local.port}, remote);
}

// --> N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_...), [N(NO_NATS_ALLOWED),] [N(COOKIE2)]
void Engine::Core::on_update_addresses(IkeSa& sa, const Arrival& arrival, const Payloads& payloads,
                                       ChainBuilder& answer) {
  // RFC 4555 3.5: the original initiator alone decides on addresses.
  if (!sa.mobike || sa.original_initiator) return;
  if (const NotifyPayload* const no_nats = payloads.find(NotifyType::kNoNatsAllowed)) {
    if (!names(no_nats->data, arrival)) {
      answer.notify(NotifyType::kUnexpectedNatDetected);
      return;
    }
  }
  (void)detect_nat(sa, payloads, arrival, sa.spi_initiator, sa.spi_responder);
  move_to(sa, arrival.destination, arrival.source);
  add_nat_detection(answer, sa.spi_initiator, sa.spi_responder, sa.local, sa.remote,
                    sa.config->encap);
}

void Engine::Core::take_additional_addresses(IkeSa& sa, const Payloads& payloads) {
  bool any = payloads.has(NotifyType::kNoAdditionalAddresses);
  std::vector<IpAddress> addresses;
  for (const NotifyPayload& notify : payloads.notifies) {
    Reader reader(notify.data);
    std::optional<IpAddress> address;
    if (notify.type == NotifyType::kAdditionalIp4Address && notify.data.size() == 4) {
      address = Ipv4Address{reader.array<4>()};
    } else if (notify.type == NotifyType::kAdditionalIp6Address && notify.data.size() == 16) {
      address = Ipv6Address{reader.array<16>()};
    }
    if (!address) continue;
    any = true;
    if (addresses.size() < kPeerAddressesMax) addresses.push_back(*address);
  }
  if (any) sa.peer_addresses = std::move(addresses);
}

void Engine::Core::add_additional_addresses(const IkeSa& sa, ChainBuilder& chain) const {
  size_t added = 0;
  for (const IpAddress& address : host_.local_addresses()) {
    if (address == sa.local.address || address.is_loopback() || added == kPeerAddressesMax)
      continue;
    ++added;
    chain.notify(
        address.is_v4() ? NotifyType::kAdditionalIp4Address : NotifyType::kAdditionalIp6Address,
        address.bytes());
  }
  if (added == 0) chain.notify(NotifyType::kNoAdditionalAddresses);
}

// --- we move -------------------------------------------------------------------------------------

// Where this IKE SA should be sent from and to now; nullopt: nowhere.
std::optional<std::pair<IpAddress, IpAddress>> Engine::Core::best_path(const IkeSa& sa) const {
  if (const auto local = host_.source_address_for(sa.remote.address)) {
    return std::pair(*local, sa.remote.address);
  }
  if (!sa.mobike) return std::nullopt;
  for (const IpAddress& remote : sa.peer_addresses) {
    if (const auto local = host_.source_address_for(remote)) return std::pair(*local, remote);
  }
  return std::nullopt;
}

void Engine::Core::on_addresses_changed(const Now& now) {
  now_ = now;
  std::vector<uint32_t> ids;
  for (const auto& [id, slot] : by_unique_id_) ids.push_back(id);
  for (const uint32_t id : ids) {
    IkeSa* const sa = find_sa(id);
    if (sa == nullptr || sa->phase != Phase::kEstablished || !sa->original_initiator) continue;
    const auto path = best_path(*sa);
    if (!path || (path->first == sa->local.address && path->second == sa->remote.address)) {
      continue;
    }
    sa->local.address = path->first;
    sa->remote.address = path->second;
    announce_move(*sa);
  }
}

// The new path is in `local` and `remote` already: retransmissions take it at once.
void Engine::Core::announce_move(IkeSa& sa) {
  Task task;
  task.kind = sa.mobike ? TaskKind::kMoveAddress : TaskKind::kProbe;
  if (!sa.mobike) update_endpoints(sa);  // the peer follows what authenticates (2.23)
  if (sa.exchange != nullptr && sa.exchange->task.kind == TaskKind::kMoveAddress) {
    sa.move_again = true;
    if (sa.exchange->sent) transmit(sa);
    return;
  }
  if (sa.exchange != nullptr && sa.exchange->sent) transmit(sa);
  enqueue(sa, std::move(task), true);
}

void Engine::Core::start_move_address(IkeSa& sa) {
  sa.move_again = false;
  ChainBuilder chain;
  chain.notify(NotifyType::kUpdateSaAddresses);
  add_nat_detection(chain, sa.spi_initiator, sa.spi_responder, sa.local, sa.remote,
                    sa.config->encap);
  sa.exchange->cookie2.resize(16);
  random_.fill(sa.exchange->cookie2);
  chain.notify(NotifyType::kCookie2, sa.exchange->cookie2);
  send_request(sa, ExchangeType::kInformational, chain);
}

// <-- N(NAT_DETECTION_...), [N(COOKIE2)]: the children follow.
void Engine::Core::on_address_moved(IkeSa& sa, const Arrival& arrival, const Payloads& payloads) {
  if (sa.move_again) {
    sa.move_again = false;
    Task task;
    task.kind = TaskKind::kMoveAddress;
    sa.queue.push_front(std::move(task));
    return;
  }
  if (payloads.has(NotifyType::kUnexpectedNatDetected) ||
      payloads.has(NotifyType::kUnacceptableAddresses)) {
    log(&sa, LogLevel::kWarning, Reason::kPeerNotify, "the peer does not take our new address");
    return;
  }
  (void)detect_nat(sa, payloads, arrival, sa.spi_initiator, sa.spi_responder);
  log(&sa, LogLevel::kNotice, Reason::kNatMapping,
      "IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) + "] is now at " +
          sa.local.to_string());
  update_endpoints(sa);
  arm_liveness(sa);
}

// RFC 4555 3.4: the path is dead, perhaps the peer has another address.
bool Engine::Core::try_other_address(IkeSa& sa) {
  if (!sa.mobike || !sa.original_initiator || sa.phase != Phase::kEstablished) return false;
  if (sa.address_tries >= sa.peer_addresses.size()) return false;
  ++sa.address_tries;
  const IpAddress next = sa.peer_addresses.front();
  const auto local = host_.source_address_for(next);
  sa.peer_addresses.erase(sa.peer_addresses.begin());
  sa.peer_addresses.push_back(sa.remote.address);
  if (!local) return try_other_address(sa);
  sa.remote.address = next;
  sa.local.address = *local;
  log(&sa, LogLevel::kNotice, Reason::kDead, "trying the peer's address " + next.to_string());
  sa.exchange->repeats = 0;
  announce_move(sa);
  return true;
}

}  // namespace penstock::ike

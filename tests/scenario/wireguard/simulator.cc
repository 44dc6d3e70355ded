#include "tests/scenario/wireguard/simulator.h"

#include "controlplane/crypto/x25519.h"

namespace penstock::wireguard::simulation {

PublicKey public_key_of(const Secret<32>& private_key) { return x25519_public(private_key); }

Node::Node(World& in_world, std::string node_name, uint64_t seed, Endpoint at,
           const Device::Options& options)
    : world(in_world), name(std::move(node_name)), random(seed), address(at) {
  restart(options);
}

void Node::restart(const Device::Options& options) {
  inbound_.clear();
  tunnels_.clear();
  held.clear();
  device = std::make_unique<Device>(random, indices, options);
}

Now Node::now() const { return {world.boot_ns, world.boot_ns + wall_offset_ns}; }
PeerStatus Node::status(size_t peer_number) const {
  return device->status(now()).peers.at(peer_number);
}
size_t Node::notified(Notify::Kind kind) const {
  size_t count = 0;
  for (const Notify& one : notices) count += one.kind == kind;
  return count;
}
uint64_t Node::drops(DropReason reason) const {
  const auto found = dropped.find(reason);
  return found == dropped.end() ? 0 : found->second;
}

void Node::send_data(PeerId id, ByteVector inner) {
  transmit(tunnels_.at(id.slot), std::move(inner));
  drain();
}

void Node::transmit(Tunnel& tunnel, ByteVector inner) {
  const auto sa = inbound_.find(tunnel.current);
  const auto to = endpoints.find({tunnel.id.slot, tunnel.id.generation});
  const bool usable = sa != inbound_.end() && world.boot_ns < sa->second.expires_ns;
  if (!usable || to == endpoints.end()) {
    tunnel.flags |= kEventNeedSession;
    if (!inner.empty()) device->on_need_session(now(), tunnel.id, inner);
    return;
  }
  tunnel.flags |= inner.empty() ? kEventSentKeepalive : kEventSentData;
  keepalives_sent += inner.empty();
  Packet packet;
  packet.source = address;
  packet.destination = to->second;
  packet.index = sa->second.remote_index;
  packet.key = sa->second.send_key;
  packet.inner = std::move(inner);
  world.send(std::move(packet));
}

void Node::receive(const Packet& packet) {
  if (!packet.handshake.empty()) {
    device->on_datagram(now(), packet.source, packet.destination, WorkerId{0}, packet.handshake);
    return drain();
  }
  const auto sa = inbound_.find(packet.index);
  if (sa == inbound_.end() || !(sa->second.key == packet.key) ||
      world.boot_ns >= sa->second.expires_ns) {
    ++data_lost_no_key;
    return;
  }
  Tunnel& tunnel = tunnels_.at(sa->second.peer.slot);
  tunnel.inbound_index = packet.index;
  if (sa->second.promotes) {
    sa->second.promotes = false;
    tunnel.current = packet.index;
    tunnel.flags |= kEventPromoted;
  }
  tunnel.flags |= packet.inner.empty() ? kEventReceivedKeepalive : kEventReceivedData;
  const auto expected = endpoints.find({tunnel.id.slot, tunnel.id.generation});
  if (expected == endpoints.end() || expected->second != packet.source) {
    tunnel.flags |= kEventRoamed;
    tunnel.roamed = packet.source;
  }
  if (packet.inner.empty()) {
    ++keepalives_received;
  } else {
    received.push_back(packet.inner);
  }
}

void Node::collect(bool activity) {
  constexpr uint32_t kUrgent = kEventPromoted | kEventRoamed | kEventNeedSession | kEventNearLimit;
  for (auto& [slot, tunnel] : tunnels_) {
    const uint32_t flags = tunnel.flags & (activity ? UINT32_MAX : kUrgent);
    if (flags == 0) continue;
    tunnel.flags &= ~flags;
    device->on_events(now(), tunnel.id, flags, tunnel.inbound_index, tunnel.roamed,
                      address.address);
  }
  drain();
}

void Node::timeout() {
  ++timeouts;
  device->on_timeout(now());
  drain();
}

void Node::finish_held_jobs() {
  std::vector<Compute> jobs;
  jobs.swap(held);
  for (const Compute& job : jobs) device->on_compute(now(), job.id, run_compute(job.job));
  drain();
}

void Node::drain() {
  while (auto effect = device->poll()) carry_out(std::move(*effect));
}

void Node::carry_out(Effect effect) {
  if (auto* const send = std::get_if<SendDatagram>(&effect)) {
    initiations_sent += send->payload[0] == 1;
    sent.push_back(send->payload);
    Packet packet;
    packet.source = send->local.address.is_unspecified() ? address : send->local;
    packet.destination = send->remote;
    packet.handshake = std::move(send->payload);
    world.send(std::move(packet));
  } else if (auto* const compute = std::get_if<Compute>(&effect)) {
    if (hold_jobs) {
      held.push_back(std::move(*compute));
    } else {
      device->on_compute(now(), compute->id, run_compute(compute->job));
    }
  } else if (auto* const added = std::get_if<PeerAdded>(&effect)) {
    tunnels_[added->peer.slot] = Tunnel{added->peer, 0, 0, 0, {}};
  } else if (auto* const removed = std::get_if<PeerRemoved>(&effect)) {
    tunnels_.erase(removed->peer.slot);
  } else if (auto* const to = std::get_if<SetEndpoint>(&effect)) {
    endpoints[{to->peer.slot, to->peer.generation}] = to->remote;
  } else if (auto* const install = std::get_if<InstallKeypair>(&effect)) {
    const bool responder = install->role == KeypairRole::kResponder;
    inbound_[install->local_index] =
        Inbound{install->peer, install->receive_key,  install->expires_at_ns,
                responder,     install->remote_index, install->send_key};
    if (!responder) tunnels_.at(install->peer.slot).current = install->local_index;
  } else if (auto* const remove = std::get_if<RemoveKeypair>(&effect)) {
    inbound_.erase(remove->local_index);
    indices.release(remove->local_index);
  } else if (auto* const current = std::get_if<MakeCurrent>(&effect)) {
    tunnels_.at(current->peer.slot).current = current->local_index;
  } else if (auto* const keepalive = std::get_if<SendKeepalive>(&effect)) {
    transmit(tunnels_.at(keepalive->peer.slot), {});
  } else if (auto* const staged = std::get_if<SendIntoTunnel>(&effect)) {
    transmit(tunnels_.at(staged->peer.slot), std::move(staged->inner_packet));
  } else if (auto* const drop = std::get_if<CountDrop>(&effect)) {
    dropped[drop->reason] += drop->packets;
  } else if (auto* const persist = std::get_if<PersistTimestamp>(&effect)) {
    persisted_ns = persist->floor_ns;
  } else if (auto* const notice = std::get_if<Notify>(&effect)) {
    notices.push_back(*notice);
  } else {
    effects.push_back(std::move(effect));
  }
}

Node& World::add(const std::string& name, const char* at, const Device::Options& options) {
  const uint64_t seed = seed_ * 1000 + nodes.size();
  nodes.push_back(std::make_unique<Node>(*this, name, seed, endpoint_of(at), options));
  Node& node = *nodes.back();
  DeviceChange change;
  change.private_key = private_key_of(static_cast<uint8_t>(nodes.size()));
  change.listen_port = node.address.port;
  (void)node.device->apply(node.now(), change);
  node.drain();
  return node;
}

void World::connect(Node& a, Node& b, bool b_knows_a, const Secret<32>& psk) {
  const auto add_peer = [&](Node& to, Node& other, bool with_endpoint, const char* allowed) {
    PeerChange peer;
    peer.public_key = other.device->status(other.now()).public_key;
    peer.preshared_key = psk;
    if (with_endpoint) peer.endpoint = other.address;
    peer.allowed_ips.push_back({prefix_of(allowed), false});
    DeviceChange change;
    change.peers.push_back(peer);
    (void)to.device->apply(to.now(), change);
    to.drain();
  };
  add_peer(a, b, true, "10.0.0.2/32");
  add_peer(b, a, b_knows_a, "10.0.0.1/32");
}

void World::send(Packet packet) {
  if (rewrite) rewrite(packet);
  for (const uint8_t byte : packet.handshake) trace = (trace ^ byte) * 0x100000001b3ULL;
  trace = (trace ^ static_cast<uint64_t>(boot_ns)) * 0x100000001b3ULL;
  if (filter && !filter(packet)) return;
  const unsigned copies = dice.below(100) < repeat_percent ? 2 : 1;
  for (unsigned copy = 0; copy < copies; ++copy) {
    if (dice.below(100) < loss_percent) continue;
    const Nanoseconds extra_ns =
        reorder_ns > 0 ? static_cast<Nanoseconds>(dice.u64() % static_cast<uint64_t>(reorder_ns))
                       : 0;
    in_flight_.push({boot_ns + latency_ns + extra_ns, order_++, packet});
  }
}

// Jumps to the next packet, timer or collection of events, whichever is first. Urgent events are
// collected at every step, activity ten times a second, as the driver does.
void World::run_for(Nanoseconds duration_ns) {
  const Nanoseconds end_ns = boot_ns + duration_ns;
  constexpr Nanoseconds kTickNs = 100 * kMillisecond;
  while (true) {
    Nanoseconds next_ns = (boot_ns / kTickNs + 1) * kTickNs;
    if (!in_flight_.empty()) next_ns = std::min(next_ns, in_flight_.top().at_ns);
    for (const auto& node : nodes) next_ns = std::min(next_ns, node->device->next_timeout());
    next_ns = std::max(next_ns, boot_ns);
    if (next_ns > end_ns) break;
    boot_ns = next_ns;
    while (!in_flight_.empty() && in_flight_.top().at_ns <= boot_ns) {
      const Packet packet = in_flight_.top().packet;
      in_flight_.pop();
      for (const auto& node : nodes) {
        if (node->address == packet.destination) node->receive(packet);
      }
    }
    for (const auto& node : nodes) {
      if (node->device->next_timeout() <= boot_ns) node->timeout();
      node->collect(boot_ns % kTickNs == 0);
    }
  }
  boot_ns = end_ns;
}

}  // namespace penstock::wireguard::simulation

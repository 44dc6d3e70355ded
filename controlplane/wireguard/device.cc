#include "controlplane/wireguard/device.h"

#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {

// --- Device: the public face
// -----------------------------------------------------------------------

Device::Device(RandomSource& random, IndexSource& indices, const Options& options)
    : core_(std::make_unique<Core>(random, indices, options)) {}
Device::~Device() = default;

Status Device::apply(const Now& now, const DeviceChange& change) {
  return core_->apply(now, change);
}
void Device::on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                         WorkerId worker, Bytes payload) {
  core_->on_datagram(now, source, destination, worker, payload);
}
void Device::on_events(const Now& now, PeerId peer, uint32_t flags, uint32_t inbound_index,
                       const Endpoint& roamed_source, const IpAddress& roamed_destination) {
  if (Peer* const found = core_->find(peer)) {
    core_->on_events(now, *found, flags, inbound_index, roamed_source, roamed_destination);
  }
}
void Device::on_need_session(const Now& now, PeerId peer, Bytes inner_packet) {
  if (Peer* const found = core_->find(peer)) core_->on_need_session(now, *found, inner_packet);
}
void Device::on_compute(const Now& now, ComputeId id, ComputeResult result) {
  core_->on_compute(now, id, std::move(result));
}
void Device::on_install_failed(const Now& now, PeerId peer, uint32_t local_index) {
  if (Peer* const found = core_->find(peer)) core_->on_install_failed(now, *found, local_index);
}
void Device::on_timeout(const Now& now) { core_->on_timeout(now); }
Nanoseconds Device::next_timeout() const { return core_->next_timeout(); }
std::optional<Effect> Device::poll() { return core_->poll(); }
DeviceStatus Device::status(const Now& now) const { return core_->status(now); }
std::vector<PeerId> Device::peer_ids() const {
  std::vector<PeerId> ids;
  ids.reserve(core_->peer_count);
  for (const auto& peer : core_->peers) {
    if (peer) ids.push_back(peer->id);
  }
  return ids;
}
std::optional<PeerId> Device::find_peer(const PublicKey& key) const {
  const Peer* const peer = core_->find(key);
  return peer ? std::optional(peer->id) : std::nullopt;
}
size_t Device::peer_count() const { return core_->peer_count; }
uint16_t Device::listen_port() const { return core_->listen_port; }
void Device::set_listen_port(uint16_t port) { core_->listen_port = port; }

// --- Core: what all parts share
// --------------------------------------------------------------------

Device::Core::Core(RandomSource& random, IndexSource& indices, const Options& options)
    : random_(random),
      indices_(indices),
      limits_(options.limits),
      config_(options.timers),
      hash_(random),
      by_key_(0, std::cref(hash_)),
      allowed_ips_(0, std::cref(hash_)),
      timestamp_floor_ns_(options.timestamp_floor_ns),
      timestamp_leased_ns_(options.timestamp_floor_ns),
      checker_(random, options.timers.cookie_secret_lifetime_ns),
      rate_limiter_(hash_, options.limits),
      staging_(options.limits.staged_packets_per_peer, options.limits.staged_packets) {}

Device::Core::~Core() = default;

Peer* Device::Core::find(PeerId id) {
  if (id.slot >= peers.size() || !peers[id.slot] || peers[id.slot]->id != id) return nullptr;
  return peers[id.slot].get();
}

Peer* Device::Core::find(const PublicKey& key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : peers[found->second].get();
}

Peer* Device::Core::find_index(uint32_t index) {
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? nullptr : peers[found->second].get();
}

void Device::Core::notify(Notify::Kind kind, const Peer& peer) {
  emit(Notify{kind, peer.id, peer.endpoint.value_or(Endpoint{}), {}});
}

void Device::Core::emit(Effect effect) {
  if (std::holds_alternative<SendDatagram>(effect)) ++datagrams_waiting_;
  effects_.push_back(std::move(effect));
}

// Drops in a row for one reason, as a flood makes them, are one effect.
void Device::Core::drop(DropReason reason, uint64_t packets) {
  auto* const last = effects_.empty() ? nullptr : std::get_if<CountDrop>(&effects_.back());
  if (last && last->reason == reason) {
    last->packets += packets;
  } else {
    emit(CountDrop{reason, packets});
  }
}

std::optional<Effect> Device::Core::poll() {
  if (effects_.empty()) return std::nullopt;
  Effect effect = std::move(effects_.front());
  effects_.pop_front();
  if (std::holds_alternative<SendDatagram>(effect)) --datagrams_waiting_;
  return effect;
}

ComputeId Device::Core::start(ComputeJob job, Context context) {
  const ComputeId id = next_compute_++;
  jobs_.emplace(id, std::move(context));
  emit(Compute{id, std::move(job)});
  return id;
}

void Device::Core::on_compute(const Now& now, ComputeId id, ComputeResult result) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Context context = std::move(found->second);
  jobs_.erase(found);
  dispatch(now, context, result);
  pump(now);
}

void Device::Core::dispatch(const Now& now, Context& context, ComputeResult& result) {
  // A context goes with one kind of result; anything else is a mix-up of ids and is ignored.
  if (auto* const one = std::get_if<StaticContext>(&context)) {
    if (auto* const r = std::get_if<StaticResult>(&result)) finish(*one, *r);
  } else if (auto* const two = std::get_if<InitiateContext>(&context)) {
    if (auto* const r = std::get_if<InitiateResult>(&result)) finish(now, *two, *r);
  } else if (auto* const three = std::get_if<OpenContext>(&context)) {
    if (auto* const r = std::get_if<OpenInitiationResult>(&result)) finish(now, *three, *r);
  } else if (auto* const four = std::get_if<OpenedContext>(&context)) {
    if (auto* const r = std::get_if<StaticResult>(&result)) finish(now, *four, *r);
  } else if (auto* const five = std::get_if<RespondContext>(&context)) {
    if (auto* const r = std::get_if<RespondResult>(&result)) finish(now, *five, *r);
  } else if (auto* const six = std::get_if<ConsumeContext>(&context)) {
    if (auto* const r = std::get_if<ConsumeResponseResult>(&result)) finish(now, *six, *r);
  }
}

std::string_view Device::Core::state_of(const Peer& peer, Nanoseconds now_ns) const {
  if (usable(peer, now_ns)) return "up";
  if (peer.handshake.state != HandshakeState::kIdle) return "handshaking";
  return peer.last_handshake_wall_ns != 0 ? "idle" : "never";
}

PeerStatus Device::Core::status_of(const Peer& peer, const Now& now) const {
  PeerStatus status;
  status.public_key = peer.public_key;
  status.preshared_key = peer.preshared_key;
  status.endpoint = peer.endpoint;
  status.persistent_keepalive_s = peer.persistent_keepalive_s;
  status.allowed_ips = peer.allowed_ips;
  status.last_handshake_wall_ns = peer.last_handshake_wall_ns;
  status.state = state_of(peer, now.boot_ns);
  status.last_error = peer.last_error;
  return status;
}

DeviceStatus Device::Core::status(const Now& now) const {
  DeviceStatus status;
  if (private_key_) status.private_key = *private_key_;
  status.public_key = public_key_;
  status.listen_port = listen_port;
  status.fwmark = fwmark_;
  status.peers.reserve(peer_count);
  for (const auto& peer : peers) {
    if (peer) status.peers.push_back(status_of(*peer, now));
  }
  status.strangers = strangers_.list();
  return status;
}

}  // namespace penstock::wireguard

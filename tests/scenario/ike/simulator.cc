#include "tests/scenario/ike/simulator.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "controlplane/ike/wire/message.h"

namespace penstock::ike::simulation {
namespace {

ByteVector flat(const SaKeys& keys) {
  ByteVector all = to_vector(keys.cipher_key.bytes());
  all.insert(all.end(), keys.salt.bytes().begin(), keys.salt.bytes().end());
  all.insert(all.end(), keys.auth_key.bytes().begin(), keys.auth_key.bytes().end());
  return all;
}

}  // namespace

Bytes Packet::ike() const {
  if (is_esp()) return {};
  const Bytes all = payload;
  if (source.port == kIkePort || destination.port == kIkePort) return all;
  if (all.size() < 4 || all[0] != 0 || all[1] != 0 || all[2] != 0 || all[3] != 0) return {};
  return all.subspan(4);
}

// --- node ----------------------------------------------------------------------------------------

Node::Node(World& world_, std::string name_, uint64_t seed, const std::string& address,
           const Options& options_)
    : world(world_), name(std::move(name_)), random(seed), options(options_) {
  addresses.push_back(address_of(address));
  engine = std::make_unique<Engine>(random, *this, options);
}

void Node::restart() {
  engine = std::make_unique<Engine>(random, *this, options);
  tunnels.clear();
  sas_installed.clear();
  policies.clear();
  reserved.clear();
  held.clear();
  credentials_changed();
}

Result<uint32_t> Node::reserve_spi() {
  if (spis_exhausted) return errorf("no SPI left");
  reserved.insert(next_spi_);
  return next_spi_++;
}

void Node::release_spi(uint32_t spi) {
  if (reserved.erase(spi) == 0) mistakes.insert("released an SPI that was not reserved");
}

std::optional<IpAddress> Node::source_address_for(const IpAddress& remote) const {
  for (const IpAddress& each : addresses) {
    if (each.family() == remote.family()) return each;
  }
  return std::nullopt;
}

Now Node::now() const { return {world.boot_ns, world.boot_ns + world.wall_offset_ns}; }

void Node::load(std::shared_ptr<const ConnectionConfig> connection) {
  const Status loaded = engine->load_connection(now(), std::move(connection));
  EXPECT_TRUE(loaded.ok()) << loaded.error().text;
  drain();
}

void Node::add_psk(const std::string& secret, const std::vector<std::string>& owners) {
  SharedSecret shared;
  shared.id = "psk" + std::to_string(store.shared_ids().size());
  shared.value = SecretBytes::copy_of(bytes_of(secret));
  for (const std::string& owner : owners) shared.owners.push_back(Identity::parse(owner).value());
  const Status loaded = store.load_shared(std::move(shared));
  EXPECT_TRUE(loaded.ok()) << loaded.error().text;
  credentials_changed();
}

CommandId Node::initiate(const std::string& connection, const std::string& child) {
  const CommandId id = next_command++;
  engine->initiate(now(), id, connection, child);
  drain();
  return id;
}

CommandId Node::terminate(const SaSelection& selection, bool force) {
  const CommandId id = next_command++;
  engine->terminate(now(), id, selection, force);
  drain();
  return id;
}

bool Node::send_data(const std::string& child, uint8_t mark) {
  for (auto each = tunnels.rbegin(); each != tunnels.rend(); ++each) {
    Tunnel& tunnel = each->second;
    if (tunnel.child != child || tunnel.current == 0) continue;
    const auto sa = sas_installed.find(tunnel.current);
    if (sa == sas_installed.end()) {
      mistakes.insert("the current SA is not installed");
      continue;
    }
    if (sa->second.expires_at_ns <= world.boot_ns) continue;
    Packet packet;
    packet.source = tunnel.local;
    packet.destination = tunnel.remote;
    packet.spi = sa->second.outbound_spi;
    packet.key = sa->second.outbound_key;
    packet.inner = {mark};
    tunnel.flags |= kEventSentData;
    world.send(std::move(packet));
    return true;
  }
  return false;
}

void Node::acquire(const std::string& child, Bytes packet) {
  for (const auto& [id, tunnel] : tunnels) {
    if (tunnel.child == child && tunnel.current == 0) {
      engine->on_acquire(now(), id, packet);
      drain();
      return;
    }
  }
  ADD_FAILURE() << "no trap of " << child;
}

void Node::raise(const std::string& child, uint32_t flags) {
  for (const auto& [id, tunnel] : tunnels) {
    if (tunnel.child != child || tunnel.current == 0) continue;
    engine->on_tunnel_events(now(), id, flags, tunnel.current, {}, {});
    drain();
    return;
  }
  ADD_FAILURE() << "no tunnel of " << child;
}

void Node::receive(const Packet& packet) {
  if (packet.is_esp()) {
    const auto sa = sas_installed.find(packet.spi);
    if (sa == sas_installed.end() || sa->second.inbound_key != packet.key ||
        sa->second.expires_at_ns <= world.boot_ns) {
      ++data_lost;
      return;
    }
    const ChildTunnel id = sa->second.tunnel;
    Tunnel& tunnel = tunnels.at(id);
    data.emplace_back(tunnel.child, packet.inner.at(0));
    uint32_t flags = kEventReceivedData;
    if (sa->second.promotes) {
      sa->second.promotes = false;
      tunnel.current = packet.spi;
      flags |= kEventPromoted;
    }
    const bool moved = packet.source.address != tunnel.remote.address ||
                       (tunnel.encapsulated && packet.source.port != tunnel.remote.port);
    if (moved) flags |= kEventRoamed;
    engine->on_tunnel_events(now(), id, flags, packet.spi, packet.source,
                             packet.destination.address);
  } else if (packet.payload == ByteVector{0xff}) {
    ++keepalives_received;
    return;
  } else {
    const Bytes message = packet.ike();
    engine->on_datagram(now(), packet.source, packet.destination, WorkerId{0}, message);
  }
  drain();
}

void Node::drain() {
  while (auto effect = engine->poll()) carry_out(std::move(*effect));
}

void Node::finish_held_jobs() {
  auto jobs = std::move(held);
  held.clear();
  for (Compute& job : jobs) engine->on_compute(now(), job.id, run_compute(job.job));
  drain();
}

void Node::carry_out(Effect effect) {
  if (auto* const datagram = std::get_if<SendDatagram>(&effect)) {
    Packet packet;
    packet.source = datagram->local;
    packet.destination = datagram->remote;
    packet.payload = std::move(datagram->payload);
    if (packet.source.address.is_unspecified()) mistakes.insert("a datagram without source");
    sent.push_back(packet);
    world.send(std::move(packet));
  } else if (auto* const tunnel = std::get_if<AddTunnel>(&effect)) {
    Tunnel& made = tunnels[tunnel->tunnel];
    if (!made.child.empty()) mistakes.insert("a tunnel was added twice");
    made.connection = tunnel->connection;
    made.child = tunnel->child;
    made.if_id = tunnel->if_id;
  } else if (const auto* const removed = std::get_if<RemoveTunnel>(&effect)) {
    if (tunnels.erase(removed->tunnel) == 0) mistakes.insert("an unknown tunnel was removed");
    for (const auto& [spi, sa] : sas_installed) {
      if (sa.tunnel == removed->tunnel) mistakes.insert("a tunnel was removed before its SAs");
    }
    for (const auto& [id, policy] : policies) {
      if (policy.action == PolicyAction::kProtect && policy.tunnel == removed->tunnel) {
        mistakes.insert("a tunnel was removed before its policies");
      }
    }
  } else if (const auto* const endpoint = std::get_if<SetTunnelEndpoint>(&effect)) {
    Tunnel& at = tunnels.at(endpoint->tunnel);
    at.local = endpoint->local;
    at.remote = endpoint->remote;
    at.encapsulated = endpoint->encapsulated;
  } else if (const auto* const selectors = std::get_if<SetSelectors>(&effect)) {
    tunnels.at(selectors->tunnel).pairs = selectors->pairs;
  } else if (const auto* const policy = std::get_if<AddPolicy>(&effect)) {
    if (!policies.emplace(policy->policy, *policy).second) mistakes.insert("a policy twice");
    if (policy->action == PolicyAction::kProtect && tunnels.count(policy->tunnel) == 0) {
      mistakes.insert("a policy without its tunnel");
    }
  } else if (const auto* const gone = std::get_if<RemovePolicy>(&effect)) {
    if (policies.erase(gone->policy) == 0) mistakes.insert("an unknown policy was removed");
  } else if (const auto* const install = std::get_if<InstallChildSa>(&effect)) {
    if (reserved.erase(install->inbound_spi) == 0) {
      mistakes.insert("an SA under an SPI that was not reserved");
    }
    reserved.insert(install->inbound_spi);
    if (fail_installs) {
      engine->on_install_failed(now(), install->tunnel, install->inbound_spi, "no memory");
      return;
    }
    Sa& sa = sas_installed[install->inbound_spi];
    sa.tunnel = install->tunnel;
    sa.outbound_spi = install->outbound_spi;
    sa.algorithm = install->algorithm;
    sa.inbound_key = flat(install->inbound_keys);
    sa.outbound_key = flat(install->outbound_keys);
    sa.promotes = install->role == SaRole::kResponder;
    sa.expires_at_ns = install->expires_at_ns;
    sa.parameters = install->parameters;
    sa.owner = install->owner;
    if (!sa.promotes) tunnels.at(install->tunnel).current = install->inbound_spi;
  } else if (const auto* const remove = std::get_if<RemoveChildSa>(&effect)) {
    if (reserved.erase(remove->inbound_spi) == 0) mistakes.insert("an unknown SA was removed");
    sas_installed.erase(remove->inbound_spi);
    const auto at = tunnels.find(remove->tunnel);
    if (at != tunnels.end() && at->second.current == remove->inbound_spi) at->second.current = 0;
  } else if (const auto* const current = std::get_if<MakeCurrent>(&effect)) {
    if (sas_installed.count(current->inbound_spi) == 0) mistakes.insert("an unknown SA is current");
    tunnels.at(current->tunnel).current = current->inbound_spi;
    sas_installed.at(current->inbound_spi).promotes = false;
  } else if (const auto* const into = std::get_if<SendIntoTunnel>(&effect)) {
    send_data(tunnels.at(into->tunnel).child, into->inner_packet.back());
  } else if (auto* const job = std::get_if<Compute>(&effect)) {
    if (hold_jobs) {
      held.push_back(std::move(*job));
    } else if (world.job_ns > 0) {
      world.finish_later(*this, std::move(*job));
    } else {
      engine->on_compute(now(), job->id, run_compute(job->job));
    }
  } else if (const auto* const resolve = std::get_if<ResolveName>(&effect)) {
    const std::string host = resolve->name;
    engine->on_resolved(now(), host, names[host]);
  } else if (const auto* const fetch = std::get_if<FetchUrl>(&effect)) {
    fetches.push_back(fetch->fetch);
    engine->on_fetched(now(), fetch->id);
  } else if (const auto* const drop = std::get_if<CountDrop>(&effect)) {
    dropped[drop->reason] += drop->packets;
  } else if (auto* const notify = std::get_if<Notify>(&effect)) {
    notices.push_back(std::move(*notify));
  }
}

std::vector<IkeSaInfo> Node::sas() const {
  std::vector<IkeSaInfo> list;
  engine->for_each_ike_sa("", 0, [&](const IkeSaInfo& sa) { list.push_back(sa); });
  return list;
}

size_t Node::established() const {
  const auto list = sas();
  return static_cast<size_t>(std::count_if(list.begin(), list.end(), [](const IkeSaInfo& sa) {
    return sa.state == IkeState::kEstablished;
  }));
}

std::optional<IkeSaInfo> Node::sa() const {
  for (const IkeSaInfo& each : sas()) {
    if (each.state == IkeState::kEstablished) return each;
  }
  return std::nullopt;
}

size_t Node::children() const {
  size_t count = 0;
  for (const IkeSaInfo& each : sas()) {
    for (const ChildSaInfo& child : each.children) count += child.state == ChildState::kInstalled;
  }
  return count;
}

size_t Node::notified(Notify::Kind kind) const {
  return static_cast<size_t>(std::count_if(notices.begin(), notices.end(),
                                           [&](const Notify& each) { return each.kind == kind; }));
}

bool Node::said(Reason reason) const {
  return std::any_of(notices.begin(), notices.end(), [&](const Notify& each) {
    return each.reason == reason && !each.text.empty();
  });
}

bool Node::said(const std::string& part) const {
  return std::any_of(notices.begin(), notices.end(),
                     [&](const Notify& each) { return each.text.find(part) != std::string::npos; });
}

std::optional<Notify> Node::end_of(CommandId command) const {
  for (const Notify& each : notices) {
    const bool end =
        each.kind == Notify::Kind::kCommandDone || each.kind == Notify::Kind::kCommandFailed;
    if (end && each.command == command) return each;
  }
  return std::nullopt;
}

bool Node::succeeded(CommandId command) const {
  const auto end = end_of(command);
  return end && end->kind == Notify::Kind::kCommandDone;
}

size_t Node::received_from(const std::string& child) const {
  return static_cast<size_t>(std::count_if(data.begin(), data.end(),
                                           [&](const auto& each) { return each.first == child; }));
}

std::string Node::log_text() const {
  std::string text;
  for (const Notify& each : notices) {
    if (!each.text.empty()) text += name + ": " + each.text + "\n";
  }
  for (const IkeSaInfo& sa : sas()) {
    text += name + ": [" + std::to_string(sa.unique_id) + "] " + std::string(text_of(sa.state));
    for (const auto& task : sa.tasks_queued) text += " queued " + task;
    for (const auto& task : sa.tasks_active) text += " active " + task;
    for (const ChildSaInfo& child : sa.children) {
      text += " {" + std::to_string(child.unique_id) + "} " + std::string(text_of(child.state)) +
              " " + std::to_string(child.inbound_spi) + "/" + std::to_string(child.outbound_spi);
    }
    text += "\n";
  }
  return text;
}

void Node::check_dataplane() const {
  for (const std::string& each : mistakes) ADD_FAILURE() << name << ": " << each;
  std::set<uint32_t> known;
  size_t at_least = 0;
  for (const IkeSaInfo& each : sas()) {
    for (const ChildSaInfo& child : each.children) {
      if (child.state != ChildState::kDeleting) ++at_least;
      EXPECT_EQ(sas_installed.count(child.inbound_spi), 1U) << name << " " << child.name;
      known.insert(child.inbound_spi);
    }
  }
  // One that lingers is listed, but counted no more.
  EXPECT_GE(engine->totals().children, at_least) << name;
  EXPECT_LE(engine->totals().children, known.size()) << name;
  for (const auto& [spi, sa] : sas_installed) {
    EXPECT_EQ(known.count(spi), 1U) << name << ": an SA that the engine does not know";
  }
  for (const auto& [id, tunnel] : tunnels) {
    EXPECT_TRUE(tunnel.current == 0 || sas_installed.count(tunnel.current) == 1) << name;
  }
  EXPECT_EQ(reserved.size(), sas_installed.size()) << name << ": SPIs that leak";
}

// --- world ---------------------------------------------------------------------------------------

Node& World::add(const std::string& name, const std::string& address, const Options& options) {
  nodes.push_back(
      std::make_unique<Node>(*this, name, seed_ * 1000 + nodes.size(), address, options));
  nodes.back()->credentials_changed();
  return *nodes.back();
}

Node* World::owner_of(const IpAddress& address) const {
  for (const auto& node : nodes) {
    const auto& list = node->addresses;
    if (std::find(list.begin(), list.end(), address) != list.end()) return node.get();
  }
  return nullptr;
}

void World::note(const Packet& packet) {
  const Bytes message = packet.ike();
  for (const uint8_t byte : message) trace = (trace ^ byte) * 0x100000001b3ULL;
  trace = (trace ^ static_cast<uint64_t>(boot_ns)) * 0x100000001b3ULL;
  const auto header = parse_header(message);
  if (!header.ok()) return;
  const Node* const from = owner_of(packet.source.address);
  const Node* const to = owner_of(packet.destination.address);
  arrows.push_back((from == nullptr ? "?" : from->name) + ">" + (to == nullptr ? "?" : to->name) +
                   " " + to_string(header->exchange) + " " + std::to_string(header->message_id) +
                   (header->response ? " R" : ""));
}

void World::send(Packet packet) {
  if (!packet.is_esp()) note(packet);
  if (filter && !filter(packet)) return;
  if (rewrite && !rewrite(packet)) return;
  const auto put = [&](const Packet& copy) {
    InFlight flight;
    flight.at_ns = boot_ns + latency_ns;
    if (reorder_ns > 0) flight.at_ns += dice.below(static_cast<uint32_t>(reorder_ns / 1000)) * 1000;
    flight.order = order_++;
    flight.packet = copy;
    in_flight_.push(std::move(flight));
  };
  if (loss_percent == 0 || dice.below(100) >= loss_percent) put(packet);
  if (repeat_percent > 0 && dice.below(100) < repeat_percent) put(packet);
}

void World::finish_later(Node& node, Compute job) {
  InFlight flight;
  flight.at_ns = boot_ns + job_ns;
  flight.order = order_++;
  flight.node = &node;
  flight.job = std::make_shared<Compute>(std::move(job));
  in_flight_.push(std::move(flight));
}

Nanoseconds World::next_event() const {
  Nanoseconds next = in_flight_.empty() ? kNever : in_flight_.top().at_ns;
  for (const auto& node : nodes) next = std::min(next, node->engine->next_timeout());
  return next;
}

void World::step_to(Nanoseconds at_ns) {
  boot_ns = std::max(boot_ns, at_ns);
  while (!in_flight_.empty() && in_flight_.top().at_ns <= boot_ns) {
    const InFlight flight = in_flight_.top();
    in_flight_.pop();
    if (flight.job != nullptr) {
      flight.node->engine->on_compute(flight.node->now(), flight.job->id,
                                      run_compute(flight.job->job));
      flight.node->drain();
    } else if (Node* const node = owner_of(flight.packet.destination.address)) {
      node->receive(flight.packet);
    } else {
      const auto stranger = strangers.find(flight.packet.destination.address);
      if (stranger != strangers.end()) stranger->second(flight.packet);
    }
  }
  for (const auto& node : nodes) {
    if (node->engine->next_timeout() <= boot_ns) {
      node->engine->on_timeout(node->now());
      node->drain();
    }
  }
}

void World::run_for(Nanoseconds duration_ns) {
  const Nanoseconds end = boot_ns + duration_ns;
  for (Nanoseconds next = next_event(); next <= end; next = next_event()) step_to(next);
  boot_ns = end;
}

void World::settle(Nanoseconds limit_ns) {
  const Nanoseconds end = boot_ns + limit_ns;
  for (Nanoseconds next = next_event(); next <= end && next <= boot_ns + kSecond;
       next = next_event()) {
    step_to(next);
  }
}

// --- NAT -----------------------------------------------------------------------------------------

Nat::Nat(World& world, const std::string& inside_, const std::string& outside_)
    : inside(address_of(inside_)), outside(address_of(outside_)) {
  world.rewrite = [this](Packet& packet) { return rewrite(packet); };
}

bool Nat::rewrite(Packet& packet) {
  if (packet.source.address == inside) {
    packet.source.address = outside;
    packet.source.port = static_cast<uint16_t>(packet.source.port + port_offset);
  } else if (packet.destination.address == outside) {
    packet.destination.address = inside;
    const auto port = static_cast<uint16_t>(packet.destination.port - port_offset);
    if (port != kIkePort && port != kIkeNatTraversalPort) return false;  // an old mapping
    packet.destination.port = port;
  }
  return true;
}

}  // namespace penstock::ike::simulation

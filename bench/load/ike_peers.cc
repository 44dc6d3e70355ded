// Initiators of IKEv2 with a pre-shared key: the gateway's own engine from the other side, one for
// some tunnels each, since a gateway seldom has as many connections as a generator has peers.
#include <deque>
#include <vector>

#include "bench/load/peers.h"
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/engine.h"
#include "controlplane/sansio/deadline_heap.h"
#include "dataplane/wire/esp.h"
#include "gateway/base/text.h"

namespace penstock::load {
namespace {

using namespace ike;

constexpr uint32_t kTunnelsPerEngine = 256;
constexpr const char* kChildName = "net";
constexpr const char* kIkeProposal = "aes256gcm16-prfsha256-x25519";

std::vector<Proposal> one_proposal(ProtocolId protocol, std::string_view text) {
  return parse_proposals(protocol, {&text, 1}).value();  // our own words: they parse
}

AddressMatches at(const IpAddress& address) {
  AddressMatch match;
  match.first = match.last = address;
  return {match};
}

IpAddress last_of(const IpPrefix& prefix) {
  std::array<uint8_t, 16> bytes{};
  const Bytes first = prefix.address.bytes();
  std::copy(first.begin(), first.end(), bytes.begin());
  for (unsigned bit = prefix.length; bit < prefix.address.bits(); ++bit) {
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | 0x80 >> bit % 8);
  }
  if (prefix.address.is_v6()) return Ipv6Address{bytes};
  Ipv4Address v4;
  std::copy_n(bytes.begin(), 4, v4.bytes.begin());
  return v4;
}

ConfiguredSelector selector_of(const IpPrefix& prefix) {
  ConfiguredSelector selector;
  selector.selector.first = prefix.address;
  selector.selector.last = last_of(prefix);
  return selector;
}

class IkePeers final : public Peers, public Host {
 public:
  IkePeers(const Plan& plan, const EspWish& wish, RandomSource& random,
           Nanoseconds answer_within_ns);
  Status load();

  // A first message needs its key exchange only, which initiate() computes.
  void prepare(const PeerNow&, uint32_t) override {}
  void initiate(const PeerNow& now, uint32_t tunnel) override;
  void defer_answers(bool) override {}
  bool compute_deferred() override { return false; }
  void on_datagram(const PeerNow& now, uint32_t tunnel, uint16_t local_port, uint16_t remote_port,
                   Bytes payload) override;
  void on_timeout(const PeerNow& now) override;
  [[nodiscard]] std::optional<PeerEffect> poll() override;
  // Lifetimes are the responder's to end, and ours are none.
  [[nodiscard]] Nanoseconds rekey_after_ns() const override { return kNever; }
  [[nodiscard]] std::string trouble() const override { return trouble_; }

 private:
  struct Peer {
    Nanoseconds began_ns = 0;
    uint32_t generation = 0;
    bool up = false;
    bool under_way = false;
  };

  // ike::Host. An SPI is asked for while something is done for one tunnel.
  Result<uint32_t> reserve_spi() override {
    return index_of(current_, peers_[current_].generation++);
  }
  void release_spi(uint32_t) override {}
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress&) const override {
    return plan_.peer(current_);
  }
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override {
    return {plan_.peer(current_)};
  }

  [[nodiscard]] uint32_t engine_of(uint32_t tunnel) const { return tunnel / kTunnelsPerEngine; }
  [[nodiscard]] std::shared_ptr<ConnectionConfig> connection_of(uint32_t tunnel) const;
  void drain(const PeerNow& now, uint32_t number);
  void on_installed(const PeerNow& now, const InstallChildSa& installed);
  void on_notify(const Notify& notify);
  void give_up_rekeying(const PeerNow& now, uint32_t tunnel);
  void fail(uint32_t tunnel, std::string why);
  [[nodiscard]] std::string advice(Reason reason, uint32_t tunnel) const;
  static Now at(const PeerNow& now) { return {now.boot_ns, now.wall_ns}; }

  const Plan& plan_;
  const EspWish wish_;
  CredentialStore store_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<Peer> peers_;
  const Nanoseconds answer_within_ns_;
  DeadlineHeap deadlines_;  // of the engines
  DeadlineHeap rekeyings_;  // of the tunnels that are being rekeyed
  uint32_t current_ = 0;    // the tunnel for which something is done
  std::deque<PeerEffect> effects_;
  std::string trouble_;
};

IkePeers::IkePeers(const Plan& plan, const EspWish& wish, RandomSource& random,
                   Nanoseconds answer_within_ns)
    : plan_(plan), wish_(wish), peers_(plan.tunnels()), answer_within_ns_(answer_within_ns) {
  Options options;
  options.retransmit_timeout_ns = answer_within_ns / 3;
  options.retransmit_base = 1.0;
  options.retransmit_tries = 2;
  options.half_open_timeout_ns = std::max(options.half_open_timeout_ns, 2 * answer_within_ns);
  options.ike_sas = 2 * kTunnelsPerEngine;
  const uint32_t count = engine_of(plan.tunnels() - 1) + 1;
  for (uint32_t i = 0; i < count; ++i) {
    engines_.push_back(std::make_unique<Engine>(random, *this, options));
  }
  // A gateway may still send into SAs of an earlier run: those are to be told from ours.
  uint32_t first = 0;
  random.fill({reinterpret_cast<uint8_t*>(&first), sizeof first});
  for (Peer& peer : peers_) peer.generation = first % kIndexGenerations;
}

Status IkePeers::load() {
  SharedSecret secret;
  secret.id = "load";
  const std::string words = plan_.ike_secret();
  secret.value = SecretBytes::copy_of(bytes_of(words));
  PENSTOCK_CHECK(store_.load_shared(std::move(secret)));
  const PeerNow now{boot_time_ns(), wall_time_ns()};
  for (auto& engine : engines_) engine->set_credentials(store_.snapshot());
  for (current_ = 0; current_ < plan_.tunnels(); ++current_) {
    Engine& engine = *engines_[engine_of(current_)];
    PENSTOCK_CHECK(engine.load_connection(at(now), connection_of(current_)));
  }
  current_ = 0;
  for (uint32_t number = 0; number < engines_.size(); ++number) drain(now, number);
  return {};
}

std::shared_ptr<ConnectionConfig> IkePeers::connection_of(uint32_t tunnel) const {
  auto connection = std::make_shared<ConnectionConfig>();
  connection->name = std::to_string(tunnel);
  connection->local_addresses = load::at(plan_.peer(tunnel));
  connection->remote_addresses = load::at(plan_.gateway_outside());
  connection->proposals = one_proposal(ProtocolId::kIke, kIkeProposal);
  connection->local.method = connection->remote.method = AuthClass::kPsk;
  connection->local.id = Identity::parse(Plan::ike_name(tunnel)).value();
  connection->remote.id = Identity::parse(Plan::kGatewayName).value();
  connection->encap = wish_.in_udp;
  connection->mobike = false;
  auto child = std::make_shared<ChildConfig>();
  child->name = kChildName;
  child->proposals = one_proposal(ProtocolId::kEsp, esp_proposal(wish_));
  child->literal_proposals = true;
  child->local_ts = {selector_of(IpPrefix::host(plan_.client(tunnel)))};
  child->remote_ts = {selector_of(plan_.hosts())};
  connection->children = {child};
  return connection;
}

void IkePeers::initiate(const PeerNow& now, uint32_t tunnel) {
  current_ = tunnel;
  Peer& peer = peers_[tunnel];
  peer.began_ns = now.boot_ns;
  peer.under_way = true;
  Engine& engine = *engines_[engine_of(tunnel)];
  const std::string name = std::to_string(tunnel);
  if (peer.up && engine.rekey(at(now), {.ike = name, .child = kChildName}, false) > 0) {
    rekeyings_.set_no_later_than(tunnel, now.boot_ns + answer_within_ns_);
  } else {
    engine.initiate(at(now), tunnel + 1, name, kChildName);
  }
  drain(now, engine_of(tunnel));
}

void IkePeers::on_datagram(const PeerNow& now, uint32_t tunnel, uint16_t local_port,
                           uint16_t remote_port, Bytes payload) {
  current_ = tunnel;
  // Away from port 500 the non-ESP marker comes first (RFC 3948 2.2).
  if (local_port == kIkeNatTraversalPort) {
    if (payload.size() < kNonEspMarkerBytes) return;
    payload = payload.subspan(kNonEspMarkerBytes);
  }
  engines_[engine_of(tunnel)]->on_datagram(at(now), {plan_.gateway_outside(), remote_port},
                                           {plan_.peer(tunnel), local_port}, WorkerId{0}, payload);
  drain(now, engine_of(tunnel));
}

void IkePeers::on_timeout(const PeerNow& now) {
  while (deadlines_.earliest_ns() <= now.boot_ns) {
    const uint32_t number = deadlines_.pop();
    current_ = number * kTunnelsPerEngine;
    engines_[number]->on_timeout(at(now));
    drain(now, number);
  }
  while (rekeyings_.earliest_ns() <= now.boot_ns) give_up_rekeying(now, rekeyings_.pop());
}

// Begun anew the tunnel has better prospects.
void IkePeers::give_up_rekeying(const PeerNow& now, uint32_t tunnel) {
  if (!peers_[tunnel].under_way) return;
  fail(tunnel, "the gateway does not carry out a rekeying");
  current_ = tunnel;
  const uint32_t number = engine_of(tunnel);
  (void)engines_[number]->terminate(at(now), 0, {.ike = std::to_string(tunnel), .child = {}}, true);
  drain(now, number);
}

void IkePeers::drain(const PeerNow& now, uint32_t number) {
  Engine& engine = *engines_[number];
  while (auto effect = engine.poll()) {
    if (auto* const compute = std::get_if<Compute>(&*effect)) {
      engine.on_compute(at(now), compute->id, run_compute(compute->job));
    } else if (auto* const datagram = std::get_if<SendDatagram>(&*effect)) {
      const uint32_t tunnel = plan_.tunnel_of_peer(datagram->local.address);
      if (tunnel == UINT32_MAX) continue;
      effects_.emplace_back(SendToGateway{tunnel, datagram->local.port, datagram->remote.port,
                                          std::move(datagram->payload)});
    } else if (const auto* const installed = std::get_if<InstallChildSa>(&*effect)) {
      on_installed(now, *installed);
    } else if (const auto* const notify = std::get_if<Notify>(&*effect)) {
      on_notify(*notify);
    }
  }
  deadlines_.set_no_later_than(number, engine.next_timeout());
}

void IkePeers::on_installed(const PeerNow& now, const InstallChildSa& installed) {
  SessionUp up;
  up.tunnel = tunnel_of_index(installed.inbound_spi);
  if (up.tunnel >= plan_.tunnels()) return;
  Peer& peer = peers_[up.tunnel];
  up.local_index = installed.inbound_spi;
  up.peer_index = installed.outbound_spi;
  up.algorithm = installed.algorithm;
  up.send_keys = installed.outbound_keys;
  up.receive_keys = installed.inbound_keys;
  up.first_sequence = 1;  // RFC 4303 2.2
  up.esn = installed.parameters.esn;
  up.sequence_limit = up.esn ? UINT64_MAX : uint64_t{1} << 32;
  up.in_udp = wish_.in_udp;
  up.rekeyed = peer.up;
  up.took_ns = peer.under_way ? now.boot_ns - peer.began_ns : 0;
  rekeyings_.remove(up.tunnel);
  peer.up = true;
  peer.under_way = false;
  effects_.emplace_back(std::move(up));
}

void IkePeers::on_notify(const Notify& notify) {
  const std::string why = notify.text + " (" + std::string(label_of(notify.reason)) + ")";
  if (notify.kind == Notify::Kind::kCommandFailed && notify.command != 0) {
    const auto tunnel = static_cast<uint32_t>(notify.command - 1);
    fail(tunnel, why + advice(notify.reason, tunnel));
  } else if (notify.kind == Notify::Kind::kIkeDown) {
    const auto number = parse_unsigned(notify.connection, plan_.tunnels() - 1);
    if (!number) return;  // begun by the gateway, and of none of our connections
    const auto tunnel = static_cast<uint32_t>(*number);
    const bool rekeying = peers_[tunnel].up && peers_[tunnel].under_way;
    peers_[tunnel].up = false;
    if (rekeying) fail(tunnel, "the IKE SA ended while it was rekeyed: " + why);
  }
}

void IkePeers::fail(uint32_t tunnel, std::string why) {
  peers_[tunnel].under_way = false;
  rekeyings_.remove(tunnel);
  trouble_ = std::move(why);
  effects_.emplace_back(HandshakeFailed{tunnel, trouble_});
}

// What the operator may look at.
std::string IkePeers::advice(Reason reason, uint32_t tunnel) const {
  switch (reason) {
    case Reason::kTimeout:
      return ": does IKE listen on " + plan_.gateway_outside().to_string() +
             ", and has the gateway its connection (swanctl --load-all)?";
    case Reason::kNoProposalChosen:
      return std::string(": we propose ") + kIkeProposal + " for IKE and " + esp_proposal(wish_) +
             " for ESP (--esp-cipher; --esp-esn no where the gateway has no extended sequence "
             "numbers)";
    case Reason::kTsUnacceptable:
      return ": we ask for " + plan_.hosts().to_string() + " at the gateway and " +
             IpPrefix::host(plan_.client(tunnel)).to_string() + " here (--hosts, --clients)";
    case Reason::kPeerRefusedAuth:
    case Reason::kPskMismatch:
      return ": was its configuration written with the same --seed?";
    default:
      return {};
  }
}

std::optional<PeerEffect> IkePeers::poll() {
  if (effects_.empty()) return std::nullopt;
  PeerEffect effect = std::move(effects_.front());
  effects_.pop_front();
  return effect;
}

}  // namespace

std::string esp_proposal(const EspWish& wish) {
  const char* cipher = wish.algorithm == SaAlgorithm::kAes128Gcm16   ? "aes128gcm16"
                       : wish.algorithm == SaAlgorithm::kAes256Gcm16 ? "aes256gcm16"
                                                                     : "chacha20poly1305";
  return std::string(cipher) + (wish.esn ? "-esn-noesn" : "-noesn");
}

Result<std::unique_ptr<Peers>> make_ike_peers(const Plan& plan, const EspWish& wish,
                                              RandomSource& random, Nanoseconds answer_within_ns) {
  auto peers = std::make_unique<IkePeers>(plan, wish, random, answer_within_ns);
  PENSTOCK_CHECK(peers->load());
  return std::unique_ptr<Peers>(std::move(peers));
}

}  // namespace penstock::load

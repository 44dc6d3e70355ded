// The generator's IKEv2 initiators and the gateway's own engine as the responder, with nothing
// between them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/engine.h"
#include "tests/unit/load/peers_lab.h"

namespace penstock::load {

inline constexpr Nanoseconds kIkeWithinNs = 6 * kSecond;

class GatewayHost final : public ike::Host {
 public:
  explicit GatewayHost(const IpAddress& address) : address_(address) {}
  Result<uint32_t> reserve_spi() override { return next_++; }
  void release_spi(uint32_t) override {}
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress&) const override {
    return address_;
  }
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override { return {address_}; }

 private:
  const IpAddress address_;
  uint32_t next_ = 0x7000'0000;
};

// What the gateway has been configured with.
struct Gateway {
  std::string seed = "penstock-load";
  std::vector<std::string> esp = {"aes128gcm16-esn-noesn"};
  std::string clients = "10.128.0.0";  // and as far as they go
};

class IkePeersLab : public PeersLab {
 protected:
  void start(uint32_t tunnels, const EspWish& wish = {}, const Gateway& gateway = {}) {
    PlanOptions options;
    options.protocol = Protocol::kEsp;
    options.tunnels = tunnels;
    plan_.emplace(*Plan::make(options));
    auto peers = make_ike_peers(*plan_, wish, random_, kIkeWithinNs);
    ASSERT_TRUE(peers.ok()) << peers.error().text;
    peers_ = std::move(peers).value();

    host_.emplace(plan_->gateway_outside());
    ike::Options limits;
    limits.cookie_threshold = limits.half_open = 4096;
    engine_.emplace(random_, *host_, limits);
    options.seed = gateway.seed;
    ike::SharedSecret secret;
    secret.id = "load";
    const std::string words = Plan::make(options)->ike_secret();
    secret.value = SecretBytes::copy_of(bytes_of(words));
    ASSERT_TRUE(store_.load_shared(std::move(secret)).ok());
    engine_->set_credentials(store_.snapshot());
    ASSERT_TRUE(engine_->load_connection(engine_now(), connection_of(gateway)).ok());
    drain_gateway();
  }

  static std::shared_ptr<ike::ConnectionConfig> connection_of(const Gateway& gateway) {
    const auto range = [](const std::string& first, const char* last) {
      ike::ConfiguredSelector selector;
      selector.selector.first = *IpAddress::parse(first);
      selector.selector.last = *IpAddress::parse(last);
      return selector;
    };
    auto child = std::make_shared<ike::ChildConfig>();
    child->name = "served";
    for (const std::string_view one : gateway.esp) {
      const auto parsed = ike::parse_proposals(ike::ProtocolId::kEsp, {&one, 1});
      child->proposals.insert(child->proposals.end(), parsed->begin(), parsed->end());
    }
    child->literal_proposals = true;
    child->local_ts = {range("10.1.0.0", "10.1.255.255")};
    child->remote_ts = {range(gateway.clients, "10.255.255.255")};
    auto connection = std::make_shared<ike::ConnectionConfig>();
    connection->name = "load";
    const std::string_view suite = "aes256gcm16-prfsha256-x25519";
    connection->proposals = ike::parse_proposals(ike::ProtocolId::kIke, {&suite, 1}).value();
    connection->local.method = connection->remote.method = ike::AuthClass::kPsk;
    connection->local.id = ike::Identity::parse(Plan::kGatewayName).value();
    connection->children = {child};
    return connection;
  }

  [[nodiscard]] ike::Now engine_now() const { return {now_.boot_ns, now_.wall_ns}; }

  void drain_gateway() {
    while (auto effect = engine_->poll()) {
      if (auto* const job = std::get_if<ike::Compute>(&*effect)) {
        engine_->on_compute(engine_now(), job->id, run_compute(job->job));
      } else if (auto* const datagram = std::get_if<ike::SendDatagram>(&*effect)) {
        take_answer(*datagram);
      } else if (auto* const place = std::get_if<ike::SetTunnelEndpoint>(&*effect)) {
        places_[place->tunnel] = *place;
      } else if (auto* const selectors = std::get_if<ike::SetSelectors>(&*effect)) {
        selectors_[selectors->tunnel] = selectors->pairs;
      } else if (auto* const child = std::get_if<ike::InstallChildSa>(&*effect)) {
        installed_[child->outbound_spi] = *child;
      }
    }
  }
  void reach_gateway() {
    drain_peers();
    for (const SendToGateway& datagram : std::exchange(to_gateway_, {})) {
      Bytes message = datagram.payload;
      if (datagram.local_port != kIkePort) message = message.subspan(4);  // the non-ESP marker
      engine_->on_datagram(engine_now(), {plan_->peer(datagram.tunnel), datagram.local_port},
                           {plan_->gateway_outside(), datagram.remote_port}, WorkerId{0}, message);
      drain_gateway();
    }
  }
  // Until both sides have said all.
  void exchange() {
    for (int round = 0; round < 6; ++round) {
      reach_gateway();
      reach_peers();
    }
  }
  void bring_up(uint32_t tunnel) {
    peers_->initiate(now_, tunnel);
    exchange();
  }

  static bool same(const SaKeys& a, const SaKeys& b) {
    return a.cipher_key == b.cipher_key && a.salt == b.salt;
  }
  void expect_agreement(const SessionUp& session) override {
    SCOPED_TRACE(session.tunnel);
    EXPECT_EQ(tunnel_of_index(session.local_index), session.tunnel);
    ASSERT_TRUE(installed_.contains(session.local_index));
    const ike::InstallChildSa& theirs = installed_[session.local_index];
    EXPECT_EQ(theirs.inbound_spi, session.peer_index);
    EXPECT_TRUE(same(theirs.inbound_keys, session.send_keys));
    EXPECT_TRUE(same(theirs.outbound_keys, session.receive_keys));
    EXPECT_FALSE(same(session.send_keys, session.receive_keys));
    EXPECT_EQ(theirs.algorithm, session.algorithm);
    EXPECT_EQ(theirs.parameters.esn, session.esn);
    EXPECT_EQ(session.sequence_limit, session.esn ? UINT64_MAX : uint64_t{1} << 32);
    EXPECT_EQ(session.first_sequence, 1U);  // RFC 4303 2.2
    const ike::SetTunnelEndpoint& place = places_[theirs.tunnel];
    EXPECT_EQ(place.remote.address, plan_->peer(session.tunnel));
    EXPECT_EQ(place.encapsulated, session.in_udp);
    ASSERT_EQ(selectors_[theirs.tunnel].size(), 1U);
    EXPECT_EQ(selectors_[theirs.tunnel][0].remote.first, plan_->client(session.tunnel));
  }

  std::optional<GatewayHost> host_;
  ike::CredentialStore store_;
  std::optional<ike::Engine> engine_;
  std::map<uint32_t, ike::InstallChildSa> installed_;  // by the peer's SPI
  std::map<ike::ChildTunnel, ike::SetTunnelEndpoint> places_;
  std::map<ike::ChildTunnel, std::vector<SelectorPair>> selectors_;
};

}  // namespace penstock::load

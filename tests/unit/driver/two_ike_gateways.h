// Two control planes with IKE on one event loop, each over a RecordingDataplane, with a wire
// between them that carries IKE messages.
#pragma once

#include <memory>
#include <string>

#include "controlplane/driver/dataplane_poller.h"
#include "controlplane/driver/ike_gateway.h"
#include "controlplane/ike/crypto/proposals.h"
#include "tests/unit/driver/two_gateways.h"

namespace penstock {

class IkeSide {
 public:
  IkeSide(EventLoop& loop, const char* outer_address, ike::Options engine = {})
      : address(*IpAddress::parse(outer_address)),
        pool(loop, {}),
        helper(loop),
        routes(dataplane),
        poller(
            dataplane,
            [this](const PuntedPacket& packet) {
              if (packet.kind != PuntKind::kNeedSession) {
                gateway->on_punt(packet);
              } else if (!tunnels.need_session(packet)) {
                dataplane.count_drop(DropReason::kHostDropped, 1);
              }
            },
            [this](const TunnelEvents& events) { tunnels.events(events); }),
        loop_(loop) {
    dataplane.source_addresses[address.family()] = address;
    IkeGatewayOptions options;
    options.engine = engine;
    options.local_addresses = {address};
    auto made = IkeGateway::create({dataplane, pool, helper, routes, random, tunnels}, options);
    EXPECT_TRUE(made.ok()) << made.error().text;
    gateway = std::move(made).value();
    gateway->set_listener([this](const ike::Notify& notify) { notifies.push_back(notify); });
    loop.add_service(&poller);
    loop.add_service(gateway.get());
  }
  ~IkeSide() {
    loop_.remove_service(&poller);
    loop_.remove_service(gateway.get());
  }

  // A connection to `peer` by pre-shared key with one child, "net".
  void load(const IkeSide& peer, const char* local_ts, const char* remote_ts,
            const std::string& secret) {
    ike::SharedSecret shared;
    shared.id = "one";
    shared.value = SecretBytes::copy_of(bytes_of(secret));
    EXPECT_TRUE(gateway->credentials().load_shared(std::move(shared)).ok());
    gateway->engine().set_credentials(gateway->credentials().snapshot());

    auto child = std::make_shared<ike::ChildConfig>();
    child->name = "net";
    child->proposals = ike::default_proposals(ike::ProtocolId::kEsp);
    child->local_ts = {selector(local_ts)};
    child->remote_ts = {selector(remote_ts)};
    child->lifetimes.rekey_ns = 3600 * kSecond;
    child->lifetimes.life_ns = 4000 * kSecond;
    child->trap = trap;
    auto connection = std::make_shared<ike::ConnectionConfig>();
    connection->name = "home";
    connection->proposals = ike::default_proposals(ike::ProtocolId::kIke);
    connection->local.method = connection->remote.method = ike::AuthClass::kPsk;
    connection->remote_addresses = {{peer.address, peer.address, ""}};
    connection->rekey_ns = 4 * 3600 * kSecond;
    connection->children = {child};
    const Status loaded = gateway->engine().load_connection(gateway->now(), connection);
    EXPECT_TRUE(loaded.ok()) << loaded.error().text;
    gateway->engine_changed();
  }
  void initiate() {
    gateway->engine().initiate(gateway->now(), 1, "home", "net");
    gateway->engine_changed();
  }
  [[nodiscard]] size_t told(ike::Notify::Kind kind) const {
    size_t count = 0;
    for (const ike::Notify& one : notifies) count += one.kind == kind ? 1U : 0U;
    return count;
  }
  // The tunnel sends, and there is an SA to receive under.
  [[nodiscard]] bool up() const {
    return dataplane.tunnels.size() == 1 && dataplane.tunnels.begin()->second.current.valid() &&
           !dataplane.inbound.empty();
  }

  const IpAddress address;
  SystemRandom random;
  RecordingDataplane dataplane;
  ComputePool pool;
  HostHelper helper;
  RouteBook routes;
  TunnelRegistry tunnels;
  std::unique_ptr<IkeGateway> gateway;
  DataplanePoller poller;
  std::vector<ike::Notify> notifies;
  bool trap = false;

 private:
  static ike::ConfiguredSelector selector(const char* text) {
    const auto prefix = IpPrefix::parse(text);
    ike::ConfiguredSelector made;
    auto last = prefix->address.v4().host() |
                (prefix->length == 0 ? ~0U : (1U << (32 - prefix->length)) - 1);
    made.selector.first = prefix->address;
    made.selector.last = Ipv4Address::from_host(last);
    return made;
  }
  EventLoop& loop_;
};

// Carries IKE between two sides, as their dataplanes would.
class IkeWire final : public PolledService {
 public:
  IkeWire(EventLoop& loop, IkeSide& a, IkeSide& b) : loop_(loop), a_(a), b_(b) {
    loop.add_service(this);
  }
  ~IkeWire() override { loop_.remove_service(this); }
  bool turn(Nanoseconds) override { return static_cast<int>(carry(a_, b_)) + carry(b_, a_) > 0; }
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return kNever; }
  size_t carried = 0;

 private:
  bool carry(IkeSide& from, IkeSide& to) {
    bool any = false;
    for (; !from.dataplane.datagrams.empty(); from.dataplane.datagrams.pop_front()) {
      const auto& datagram = from.dataplane.datagrams.front();
      if (datagram.remote.address != to.address) continue;
      Bytes message = datagram.payload;
      if (datagram.remote.port == kIkeNatTraversalPort) {
        constexpr size_t kMarker = 4;  // RFC 3948 2.2
        if (message.size() <= kMarker) continue;
        message = message.subspan(kMarker);
      }
      PuntedPacket punt;
      punt.kind = PuntKind::kIke;
      punt.worker = WorkerId{0};
      punt.source = {from.address, datagram.local.port};
      punt.destination = datagram.remote;
      to.dataplane.punts.emplace_back(punt, to_vector(message));
      ++carried;
      any = true;
    }
    return any;
  }
  EventLoop& loop_;
  IkeSide& a_;
  IkeSide& b_;
};

}  // namespace penstock

// Two control planes on one event loop, each over a RecordingDataplane, with a wire between them
// that carries handshake messages.
#pragma once

#include <gtest/gtest.h>
#include <sodium.h>

#include <memory>
#include <string>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/dataplane_poller.h"
#include "controlplane/driver/wireguard_gateway.h"
#include "gateway/base/random.h"
#include "tests/unit/driver/recording_dataplane.h"
#include "tests/unit/driver/socket_client.h"

namespace penstock {

struct KeyPair {
  Secret<32> private_key;
  wireguard::PublicKey public_key{};
  static KeyPair make(uint8_t seed) {
    KeyPair pair;
    for (size_t i = 0; i < 32; ++i) pair.private_key.data()[i] = static_cast<uint8_t>(seed + i);
    pair.private_key.data()[0] &= 248;
    pair.private_key.data()[31] = static_cast<uint8_t>((pair.private_key.data()[31] & 127) | 64);
    crypto_scalarmult_base(pair.public_key.data(), pair.private_key.data());
    return pair;
  }
};

class Side {
 public:
  Side(EventLoop& loop, const char* outer_address)
      : address(*IpAddress::parse(outer_address)),
        pool(loop, {}),
        routes(dataplane),
        timestamps(TimestampStore::open(state.path()).value()),
        gateway(dataplane, pool, routes, timestamps, random, tunnels, 1000),
        poller(
            dataplane,
            [this](const PuntedPacket& packet) {
              if (packet.kind == PuntKind::kHandshake) {
                gateway.on_handshake(packet);
              } else if (!tunnels.need_session(packet)) {
                dataplane.count_drop(DropReason::kHostDropped, 1);
              }
            },
            [this](const TunnelEvents& events) { tunnels.events(events); }),
        loop_(loop) {
    loop.add_service(&poller);
    loop.add_service(&gateway);
  }
  ~Side() {
    loop_.remove_service(&poller);
    loop_.remove_service(&gateway);
  }
  // An interface that is named and keyed, without peers.
  WireguardInterface* add(const char* name, uint16_t port, const KeyPair& keys,
                          const wireguard::DeviceChange& more = {}) {
    WireguardOptions options;
    options.spec.name = name;
    options.addresses = {*InterfaceAddress::parse("10.8.0.1/24")};
    wireguard::DeviceChange change = more;
    change.private_key = keys.private_key;
    change.listen_port = port;
    auto added = gateway.add(options, change);
    EXPECT_TRUE(added.ok()) << added.error().text;
    return added.ok() ? *added : nullptr;
  }

  const IpAddress address;
  TemporaryDirectory state;
  SystemRandom random;
  RecordingDataplane dataplane;
  ComputePool pool;
  RouteBook routes;
  TimestampStore timestamps;
  TunnelRegistry tunnels;
  WireguardGateway gateway;
  DataplanePoller poller;

 private:
  EventLoop& loop_;
};

// Carries datagrams between two sides, from the one's port to the other's interface with the port.
class Wire final : public PolledService {
 public:
  Wire(EventLoop& loop, Side& a, Side& b) : loop_(loop), a_(a), b_(b) { loop.add_service(this); }
  ~Wire() override { loop_.remove_service(this); }
  bool turn(Nanoseconds) override { return static_cast<int>(carry(a_, b_)) + carry(b_, a_) > 0; }
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return kNever; }
  size_t carried = 0;

 private:
  bool carry(Side& from, Side& to) {
    bool any = false;
    for (; !from.dataplane.datagrams.empty(); from.dataplane.datagrams.pop_front()) {
      const auto& datagram = from.dataplane.datagrams.front();
      if (datagram.remote.address != to.address) continue;
      for (const auto& [id, spec] : to.dataplane.interfaces) {
        if (spec.listen_port != datagram.remote.port) continue;
        PuntedPacket punt;
        punt.kind = PuntKind::kHandshake;
        punt.worker = WorkerId{0};
        punt.interface = id;
        // The dataplane sends from the listen port of the interface.
        punt.source = {from.address, datagram.local.port};
        punt.destination = datagram.remote;
        to.dataplane.punts.emplace_back(punt, datagram.payload);
        ++carried;
        any = true;
      }
    }
    return any;
  }
  EventLoop& loop_;
  Side& a_;
  Side& b_;
};

// Runs the loop until `done`, for at most `limit_ns`; false: it was not done by then.
inline bool run_until(EventLoop& loop, const std::function<bool()>& done,
                      Nanoseconds limit_ns = 5 * kSecond) {
  const Nanoseconds end = boot_time_ns() + limit_ns;
  bool reached = false;
  std::function<void()> check = [&] {
    reached = done();
    if (reached || boot_time_ns() >= end) {
      loop.stop();
    } else {
      loop.at(boot_time_ns() + kMillisecond, check);
    }
  };
  loop.at(boot_time_ns(), check);
  loop.run();
  return reached;
}

}  // namespace penstock

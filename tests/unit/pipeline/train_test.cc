// Packets in a row with the same addresses, or one the same, share look-ups and decisions: what
// becomes of them must be what becomes of each by itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

// What a gateway did, but for what is random in it (keys, numbers, identifications).
struct Outcome {
  std::vector<std::string> inner;  // of what went into tunnels
  size_t clear = 0;                // frames that left in clear
  std::vector<uint64_t> drops;
  size_t waiting = 0;
};

std::string text(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

struct World {
  explicit World(size_t other_policies) {
    first = gateway.add_esp_peer();
    second = gateway.add_esp_peer();
    wireguard = gateway.add_peer();
    other = gateway.add_peer();
    const auto port = [](SelectorPair pair, uint16_t number) {
      pair.local.protocol = pair.remote.protocol = kProtocolUdp;
      pair.remote.first_port = pair.remote.last_port = number;
      return pair;
    };
    const SelectorPair site{network("192.0.2.0/24"), network("172.31.0.0/16")};
    PolicyTable& policies = gateway.policies();
    gateway.add_policy(policies, site, PolicyAction::kProtect, first.tunnel.value, 100);
    gateway.add_policy(policies, port(site, 7), PolicyAction::kDiscard, UINT32_MAX, 10);
    gateway.add_policy(policies, port(site, 9), PolicyAction::kProtect, second.tunnel.value, 10);
    // Found by its local side.
    gateway.add_policy(policies, {network("192.0.2.77/32"), network("172.31.0.0/16")},
                       PolicyAction::kDiscard, UINT32_MAX, 50);
    for (size_t i = 0; i < other_policies; ++i) {
      const std::string host =
          "172.29." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "/32";
      gateway.add_policy(policies, {network("192.0.2.0/24"), network(host.c_str())},
                         PolicyAction::kDiscard, UINT32_MAX, 10);
    }
  }

  Outcome outcome() {
    Outcome result;
    for (const Frame& frame : gateway.sent()) {
      if (frame.port == kInside) {
        ++result.clear;
      } else if (const auto by_first = open_esp(first, frame)) {
        result.inner.push_back("1" + text(by_first->payload));
      } else if (const auto by_second = open_esp(second, frame)) {
        result.inner.push_back("2" + text(by_second->payload));
      } else {
        const bool is_others =
            equal_bytes(frame.packet().subspan(16, 4), other.endpoint.address.bytes());
        const auto opened = open_frame(is_others ? other : wireguard, frame);
        EXPECT_TRUE(opened);
        if (opened) result.inner.push_back((is_others ? "o" : "w") + text(opened->plain));
      }
    }
    for (size_t i = 0; i < kDropReasonCount; ++i) {
      result.drops.push_back(gateway.drops(static_cast<DropReason>(i)));
    }
    result.waiting = gateway.punts(PuntClass::kWaiting).size();
    return result;
  }

  EspGateway gateway;
  EspPeer first, second;
  Peer wireguard, other;
};

ByteVector clear_packet(std::mt19937& random, const IpAddress& from, const IpAddress& to) {
  IpFields fields;
  if (random() % 8 == 0) fields.ttl = 1;
  const bool later_fragment = from.is_v4() && random() % 8 == 0;
  if (later_fragment) fields.fragment = 40;
  constexpr uint16_t kPorts[] = {7, 9, 53, 6000};
  return udp_packet({from, 5000}, {to, kPorts[random() % 4]}, ByteVector(40 + random() % 40),
                    fields);
}

// From inside into tunnels of both protocols, to where nothing leads, and with bad addresses: runs
// of packets that have both addresses in common, the source, or the destination.
std::vector<ByteVector> clear_trains(std::mt19937& random, World& world) {
  const IpAddress sources[] = {kHost4,           kHost4,          ip("192.0.2.77"),
                               ip("172.31.0.1"), ip("127.0.0.1"), ip("10.99.0.1")};
  const IpAddress destinations[] = {
      ip("172.31.0.1"),   ip("172.31.0.2"),  ip("172.29.0.5"), world.wireguard.inner4,
      world.other.inner4, ip("203.0.113.7"), ip("224.0.0.5"),  kHost4};
  const IpAddress destinations6[] = {world.wireguard.inner6, world.other.inner6,
                                     ip("2001:db8:ffff::1")};
  const auto one_of = [&random](const auto& list) { return list[random() % std::size(list)]; };
  std::vector<ByteVector> frames;
  while (frames.size() < 32) {
    const bool v6 = random() % 8 == 0;
    const uint32_t varies = random() % 3;  // 1: the source, 2: the destination
    const auto source = [&] { return v6 ? kHost6 : one_of(sources); };
    const auto destination = [&] { return v6 ? one_of(destinations6) : one_of(destinations); };
    IpAddress from = source(), to = destination();
    for (size_t left = 1 + random() % 5; left > 0 && frames.size() < 32; --left) {
      if (varies == 1) from = source();
      if (varies == 2) to = destination();
      frames.push_back(from_inside(clear_packet(random, from, to)));
    }
  }
  return frames;
}

// Of the same trains each time: in one vector, or packet by packet.
std::vector<Outcome> run_clear(size_t other_policies, bool together) {
  World world(other_policies);
  std::mt19937 random(7);
  std::vector<Outcome> outcomes;
  for (int round = 0; round < 40; ++round) {
    const std::vector<ByteVector> frames = clear_trains(random, world);
    if (together) {
      world.gateway.receive(kInside, frames);
    } else {
      for (const ByteVector& frame : frames) world.gateway.receive(kInside, frame);
    }
    outcomes.push_back(world.outcome());
    // The protocols leave one after the other, and errors at the end of a vector.
    std::sort(outcomes.back().inner.begin(), outcomes.back().inner.end());
  }
  return outcomes;
}

void compare_clear(size_t other_policies) {
  const std::vector<Outcome> expected = run_clear(other_policies, false);
  const std::vector<Outcome> found = run_clear(other_policies, true);
  size_t inner = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    inner += expected[i].inner.size();
    EXPECT_EQ(found[i].drops, expected[i].drops) << i;
    EXPECT_EQ(found[i].inner, expected[i].inner) << i;
    EXPECT_EQ(found[i].clear, expected[i].clear) << i;
    EXPECT_EQ(found[i].waiting, expected[i].waiting) << i;
  }
  EXPECT_GT(inner, 100U);
}

TEST(Train, of_clear_packets_is_decided_as_each_of_them) { compare_clear(0); }

TEST(Train, of_clear_packets_is_decided_as_each_of_them_with_many_policies) { compare_clear(5000); }

TEST(Train, of_decrypted_packets_never_lends_its_source_to_another_tunnel) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  Peer other = gateway.add_peer();
  const ByteVector mine = sample_packet(peer.inner4, kHost4);
  gateway.receive(
      kOutside, {tunnel_frame(peer, mine), tunnel_frame(other, mine), tunnel_frame(peer, mine),
                 tunnel_frame(peer, mine), tunnel_frame(peer, sample_packet(other.inner4, kHost4)),
                 tunnel_frame(other, sample_packet(other.inner4, kHost4))});
  EXPECT_EQ(gateway.sent().size(), 4U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelSourceNotAllowed), 2U);
}

}  // namespace
}  // namespace penstock::test

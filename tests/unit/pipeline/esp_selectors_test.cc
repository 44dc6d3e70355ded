// What may come out of an ESP tunnel: its traffic selectors (RFC 4301 5.2, step 3a).
#include <gtest/gtest.h>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

TEST(EspSelectors, what_no_pair_covers_is_refused) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const auto accepted = [&](const ByteVector& packet) {
    gateway.receive(kOutside, esp_frame(peer, packet));
    return gateway.sent().size() == 1;
  };
  EXPECT_TRUE(accepted(sample_packet(ip("172.16.1.0"), kHost4)));
  EXPECT_TRUE(accepted(sample_packet(ip("172.16.1.255"), kHost4)));
  EXPECT_FALSE(accepted(sample_packet(ip("172.16.2.0"), kHost4)));
  EXPECT_FALSE(accepted(sample_packet(ip("172.16.0.255"), kHost4)));
  EXPECT_FALSE(accepted(sample_packet(ip("172.16.1.5"), ip("192.0.3.10"))));
  EXPECT_TRUE(accepted(sample_packet(ip("2001:db8:9:1::"), kHost6)));
  EXPECT_FALSE(accepted(sample_packet(ip("2001:db8:9:2::"), kHost6)));
  EXPECT_FALSE(accepted(sample_packet(ip("2001:db8:9:1::1"), ip("2001:db8:3::1"))));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelSelectorMismatch), 5U);
}

TEST(EspSelectors, ports_protocols_and_ranges_are_compared) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.set_selectors(peer,
                        {{range("192.0.2.10", "192.0.2.10", kProtocolUdp, 6000, 6000),
                          range("172.16.1.5", "172.16.1.7", kProtocolUdp)},
                         {range("192.0.2.10", "192.0.2.10", kProtocolIcmp, 8 << 8, 8 << 8 | 255),
                          range("172.16.1.9", "172.16.1.9", kProtocolIcmp, 8 << 8, 8 << 8 | 255)}});
  gateway.grace();
  const auto accepted = [&](const ByteVector& packet) {
    gateway.receive(kOutside, esp_frame(peer, packet));
    return gateway.sent().size() == 1;
  };
  const auto udp = [&](const char* from, uint16_t port) {
    return udp_packet({ip(from), 1}, {kHost4, port}, ByteVector(8));
  };
  EXPECT_TRUE(accepted(udp("172.16.1.5", 6000)));
  EXPECT_TRUE(accepted(udp("172.16.1.7", 6000)));
  EXPECT_FALSE(accepted(udp("172.16.1.8", 6000)));
  EXPECT_FALSE(accepted(udp("172.16.1.5", 6001)));
  EXPECT_TRUE(accepted(echo_request(ip("172.16.1.9"), kHost4)));
  EXPECT_FALSE(accepted(echo_request(ip("172.16.1.5"), kHost4)));
  // A later fragment has no ports to compare.
  IpFields later;
  later.fragment = 10;
  EXPECT_FALSE(accepted(ip_packet(ip("172.16.1.5"), kHost4, ByteVector(64), later)));
}

TEST(EspSelectors, change_while_packets_flow_and_none_means_nothing) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const auto accepted = [&](const char* from) {
    gateway.receive(kOutside, esp_frame(peer, sample_packet(ip(from), kHost4)));
    return gateway.sent().size() == 1;
  };
  EXPECT_TRUE(accepted("172.16.1.5"));
  gateway.set_selectors(peer, {{network("192.0.2.0/24"), network("172.16.99.0/24")}});
  EXPECT_FALSE(accepted("172.16.1.5"));  // at once, before the grace period
  EXPECT_TRUE(accepted("172.16.99.5"));
  gateway.grace();
  EXPECT_FALSE(accepted("172.16.1.5"));
  EXPECT_TRUE(accepted("172.16.99.5"));
  gateway.set_selectors(peer, {{network("192.0.2.0/24"), network("172.16.7.0/24")}});
  gateway.set_selectors(peer, {});
  gateway.grace();
  EXPECT_FALSE(accepted("172.16.99.5"));
  EXPECT_FALSE(accepted("172.16.7.5"));
  gateway.set_selectors(peer, {{network("0.0.0.0/0"), network("0.0.0.0/0")}});
  gateway.add_esp_session(peer);  // before the grace period
  EXPECT_TRUE(accepted("172.16.7.5"));
  gateway.grace();
  EXPECT_TRUE(accepted("172.16.7.5"));
}

}  // namespace
}  // namespace penstock::test

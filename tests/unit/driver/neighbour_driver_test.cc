#include "controlplane/driver/neighbour_driver.h"

#include <gtest/gtest.h>

#include "tests/unit/driver/recording_dataplane.h"

namespace penstock {
namespace {

constexpr uint16_t kArp = 0x0806;
constexpr uint16_t kIpv6 = 0x86dd;

class NeighbourDriverTest : public testing::Test {
 protected:
  void SetUp() override {
    neighbour::PortSetup setup;
    setup.id = port_;
    setup.mac = our_mac_;
    setup.addresses = {*InterfaceAddress::parse("192.0.2.1/24"),
                       *InterfaceAddress::parse("2001:db8::1/64")};
    setup.neighbours = {{*IpAddress::parse("192.0.2.99"), *MacAddress::parse("02:00:00:00:00:99")}};
    setup.link_up = true;
    auto added = driver_.add_port(setup, true);
    ASSERT_TRUE(added.ok()) << added.error().text;
    addresses_ = *added;
    turn();
    dataplane_.frames.clear();
  }
  void turn() {
    while (driver_.turn(boot_time_ns())) {
    }
  }
  void need(const char* next_hop, const ByteVector& packet) {
    PuntedPacket punt;
    punt.kind = PuntKind::kNeedNeighbour;
    punt.port = port_;
    punt.next_hop = *IpAddress::parse(next_hop);
    punt.bytes = packet;
    driver_.on_punt(punt);
    turn();
  }
  void arp(const neighbour::ArpMessage& message) {
    const ByteVector bytes = neighbour::build_arp(message);
    PuntedPacket punt;
    punt.kind = PuntKind::kArp;
    punt.port = port_;
    punt.source_mac = message.sender_mac;
    punt.bytes = bytes;
    driver_.on_punt(punt);
    turn();
  }

  const PortId port_{0};
  const MacAddress our_mac_ = *MacAddress::parse("02:00:00:00:00:01");
  const MacAddress peer_mac_ = *MacAddress::parse("02:00:00:00:00:07");
  SystemRandom random_;
  RecordingDataplane dataplane_;
  NeighbourDriver driver_{dataplane_, random_, {}};
  std::vector<InterfaceAddress> addresses_;
};

TEST_F(NeighbourDriverTest, port_with_ipv6_gets_link_local_address) {
  ASSERT_EQ(addresses_.size(), 3U);
  EXPECT_EQ(addresses_[2].to_string(), "fe80::ff:fe00:1/64");
}

TEST_F(NeighbourDriverTest, static_neighbour_is_in_the_dataplane_at_once) {
  EXPECT_EQ(dataplane_.neighbours.at({port_, *IpAddress::parse("192.0.2.99")}),
            *MacAddress::parse("02:00:00:00:00:99"));
  ASSERT_EQ(driver_.status().size(), 1U);
  EXPECT_EQ(driver_.status()[0].state, "static");
}

TEST_F(NeighbourDriverTest, packet_waits_for_arp_answer_and_leaves_with_it) {
  const ByteVector packet(40, 0x45);
  need("192.0.2.7", packet);
  ASSERT_EQ(dataplane_.frames.size(), 1U);
  EXPECT_EQ(dataplane_.frames[0].ether_type, kArp);
  EXPECT_EQ(dataplane_.frames[0].destination, kBroadcastMac);
  EXPECT_TRUE(dataplane_.ip_packets.empty());

  arp({false, peer_mac_, *Ipv4Address::parse("192.0.2.7"), our_mac_,
       *Ipv4Address::parse("192.0.2.1")});
  EXPECT_EQ(dataplane_.neighbours.at({port_, *IpAddress::parse("192.0.2.7")}), peer_mac_);
  ASSERT_EQ(dataplane_.ip_packets.size(), 1U);
  EXPECT_EQ(dataplane_.ip_packets[0], packet);
}

TEST_F(NeighbourDriverTest, arp_request_for_our_address_is_answered) {
  arp({true, peer_mac_, *Ipv4Address::parse("192.0.2.7"), MacAddress{},
       *Ipv4Address::parse("192.0.2.1")});
  ASSERT_EQ(dataplane_.frames.size(), 1U);
  const auto reply = neighbour::parse_arp(dataplane_.frames[0].payload);
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->is_request);
  EXPECT_EQ(reply->sender_mac, our_mac_);
  EXPECT_EQ(dataplane_.frames[0].destination, peer_mac_);
}

TEST_F(NeighbourDriverTest, packet_that_waited_in_vain_is_reported_to_its_sender) {
  // 10.8.0.7 -> 192.0.2.7, UDP.
  const ByteVector packet = {0x45, 0, 0,   28, 0, 0, 0, 0, 63, 17, 0xaf, 0xbc, 10, 8,
                             0,    7, 192, 0,  2, 7, 0, 9, 0,  9,  0,    8,    0,  0};
  need("192.0.2.7", packet);
  for (int i = 1; i <= 5; ++i) driver_.turn(boot_time_ns() + i * kSecond);
  turn();
  ASSERT_EQ(dataplane_.ip_packets.size(), 1U);
  const ByteVector& icmp = dataplane_.ip_packets[0];
  ASSERT_GE(icmp.size(), 28U);
  EXPECT_EQ(icmp[9], 1);     // ICMP
  EXPECT_EQ(icmp[12], 192);  // from our address at that port
  EXPECT_EQ(icmp[16], 10);   // to the sender
  EXPECT_EQ(icmp[20], 3);    // destination unreachable
  EXPECT_EQ(icmp[21], 1);    // host
  EXPECT_EQ(dataplane_.drops[static_cast<size_t>(DropReason::kNeighbourUnresolved)], 1U);
}

TEST_F(NeighbourDriverTest, ipv6_neighbour_is_asked_by_solicitation) {
  need("2001:db8::7", ByteVector(48, 0x60));
  ASSERT_EQ(dataplane_.frames.size(), 1U);
  EXPECT_EQ(dataplane_.frames[0].ether_type, kIpv6);
  const auto message = neighbour::parse_nd(dataplane_.frames[0].payload);
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->is_solicitation);
  EXPECT_EQ(message->target, IpAddress::parse("2001:db8::7")->v6());
}

TEST_F(NeighbourDriverTest, address_of_a_client_in_the_network_of_a_port_is_answered_for) {
  const IpAddress client = *IpAddress::parse("192.0.2.77");
  driver_.set_proxy(*IpAddress::parse("198.51.100.1"), true);  // in no network of ours
  driver_.set_proxy(client, true);
  turn();
  EXPECT_EQ(dataplane_.frames.size(), 1U) << "announced";
  dataplane_.frames.clear();
  const neighbour::ArpMessage question{
      true, peer_mac_, IpAddress::parse("192.0.2.5")->v4(), {}, client.v4()};
  arp(question);
  ASSERT_EQ(dataplane_.frames.size(), 1U);
  EXPECT_EQ(dataplane_.frames[0].destination, peer_mac_);
  driver_.set_proxy(client, false);
  dataplane_.frames.clear();
  arp(question);
  EXPECT_TRUE(dataplane_.frames.empty());
}

}  // namespace
}  // namespace penstock

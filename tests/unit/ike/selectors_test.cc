#include "controlplane/ike/selectors.h"

#include <gtest/gtest.h>

namespace penstock::ike {
namespace {

TrafficSelector range(const char* first, const char* last, uint8_t protocol = 0,
                      uint16_t first_port = 0, uint16_t last_port = 65535) {
  TrafficSelector selector;
  selector.first = *IpAddress::parse(first);
  selector.last = *IpAddress::parse(last);
  selector.protocol = protocol;
  selector.first_port = first_port;
  selector.last_port = last_port;
  return selector;
}
TrafficSelector opaque(TrafficSelector selector) {
  selector.opaque_ports = true;
  return selector;
}

const TrafficSelector kTen = range("10.0.0.0", "10.255.255.255");
const TrafficSelector kAll = range("0.0.0.0", "255.255.255.255");
const TrafficSelector kAll6 = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

TEST(Selectors, intersection_takes_what_lies_in_both) {
  EXPECT_EQ(intersect(kAll, kTen), kTen);
  EXPECT_EQ(intersect(range("10.0.0.5", "10.0.0.9"), range("10.0.0.7", "10.0.0.20")),
            range("10.0.0.7", "10.0.0.9"));
  EXPECT_FALSE(intersect(range("10.0.0.5", "10.0.0.6"), range("10.0.0.7", "10.0.0.20")));
  EXPECT_FALSE(intersect(kAll, kAll6));
  EXPECT_EQ(
      intersect(range("10.0.0.0", "10.0.0.9", 6, 0, 100), range("0.0.0.0", "10.9.9.9", 0, 80, 443)),
      range("10.0.0.0", "10.0.0.9", 6, 80, 100));
  EXPECT_FALSE(intersect(range("10.0.0.0", "10.0.0.9", 6), range("10.0.0.0", "10.0.0.9", 17)));
  EXPECT_FALSE(
      intersect(range("10.0.0.0", "10.0.0.9", 6, 1, 5), range("10.0.0.0", "10.0.0.9", 6, 6, 9)));
}

TEST(Selectors, any_ports_include_opaque_ones) {  // RFC 4301 4.4.1.1
  const auto tcp = range("10.0.0.0", "10.0.0.9", 6);
  EXPECT_EQ(intersect(tcp, opaque(tcp)), opaque(tcp));
  EXPECT_EQ(intersect(opaque(tcp), opaque(tcp)), opaque(tcp));
  EXPECT_FALSE(intersect(opaque(tcp), range("10.0.0.0", "10.0.0.9", 6, 80, 80)));
}

TEST(Selectors, narrowing_keeps_the_order_and_leaves_out_what_is_contained) {
  EXPECT_EQ(narrow({kAll}, {kTen}), Selectors{kTen});
  const auto host = range("10.0.0.5", "10.0.0.5");
  EXPECT_EQ(narrow({host, kAll}, {kTen}), Selectors{kTen}) << "the packet's own lies inside";
  EXPECT_EQ(narrow({kAll6}, {kTen}), Selectors{});
  const auto a = range("10.1.0.0", "10.1.255.255"), b = range("10.2.0.0", "10.2.255.255");
  EXPECT_EQ(narrow({b, a}, {a, b}), (Selectors{b, a}));
  EXPECT_EQ(narrow({}, {a}), Selectors{});
}

TEST(Selectors, narrowing_is_bounded) {
  Selectors many;
  for (unsigned i = 0; i < 120; ++i) {
    const std::string text = "10.0." + std::to_string(i) + ".1";
    many.push_back(range(text.c_str(), text.c_str()));
  }
  EXPECT_EQ(narrow(many, many).size(), kMaxNarrowed);
  EXPECT_EQ(pairs_of(many, many).size(), kMaxPairs);
}

TEST(Selectors, pairs_need_the_same_family_and_protocol) {
  EXPECT_EQ(pairs_of({kAll, kAll6}, {kAll, kAll6}).size(), 2U);
  const auto tcp = range("10.0.0.0", "10.0.0.9", 6), udp = range("10.0.0.0", "10.0.0.9", 17);
  EXPECT_TRUE(pairs_of({tcp}, {udp}).empty());
  const auto pairs = pairs_of({tcp}, {kTen});
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0].local.protocol, 6);
  EXPECT_EQ(pairs[0].remote.protocol, 6);
}

TEST(Selectors, covers_asks_for_each_of_them) {
  EXPECT_TRUE(covers({kTen}, {range("10.0.0.1", "10.0.0.1", 6, 80, 80)}));
  EXPECT_FALSE(covers({kTen}, {kAll}));
  EXPECT_FALSE(covers({kTen}, {range("10.0.0.1", "10.0.0.1"), range("11.0.0.1", "11.0.0.1")}));
  EXPECT_TRUE(covers({kTen}, {}));
}

TEST(Selectors, dynamic_stands_for_addresses) {
  ConfiguredSelector dynamic;
  dynamic.dynamic = true;
  dynamic.selector.protocol = 17;
  ConfiguredSelector fixed;
  fixed.selector = kTen;
  const auto resolved = resolve_selectors(
      {dynamic, fixed}, {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")});
  EXPECT_EQ(to_string(resolved), "192.0.2.1/32[udp] 2001:db8::1/128[udp] 10.0.0.0/8");
  EXPECT_EQ(resolve_selectors({dynamic}, {}), Selectors{});
}

TEST(Selectors, packets_are_read_as_far_as_they_go) {
  ByteVector udp(28);
  udp[0] = 0x45;
  udp[9] = 17;
  udp[12] = 10;
  udp[16] = 11;
  udp[21] = 7;
  udp[23] = 53;
  auto pair = pair_of_packet(udp);
  ASSERT_TRUE(pair.has_value());
  EXPECT_EQ(to_string(pair->local), "10.0.0.0/32[udp/7]");
  EXPECT_EQ(to_string(pair->remote), "11.0.0.0/32[udp/53]");
  udp[7] = 1;  // a fragment other than the first has no ports
  EXPECT_EQ(to_string(pair_of_packet(udp)->local), "10.0.0.0/32[udp]");
  for (size_t length = 0; length < 20; ++length) {
    EXPECT_FALSE(pair_of_packet(Bytes(udp).first(length)));
  }
  EXPECT_TRUE(pair_of_packet(Bytes(udp).first(22)).has_value()) << "without its ports";
  udp[0] = 0x4f;  // header longer than the packet
  EXPECT_FALSE(pair_of_packet(udp));
  udp[0] = 0x25;
  EXPECT_FALSE(pair_of_packet(udp));
  ByteVector tcp6(48);
  tcp6[0] = 0x60;
  tcp6[6] = 6;
  tcp6[41] = 80;
  EXPECT_EQ(to_string(pair_of_packet(tcp6)->local), "::/128[tcp/80]");
  EXPECT_FALSE(pair_of_packet(Bytes(tcp6).first(39)));
}

TEST(Selectors, are_shown_as_swanctl_does) {
  EXPECT_EQ(to_string(kAll), "0.0.0.0/0");
  EXPECT_EQ(to_string(range("10.0.0.1", "10.0.0.9", 6, 80, 90)), "10.0.0.1..10.0.0.9[tcp/80-90]");
  EXPECT_EQ(to_string(range("10.0.0.0", "10.0.0.255", 0, 53, 53)), "10.0.0.0/24[/53]");
  EXPECT_EQ(to_string(range("10.0.0.0", "10.0.0.255", 1, 0x0800, 0x0800)), "10.0.0.0/24[icmp/8]");
  EXPECT_EQ(to_string(opaque(range("10.0.0.0", "10.0.0.255", 6))), "10.0.0.0/24[tcp/OPAQUE]");
}

}  // namespace
}  // namespace penstock::ike

#include "dataplane/wire/address_check.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

struct Row {
  const char* address;
  bool plain;
  bool martian_source;
  bool martian_destination;
};

TEST(AddressCheck, ipv4_edges_of_every_block) {
  constexpr Row kRows[] = {
      {"0.0.0.0", false, true, true},          {"0.255.255.255", false, true, true},
      {"1.0.0.0", true, false, false},         {"10.0.0.1", true, false, false},
      {"100.64.0.1", true, false, false},      {"126.255.255.255", true, false, false},
      {"127.0.0.0", false, true, true},        {"127.255.255.255", false, true, true},
      {"128.0.0.0", true, false, false},       {"169.253.255.255", true, false, false},
      {"169.254.0.0", false, false, false},    {"169.254.255.255", false, false, false},
      {"169.255.0.0", true, false, false},     {"172.16.0.1", true, false, false},
      {"192.0.2.1", true, false, false},       {"223.255.255.255", true, false, false},
      {"224.0.0.0", false, true, false},       {"239.255.255.255", false, true, false},
      {"240.0.0.0", false, true, true},        {"255.255.255.254", false, true, true},
      {"255.255.255.255", false, true, false},
  };
  for (const Row& row : kRows) {
    const uint32_t address = v4(row.address).host();
    EXPECT_EQ(is_plain_unicast(address), row.plain) << row.address;
    EXPECT_EQ(is_martian_source(address), row.martian_source) << row.address;
    EXPECT_EQ(is_martian_destination(address), row.martian_destination) << row.address;
  }
  EXPECT_TRUE(is_multicast(v4("224.0.0.1").host()));
  EXPECT_TRUE(is_multicast(v4("239.255.255.255").host()));
  EXPECT_FALSE(is_multicast(v4("223.255.255.255").host()));
  EXPECT_FALSE(is_multicast(v4("240.0.0.0").host()));
  EXPECT_TRUE(is_limited_broadcast(v4("255.255.255.255").host()));
  EXPECT_TRUE(is_link_local(v4("169.254.1.1").host()));
}

TEST(AddressCheck, network_broadcast_by_prefix_length) {
  const auto check = [](const char* address, const char* network, unsigned length) {
    return is_network_broadcast(v4(address).host(), v4(network).host(), length);
  };
  EXPECT_TRUE(check("192.0.2.255", "192.0.2.0", 24));
  EXPECT_TRUE(check("192.0.2.0", "192.0.2.7", 24));
  EXPECT_FALSE(check("192.0.2.1", "192.0.2.0", 24));
  EXPECT_FALSE(check("192.0.3.255", "192.0.2.0", 24));
  EXPECT_TRUE(check("192.0.2.3", "192.0.2.0", 30));
  EXPECT_FALSE(check("192.0.2.1", "192.0.2.0", 31));
  EXPECT_FALSE(check("192.0.2.1", "192.0.2.1", 32));
  EXPECT_TRUE(check("10.255.255.255", "10.0.0.0", 8));
  EXPECT_TRUE(check("255.255.255.255", "0.0.0.0", 0));
}

TEST(AddressCheck, ipv6_edges_of_every_block) {
  constexpr Row kRows[] = {
      {"::", false, true, true},
      {"::1", false, true, true},
      {"::2", false, true, true},
      {"::192.0.2.1", false, true, true},
      {"::ffff:192.0.2.1", false, true, true},
      {"::fffe:192.0.2.1", true, false, false},
      {"::1:0:0:1", true, false, false},
      {"0:0:0:1::", true, false, false},
      {"64:ff9b::192.0.2.1", true, false, false},
      {"2001:db8::1", true, false, false},
      {"fd00::1", true, false, false},
      {"fe7f:ffff::1", true, false, false},
      {"fe80::1", false, false, false},
      {"febf::1", false, false, false},
      {"fec0::1", true, false, false},
      {"ff00::", false, true, false},
      {"ff02::1", false, true, false},
  };
  for (const Row& row : kRows) {
    const Ipv6Address address = v6(row.address);
    EXPECT_EQ(is_plain_unicast(address), row.plain) << row.address;
    EXPECT_EQ(is_martian_source(address), row.martian_source) << row.address;
    EXPECT_EQ(is_martian_destination(address), row.martian_destination) << row.address;
  }
}

}  // namespace
}  // namespace penstock::test

#include "gateway/base/net.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(IpAddress, text_round_trips) {
  for (const char* text :
       {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "fe80::1"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
}

TEST(IpAddress, malformed_text_is_refused) {
  for (const char* text :
       {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4 ", "::g", "1::2::3"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST(IpAddress, families_never_compare_equal) {
  EXPECT_NE(*IpAddress::parse("0.0.0.0"), *IpAddress::parse("::"));
}

TEST(IpPrefix, host_bits_are_cleared) {
  EXPECT_EQ(IpPrefix::parse("10.1.2.3/9")->to_string(), "10.0.0.0/9");
  EXPECT_EQ(IpPrefix::parse("2001:db8:ffff::1/33")->to_string(), "2001:db8:8000::/33");
  EXPECT_EQ(IpPrefix::parse("192.0.2.7")->to_string(), "192.0.2.7/32");
  EXPECT_EQ(IpPrefix::parse("::/0")->length, 0);
}

TEST(IpPrefix, bad_lengths_are_refused) {
  for (const char* text : {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/1x"}) {
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
  }
}

TEST(IpPrefix, contains_respects_family_and_length) {
  const auto ten = *IpPrefix::parse("10.0.0.0/8");
  EXPECT_TRUE(ten.contains(*IpAddress::parse("10.255.0.1")));
  EXPECT_FALSE(ten.contains(*IpAddress::parse("11.0.0.1")));
  EXPECT_FALSE(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("::1")));
  EXPECT_TRUE(ten.contains(*IpPrefix::parse("10.1.0.0/16")));
  EXPECT_FALSE(IpPrefix::parse("10.1.0.0/16")->contains(ten));
}

TEST(InterfaceAddress, host_bits_are_kept) {
  const auto address = InterfaceAddress::parse("192.0.2.1/24");
  EXPECT_EQ(address->to_string(), "192.0.2.1/24");
  EXPECT_EQ(address->network().to_string(), "192.0.2.0/24");
}

TEST(Endpoint, text_round_trips) {
  for (const char* text : {"192.0.2.1:51820", "[2001:db8::1]:1", "10.0.0.1:0"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
  for (const char* text :
       {"192.0.2.1", "2001:db8::1:80", "[192.0.2.1]:80", "1.2.3.4:65536", ":80"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
}

TEST(MacAddress, text_round_trips) {
  EXPECT_EQ(MacAddress::parse("02:00:5e:ff:00:01")->to_string(), "02:00:5e:ff:00:01");
  EXPECT_FALSE(MacAddress::parse("02:00:5e:ff:00"));
  EXPECT_FALSE(MacAddress::parse("02-00-5e-ff-00-01"));
  EXPECT_FALSE(MacAddress::parse("02:00:5e:ff:00:0g"));
}

}  // namespace
}  // namespace penstock

#include "controlplane/vici/values.h"

#include <gtest/gtest.h>

namespace penstock::vici {
namespace {

TEST(ViciValues, times_have_charons_units) {
  EXPECT_EQ(*parse_time("30"), 30 * kSecond);
  EXPECT_EQ(*parse_time("30s"), 30 * kSecond);
  EXPECT_EQ(*parse_time("5m"), 300 * kSecond);
  EXPECT_EQ(*parse_time("1h"), 3600 * kSecond);
  EXPECT_EQ(*parse_time("2d"), 172'800 * kSecond);
  EXPECT_EQ(*parse_time("0"), 0);
  for (const char* text :
       {"", "s", "1w", "-1", "1.5h", "1 h h", "h1", "99999999999999999999", "5000d", "1hh"}) {
    EXPECT_FALSE(parse_time(text).ok()) << text;
  }
}

TEST(ViciValues, volumes_have_powers_of_1024) {
  EXPECT_EQ(*parse_volume("1000"), 1000U);
  EXPECT_EQ(*parse_volume("5k"), 5U << 10);
  EXPECT_EQ(*parse_volume("5M"), 5U << 20);
  EXPECT_EQ(*parse_volume("3g"), uint64_t{3} << 30);
  EXPECT_EQ(*parse_volume("17179869183g"), uint64_t{17179869183U} << 30);
  EXPECT_FALSE(parse_volume("17179869184g").ok());
  EXPECT_FALSE(parse_volume("5t").ok());
  EXPECT_FALSE(parse_volume("k").ok());
}

TEST(ViciValues, numbers_may_be_decimal_hexadecimal_and_octal) {
  EXPECT_EQ(*parse_number("42"), 42U);
  EXPECT_EQ(*parse_number("0x2A"), 42U);
  EXPECT_EQ(*parse_number("052"), 42U);
  EXPECT_EQ(*parse_number("0"), 0U);
  EXPECT_FALSE(parse_number("0x").ok());
  EXPECT_FALSE(parse_number("42x").ok());
  EXPECT_FALSE(parse_number("").ok());
  EXPECT_FALSE(parse_number("65536", 65535).ok());
}

TEST(ViciValues, booleans_have_charons_words) {
  for (const char* yes : {"yes", "YES", "true", "enabled", "1"}) EXPECT_TRUE(*parse_bool(yes));
  for (const char* no : {"no", "False", "disabled", "0"}) EXPECT_FALSE(*parse_bool(no));
  EXPECT_FALSE(parse_bool("on").ok());
  EXPECT_FALSE(parse_bool("").ok());
}

TEST(ViciValues, dscp_is_six_binary_digits) {
  EXPECT_EQ(*parse_dscp("101110"), 46);
  EXPECT_EQ(*parse_dscp("000000"), 0);
  for (const char* text : {"", "10111", "1011100", "10111x", "46"}) {
    EXPECT_FALSE(parse_dscp(text).ok()) << text;
  }
}

struct SelectorRow {
  const char* text;
  const char* shown;
};

TEST(ViciValues, selectors_shown_as_charon_shows_them) {
  for (const SelectorRow& row : std::initializer_list<SelectorRow>{
           {"10.1.0.0/16", "10.1.0.0/16"},
           {"10.1.2.3/16", "10.1.0.0/16"},
           {"10.1.2.3", "10.1.2.3/32"},
           {"10.1.0.0/16[tcp/80]", "10.1.0.0/16[tcp/80]"},
           {"10.1.0.0/16[tcp/http]", "10.1.0.0/16[tcp/80]"},
           {"10.1.0.0/16[6/1024-2047]", "10.1.0.0/16[tcp/1024-2047]"},
           {"10.1.0.0/16[udp]", "10.1.0.0/16[udp]"},
           {"10.1.0.0/16[any/53]", "10.1.0.0/16[/53]"},
           {"10.1.0.0/16[/53]", "10.1.0.0/16[/53]"},
           {"10.1.0.0/16[tcp/any]", "10.1.0.0/16[tcp]"},
           {"10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/OPAQUE]"},
           {"10.1.0.0/16[icmp/8]", "10.1.0.0/16[icmp/8]"},
           {"fd00::/8[ipv6-icmp/128]", "fd00::/8[ipv6-icmp/128]"},
           {"10.0.0.1-10.0.0.9", "10.0.0.1..10.0.0.9"},
           {"10.0.0.0-10.0.0.255", "10.0.0.0/24"},
           {"0.0.0.0/0", "0.0.0.0/0"},
           {"::/0", "::/0"},
           {"dynamic", "dynamic"},
           {"dynamic[udp/500]", "dynamic[udp/500]"},
       }) {
    const auto selector = parse_selector(row.text);
    ASSERT_TRUE(selector.ok()) << row.text << ": " << selector.error().text;
    EXPECT_EQ(to_string(*selector), row.shown) << row.text;
  }
}

TEST(ViciValues, icmp_selector_has_type_and_code_of_rfc_4301) {
  const auto echo = parse_selector("10.0.0.0/8[icmp/8]");
  ASSERT_TRUE(echo.ok());
  EXPECT_EQ(echo->selector.first_port, 0x0800);
  EXPECT_EQ(echo->selector.last_port, 0x08ff);
  const auto code = parse_selector("10.0.0.0/8[icmp/0x0301]");
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(code->selector.first_port, 0x0301);
  EXPECT_EQ(code->selector.last_port, 0x0301);
}

TEST(ViciValues, broken_selectors_are_refused) {
  for (const char* text :
       {"", "10.1.0.0/33", "10.1.0.0/16[", "10.1.0.0/16[tcp", "10.1.0.0/16[nonsense]",
        "10.1.0.0/16[256]", "10.1.0.0/16[tcp/65536]", "10.1.0.0/16[tcp/90-80]",
        "10.1.0.0/16[tcp/nonsense]", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "host.example",
        "10.1.0.0/16[tcp/80]x"}) {
    EXPECT_FALSE(parse_selector(text).ok()) << text;
  }
}

TEST(ViciValues, addresses_may_be_ranges_and_names) {
  EXPECT_EQ(to_string(*parse_address_match("192.0.2.1")), "192.0.2.1");
  EXPECT_EQ(to_string(*parse_address_match("192.0.2.0/24")), "192.0.2.0/24");
  EXPECT_EQ(to_string(*parse_address_match("192.0.2.1-192.0.2.9")), "192.0.2.1-192.0.2.9");
  EXPECT_EQ(to_string(*parse_address_match("%any4")), "0.0.0.0/0");
  EXPECT_EQ(to_string(*parse_address_match("%any6")), "::/0");
  EXPECT_TRUE(parse_address_match("vpn.example.com")->is_name());
  for (const char* text : {"", "%eth0", "192.0.2.256", "192.0.2", "a b", "-x", "x/24"}) {
    EXPECT_FALSE(parse_address_match(text).ok()) << text;
  }
}

}  // namespace
}  // namespace penstock::vici

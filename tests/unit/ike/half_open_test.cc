#include "controlplane/ike/half_open.h"

#include <gtest/gtest.h>

namespace penstock::ike {
namespace {

Endpoint endpoint(const char* text) { return *Endpoint::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }

struct Guard {
  SystemRandom random;
  Options options;
  HalfOpenGuard guard{random, options};
  ByteVector nonce = ByteVector(32, 1);
  Endpoint source = endpoint("192.0.2.1:500");
  ByteVector cookie(Nanoseconds now) { return guard.make_cookie(now, source, 7, nonce); }
  bool good(Nanoseconds now, Bytes cookie) {
    return guard.cookie_is_valid(now, source, 7, nonce, cookie);
  }
};

TEST(HalfOpen, cookie_is_valid_for_its_sender_only) {
  Guard set;
  const ByteVector cookie = set.cookie(0);
  EXPECT_TRUE(set.good(0, cookie));
  auto& guard = set.guard;
  EXPECT_FALSE(guard.cookie_is_valid(0, endpoint("192.0.2.2:500"), 7, set.nonce, cookie));
  EXPECT_FALSE(guard.cookie_is_valid(0, endpoint("192.0.2.1:501"), 7, set.nonce, cookie));
  EXPECT_FALSE(guard.cookie_is_valid(0, set.source, 8, set.nonce, cookie));
  EXPECT_FALSE(guard.cookie_is_valid(0, set.source, 7, ByteVector(32, 2), cookie));
  for (size_t i = 0; i < cookie.size(); ++i) {
    ByteVector wrong = cookie;
    wrong[i] ^= 0x10;
    EXPECT_FALSE(set.good(0, wrong)) << i;
  }
  EXPECT_FALSE(set.good(0, Bytes(cookie).first(cookie.size() - 1)));
  EXPECT_FALSE(set.good(0, {}));
}

TEST(HalfOpen, cookie_outlives_one_change_of_the_secret_and_not_two) {
  Guard set;
  const Nanoseconds lifetime = set.options.cookie_secret_lifetime_ns;
  const ByteVector cookie = set.cookie(0);
  EXPECT_TRUE(set.good(lifetime - 1, cookie));
  EXPECT_TRUE(set.good(lifetime + 1, cookie));
  (void)set.cookie(2 * lifetime + 2);
  EXPECT_FALSE(set.good(2 * lifetime + 2, cookie));
  const ByteVector late = set.cookie(10 * lifetime);
  EXPECT_FALSE(set.good(50 * lifetime, late)) << "nobody asked in between";
}

TEST(HalfOpen, guesses_before_the_first_cookie_are_refused) {
  Guard set;
  for (unsigned version = 0; version < 256; ++version) {
    ByteVector guess(17, 0);
    guess[0] = static_cast<uint8_t>(version);
    EXPECT_FALSE(set.good(0, guess));
  }
}

TEST(HalfOpen, limits_are_for_an_address_or_an_ipv6_network_of_64_bits) {
  Guard set;
  set.options.half_open_per_source = 2;
  set.guard.add(address("192.0.2.1"));
  set.guard.add(address("192.0.2.1"));
  EXPECT_FALSE(set.guard.has_room(address("192.0.2.1")));
  EXPECT_TRUE(set.guard.has_room(address("192.0.2.2")));
  set.guard.add(address("2001:db8::1"));
  set.guard.add(address("2001:db8::ffff:1"));
  EXPECT_FALSE(set.guard.has_room(address("2001:db8::2")));
  EXPECT_TRUE(set.guard.has_room(address("2001:db8:0:1::2")));
  set.guard.remove(address("2001:db8::1"));
  EXPECT_TRUE(set.guard.has_room(address("2001:db8::2")));
  EXPECT_EQ(set.guard.count(), 3U);
  set.guard.remove(address("203.0.113.1"));
  EXPECT_EQ(set.guard.count(), 3U) << "never added";
  set.options.half_open = 3;
  EXPECT_FALSE(set.guard.has_room(address("203.0.113.1")));
}

}  // namespace
}  // namespace penstock::ike

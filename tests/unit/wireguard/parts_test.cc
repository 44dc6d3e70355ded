// The machine's parts by themselves: cookies, rate limits, staging, time stamps, deadlines.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "controlplane/sansio/deadline_heap.h"
#include "controlplane/wireguard/cookie.h"
#include "controlplane/wireguard/rate_limiter.h"
#include "controlplane/wireguard/staging.h"
#include "controlplane/wireguard/tai64n.h"
#include "gateway/base/text.h"

namespace penstock::wireguard {
namespace {

class SeededRandom final : public RandomSource {
 public:
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_{1};
};

constexpr Nanoseconds kLifetime = 120 * kSecond;

struct Cookies : testing::Test {
  Cookies() : checker(random, kLifetime), jar(key) {
    checker.set_public_key(key);
    for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<uint8_t>(i);
  }
  SeededRandom random;
  PublicKey key{1, 2, 3};
  CookieChecker checker;
  CookieJar jar;
  ByteVector message = ByteVector(148);
  Endpoint source{Ipv4Address{{192, 0, 2, 1}}, 1234};
};

TEST_F(Cookies, mac1_matches_an_independent_computation) {
  jar.add_macs(0, kLifetime, message);
  // blake2s(bytes 0..115, key=blake2s("mac1----" || 010203 0*29), 16) by Python's hashlib.
  EXPECT_EQ(to_hex(Bytes(message).subspan(116, 16)), "ba401ab8c13d29ea6a55e406b35bfd58");
  EXPECT_EQ(to_hex(Bytes(message).subspan(132)), std::string(32, '0'));
  EXPECT_TRUE(checker.mac1_is_valid(message));
}

TEST_F(Cookies, each_flipped_bit_fails_mac1) {
  jar.add_macs(0, kLifetime, message);
  for (size_t bit = 0; bit < 132 * 8; ++bit) {
    ByteVector flipped = message;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(checker.mac1_is_valid(flipped)) << bit;
  }
}

TEST_F(Cookies, cookie_is_good_for_its_source_and_time_only) {
  jar.add_macs(0, kLifetime, message);
  EXPECT_FALSE(checker.mac2_is_valid(0, source, message));
  const CookieReplyMessage reply = checker.make_reply(0, source, 77, message);
  EXPECT_EQ(reply.receiver_index.get(), 77U);
  ASSERT_TRUE(jar.take_reply(0, reply));
  EXPECT_FALSE(jar.take_reply(0, reply)) << "one reply for one message";
  jar.add_macs(kSecond, kLifetime, message);
  EXPECT_TRUE(checker.mac2_is_valid(kSecond, source, message));

  Endpoint other = source;
  other.port ^= 1;
  EXPECT_FALSE(checker.mac2_is_valid(kSecond, other, message));
  other = Endpoint{Ipv4Address{{192, 0, 2, 2}}, source.port};
  EXPECT_FALSE(checker.mac2_is_valid(kSecond, other, message));
  for (size_t bit = 132 * 8; bit < 148 * 8; ++bit) {
    ByteVector flipped = message;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(checker.mac2_is_valid(kSecond, source, flipped));
  }
  EXPECT_TRUE(checker.mac2_is_valid(kLifetime - 1, source, message));
  EXPECT_FALSE(checker.mac2_is_valid(kLifetime, source, message)) << "the secret has changed";
  jar.add_macs(kLifetime, kLifetime, message);
  EXPECT_EQ(to_hex(Bytes(message).subspan(132)), std::string(32, '0')) << "too old to be sent";
}

TEST_F(Cookies, reply_to_another_message_is_refused) {
  jar.add_macs(0, kLifetime, message);
  const CookieReplyMessage reply = checker.make_reply(0, source, 1, message);
  message[9] ^= 1;
  jar.add_macs(0, kLifetime, message);
  EXPECT_FALSE(jar.take_reply(0, reply));
}

TEST(RateLimiter, burst_then_rate_per_source) {
  SeededRandom random;
  const SeededHash hash(random);
  RateLimiter limiter(hash, Limits{});
  const IpAddress one = *IpAddress::parse("192.0.2.1");
  const IpAddress two = *IpAddress::parse("192.0.2.2");
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.allow(0, one));
  EXPECT_FALSE(limiter.allow(0, one));
  EXPECT_TRUE(limiter.allow(0, two));
  EXPECT_FALSE(limiter.allow(49 * kMillisecond, one));
  EXPECT_TRUE(limiter.allow(50 * kMillisecond, one));
  EXPECT_FALSE(limiter.allow(51 * kMillisecond, one));
  int allowed = 0;
  for (int ms = 100; ms < 1100; ++ms) allowed += limiter.allow(ms * kMillisecond, one);
  EXPECT_NEAR(allowed, 20, 1);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.allow(10'000 * kSecond, one));
  EXPECT_FALSE(limiter.allow(10'000 * kSecond, one));
}

TEST(RateLimiter, ipv6_sources_share_their_64) {
  SeededRandom random;
  const SeededHash hash(random);
  RateLimiter limiter(hash, Limits{});
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(limiter.allow(0, *IpAddress::parse("2001:db8::" + std::to_string(i))));
  }
  EXPECT_FALSE(limiter.allow(0, *IpAddress::parse("2001:db8::ffff:1")));
  EXPECT_TRUE(limiter.allow(0, *IpAddress::parse("2001:db8:0:1::1")));
}

TEST(RateLimiter, full_table_goes_on_working) {
  SeededRandom random;
  const SeededHash hash(random);
  Limits limits;
  limits.sources = 64;
  RateLimiter limiter(hash, limits);
  for (uint32_t i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(limiter.allow(0, Ipv4Address::from_host(i)));
  }
  const IpAddress last = Ipv4Address::from_host(9'999);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limiter.allow(0, last));
  EXPECT_FALSE(limiter.allow(0, last));
}

TEST(Staging, matches_a_trivial_model) {
  constexpr uint32_t kPerPeer = 3;
  constexpr uint32_t kAll = 8;
  Staging staging(kPerPeer, kAll);
  std::vector<StagedQueue> queues(5);
  std::deque<std::pair<size_t, uint8_t>> model;  // oldest first
  SeededRandom random;
  for (uint32_t round = 0; round < 20'000; ++round) {
    const size_t peer = random.below(5);
    const auto of_peer = [&](const auto& entry) { return entry.first == peer; };
    if (random.below(3) != 0) {
      uint32_t expected = 0;
      if (std::count_if(model.begin(), model.end(), of_peer) == kPerPeer) {
        model.erase(std::find_if(model.begin(), model.end(), of_peer));
        ++expected;
      }
      if (model.size() == kAll) {
        model.pop_front();
        ++expected;
      }
      model.emplace_back(peer, static_cast<uint8_t>(round));
      ASSERT_EQ(staging.push(queues[peer], ByteVector{static_cast<uint8_t>(round)}), expected);
    } else {
      const auto packet = staging.pop(queues[peer]);
      const auto expected = std::find_if(model.begin(), model.end(), of_peer);
      ASSERT_EQ(packet.has_value(), expected != model.end());
      if (packet) {
        ASSERT_EQ(packet->at(0), expected->second);
        model.erase(expected);
      }
    }
    ASSERT_EQ(staging.size(), model.size());
  }
  for (StagedQueue& queue : queues) (void)staging.clear(queue);
  EXPECT_EQ(staging.size(), 0U);
}

TEST(Tai64n, layout_order_and_whitening) {
  EXPECT_EQ(to_hex(tai64n_of(0)), "400000000000000a00000000");
  EXPECT_EQ(to_hex(tai64n_of(1'500'000'001)), "400000000000000b1dcd6501");
  EXPECT_LT(tai64n_of(255), tai64n_of(256));
  EXPECT_LT(tai64n_of(999'999'999), tai64n_of(1'000'000'000));

  const uint64_t first = next_timestamp_ns(1'700'000'000 * kSecond + 123'456, 0);
  EXPECT_EQ(first % kTimestampGrainNs, 0U);
  EXPECT_EQ(next_timestamp_ns(1'700'000'000 * kSecond + 123'457, first), first + 1);
  EXPECT_EQ(next_timestamp_ns(5, first), first + 1);
  EXPECT_EQ(next_timestamp_ns(-5, first), first + 1);
}

TEST(DeadlineHeap, matches_a_trivial_model) {
  DeadlineHeap heap;
  std::map<uint32_t, Nanoseconds> model;
  SeededRandom random;
  for (int round = 0; round < 20'000; ++round) {
    const uint32_t owner = random.below(50);
    switch (random.below(4)) {
      case 0:
        heap.remove(owner);
        model.erase(owner);
        break;
      case 1:
        if (!heap.empty()) {
          const auto least =
              std::min_element(model.begin(), model.end(), [](const auto& a, const auto& b) {
                return std::pair(a.second, a.first) < std::pair(b.second, b.first);
              });
          ASSERT_EQ(heap.earliest_ns(), least->second);
          ASSERT_EQ(heap.pop(), least->first);
          model.erase(least);
        }
        break;
      default: {
        const auto deadline = static_cast<Nanoseconds>(random.below(1000));
        heap.set_no_later_than(owner, deadline);
        const auto [at, fresh] = model.emplace(owner, deadline);
        if (!fresh) at->second = std::min(at->second, deadline);
      }
    }
    ASSERT_EQ(heap.size(), model.size());
  }
}

}  // namespace
}  // namespace penstock::wireguard

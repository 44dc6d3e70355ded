#include "dataplane/wire/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/wire/ecn.h"
#include "dataplane/wire/fragment.h"
#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

std::vector<ByteVector> fragments_v4(const ByteVector& packet, uint16_t mtu) {
  std::vector<ByteVector> all;
  auto fragmenter = Ipv4Fragmenter::make(packet, mtu);
  while (const auto fragment = fragmenter->next()) {
    all.push_back(
        joined({{reinterpret_cast<const uint8_t*>(&fragment->header), 20}, fragment->payload}));
  }
  return all;
}

ByteVector fragment_v6(const V6Options& options, uint32_t identification, size_t offset, bool more,
                       Bytes payload) {
  Ipv6FragmentHeader header{};
  header.next_header = options.next_header;
  header.offset_more.set(static_cast<uint16_t>(offset | (more ? 1 : 0)));
  header.identification.set(identification);
  V6Options outer = options;
  outer.next_header = kProtocolFragment;
  return ipv6_packet(outer,
                     joined({{reinterpret_cast<const uint8_t*>(&header), sizeof header}, payload}));
}

std::vector<ByteVector> fragments_v6(const V6Options& options, uint32_t identification,
                                     Bytes payload, size_t step) {
  std::vector<ByteVector> all;
  for (size_t at = 0; at < payload.size(); at += step) {
    const size_t length = std::min(step, payload.size() - at);
    all.push_back(fragment_v6(options, identification, at, at + length < payload.size(),
                              payload.subspan(at, length)));
  }
  return all;
}

class ReassemblyTest : public ::testing::Test {
 protected:
  void restart(const ReassemblyLimits& limits) { table_.emplace(limits, 42); }
  ByteVector add(Bytes packet) { return to_vector(table_->add(now_, packet, drops_)); }
  ByteVector add_all(const std::vector<ByteVector>& fragments) {
    ByteVector whole;
    for (const ByteVector& fragment : fragments) {
      EXPECT_TRUE(whole.empty());
      whole = add(fragment);
    }
    return whole;
  }
  [[nodiscard]] uint64_t dropped() const {
    return drops_.invalid + drops_.table_full + drops_.timeout;
  }

  std::optional<Reassembler> table_{std::in_place, ReassemblyLimits{}, uint64_t{42}};
  Nanoseconds now_ = 1000;
  FragmentDrops drops_;
  Random random_{21};
};

TEST_F(ReassemblyTest, ipv4_any_order_gives_the_original) {
  for (int round = 0; round < 300; ++round) {
    const ByteVector payload = random_bytes(random_, 1 + random_() % 8000);
    const ByteVector packet =
        ipv4_packet({.identification = static_cast<uint16_t>(round), .tos = 0xb8}, payload);
    auto fragments = fragments_v4(packet, static_cast<uint16_t>(100 + random_() % 1400));
    if (fragments.size() == 1) continue;
    std::shuffle(fragments.begin(), fragments.end(), random_);
    ASSERT_EQ(add_all(fragments), packet);
    ASSERT_EQ(table_->datagrams(), 0U);
    ASSERT_EQ(table_->memory_used_bytes(), 0U);
  }
  EXPECT_EQ(dropped(), 0U);
}

TEST_F(ReassemblyTest, ipv6_any_order_gives_the_original) {
  for (int round = 0; round < 300; ++round) {
    const ByteVector payload = random_bytes(random_, 200 + random_() % 8000);
    auto fragments =
        fragments_v6({}, static_cast<uint32_t>(round), payload, 8 * (10 + random_() % 140));
    if (fragments.size() == 1) continue;
    std::shuffle(fragments.begin(), fragments.end(), random_);
    ASSERT_EQ(add_all(fragments), ipv6_packet({}, payload));
    ASSERT_EQ(table_->memory_used_bytes(), 0U);
  }
  EXPECT_EQ(dropped(), 0U);
}

TEST_F(ReassemblyTest, many_datagrams_interleaved_are_told_apart) {
  std::vector<ByteVector> expected;
  std::vector<ByteVector> mixed;
  for (unsigned i = 0; i < 20; ++i) {
    const ByteVector payload = random_bytes(random_, 3000);
    const auto id = static_cast<uint16_t>(i % 5);
    // The same identification with another protocol or address is another datagram.
    V4Options options{.identification = id};
    if (i >= 5) options.protocol = kProtocolTcp;
    if (i >= 10) options.source = "192.0.2.77";
    if (i >= 15) options.destination = "198.51.100.77";
    expected.push_back(ipv4_packet(options, payload));
    for (auto& fragment : fragments_v4(expected.back(), 600)) mixed.push_back(std::move(fragment));
  }
  std::shuffle(mixed.begin(), mixed.end(), random_);
  std::vector<ByteVector> wholes;
  for (const ByteVector& fragment : mixed) {
    ByteVector whole = add(fragment);
    if (!whole.empty()) wholes.push_back(std::move(whole));
  }
  ASSERT_EQ(wholes.size(), expected.size());
  for (const ByteVector& packet : expected) {
    EXPECT_EQ(std::count(wholes.begin(), wholes.end(), packet), 1);
  }
}

TEST_F(ReassemblyTest, duplicate_is_dropped_and_datagram_completes) {
  const ByteVector packet = ipv4_packet({}, random_bytes(random_, 2000));
  const auto fragments = fragments_v4(packet, 600);
  for (size_t i = 0; i + 1 < fragments.size(); ++i) {
    EXPECT_TRUE(add(fragments[i]).empty());
    EXPECT_TRUE(add(fragments[i]).empty());
  }
  EXPECT_EQ(add(fragments.back()), packet);
  EXPECT_EQ(drops_.invalid, fragments.size() - 1);
}

TEST_F(ReassemblyTest, overlap_condemns_datagram_and_what_still_comes) {
  struct Row {
    const char* what;
    size_t offset, length;
    bool more;
  };
  // Against a first piece that covers 400..799.
  constexpr Row kRows[] = {
      {"begins inside", 480, 400, true},        {"ends inside", 80, 400, true},
      {"lies inside", 480, 80, true},           {"lies around", 320, 800, true},
      {"same place, is last", 400, 400, false}, {"last before it", 80, 100, false},
  };
  for (const bool is_v6 : {false, true}) {
    for (const Row& row : kRows) {
      restart({});
      drops_ = {};
      const auto piece = [&](size_t offset, size_t length, bool more) {
        const ByteVector payload = random_bytes(random_, length);
        if (is_v6) return fragment_v6({}, 9, offset, more, payload);
        return ipv4_packet({.fragment = static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0))},
                           payload);
      };
      EXPECT_TRUE(add(piece(400, 400, true)).empty());
      EXPECT_EQ(dropped(), 0U);
      EXPECT_TRUE(add(piece(row.offset, row.length, row.more)).empty());
      EXPECT_EQ(drops_.invalid, 2U) << row.what;
      EXPECT_EQ(table_->memory_used_bytes(), 0U);
      // RFC 5722: fragments that have not arrived yet are discarded too.
      EXPECT_TRUE(add(piece(0, 400, true)).empty());
      EXPECT_TRUE(add(piece(800, 100, false)).empty());
      EXPECT_EQ(drops_.invalid, 4U) << row.what;
      now_ += 5 * kSecond;
      table_->expire(now_, drops_);
      EXPECT_EQ(table_->datagrams(), 0U);
      EXPECT_EQ(dropped(), 4U);
    }
  }
}

TEST_F(ReassemblyTest, same_place_with_other_bytes_is_an_overlap) {
  ByteVector fragment = ipv4_packet({.fragment = kIpv4MoreFragments}, ByteVector(1200, 1));
  EXPECT_TRUE(add(fragment).empty());
  fragment.back() ^= 1;
  EXPECT_TRUE(add(fragment).empty());
  EXPECT_EQ(drops_.invalid, 2U);
}

TEST_F(ReassemblyTest, nothing_may_follow_the_last_fragment) {
  const ByteVector last = ipv4_packet({.fragment = 100}, ByteVector(80, 1));
  const ByteVector behind = ipv4_packet({.fragment = 0x2000 | 120}, ByteVector(80, 1));
  EXPECT_TRUE(add(last).empty());
  EXPECT_TRUE(add(behind).empty());
  EXPECT_EQ(drops_.invalid, 2U);
  restart({});
  EXPECT_TRUE(add(behind).empty());
  EXPECT_TRUE(add(last).empty());
  EXPECT_EQ(drops_.invalid, 4U);
  restart({});
  EXPECT_TRUE(add(last).empty());
  EXPECT_TRUE(add(ipv4_packet({.fragment = 120}, ByteVector(80, 1))).empty());
  EXPECT_EQ(drops_.invalid, 6U);
}

TEST_F(ReassemblyTest, malformed_fragments_are_refused_without_state) {
  struct Row {
    const char* what;
    ByteVector packet;
  };
  const ByteVector good(64, 1);
  ByteVector wrong_length = ipv4_packet({.fragment = kIpv4MoreFragments}, good);
  wrong_length.push_back(0);
  ByteVector bad_header_length = ipv4_packet({.fragment = kIpv4MoreFragments}, good);
  bad_header_length[0] = 0x44;
  ByteVector v6_wrong_length = fragment_v6({}, 1, 0, true, good);
  v6_wrong_length.push_back(0);
  // A destination options header that reaches past the first fragment, RFC 7112.
  ByteVector chain(64);
  chain[0] = kProtocolUdp;
  chain[1] = 20;
  ByteVector long_front(96 + 64);
  long_front[0] = kProtocolFragment;
  long_front[1] = 11;
  const Row rows[] = {
      {"not a fragment", ipv4_packet({}, good)},
      {"no payload", ipv4_packet({.fragment = kIpv4MoreFragments}, {})},
      {"odd length with MF", ipv4_packet({.fragment = kIpv4MoreFragments}, ByteVector(65))},
      {"tiny with MF", ipv4_packet({.fragment = kIpv4MoreFragments}, ByteVector(40))},
      {"tiny in the middle", ipv4_packet({.fragment = kIpv4MoreFragments | 8}, ByteVector(8))},
      {"ping of death", ipv4_packet({.fragment = 0x1fff}, ByteVector(9))},
      {"one byte past 65535", ipv4_packet({.fragment = 0x1ffd}, ByteVector(4))},
      {"more than its length", wrong_length},
      {"header length 4 words", bad_header_length},
      {"v6 without fragment header", ipv6_packet({}, good)},
      {"v6 no payload", fragment_v6({}, 1, 8, false, {})},
      {"v6 odd length with more", fragment_v6({}, 1, 0, true, ByteVector(65))},
      {"v6 tiny with more", fragment_v6({}, 1, 8, true, ByteVector(40))},
      {"v6 past 65535", fragment_v6({}, 1, 0xfff8, false, ByteVector(8))},
      {"v6 more than its length", v6_wrong_length},
      {"v6 header chain past first fragment",
       fragment_v6({.next_header = kProtocolDestinationOptions}, 1, 0, true, chain)},
      {"v6 too much in front",
       ipv6_packet({.next_header = kProtocolDestinationOptions}, long_front)},
      {"version 5", ByteVector(60, 0x55)},
      {"nothing", {}},
  };
  uint64_t expected = 0;
  for (const Row& row : rows) {
    EXPECT_TRUE(add(row.packet).empty()) << row.what;
    EXPECT_EQ(drops_.invalid, ++expected) << row.what;
    EXPECT_EQ(table_->datagrams(), 0U) << row.what;
  }
}

TEST_F(ReassemblyTest, largest_datagram_passes_and_one_more_byte_does_not) {
  const ByteVector largest = ipv4_packet({}, random_bytes(random_, 65515));
  EXPECT_EQ(add_all(fragments_v4(largest, 1500)), largest);
  const ByteVector six_payload = random_bytes(random_, 65535);
  EXPECT_EQ(add_all(fragments_v6({}, 1, six_payload, 1232)), ipv6_packet({}, six_payload));
  EXPECT_EQ(dropped(), 0U);
}

TEST_F(ReassemblyTest, timeout_drops_and_next_fragment_starts_anew) {
  const ByteVector packet = ipv4_packet({}, random_bytes(random_, 1000));
  const auto fragments = fragments_v4(packet, 600);
  EXPECT_EQ(table_->next_timeout(), kNever);
  EXPECT_TRUE(add(fragments[0]).empty());
  EXPECT_EQ(table_->next_timeout(), 1000 + 5 * kSecond);
  now_ = 1000 + 5 * kSecond - 1;
  table_->expire(now_, drops_);
  EXPECT_EQ(table_->datagrams(), 1U);
  now_ += 1;
  EXPECT_TRUE(add(fragments[1]).empty());
  EXPECT_EQ(drops_.timeout, 1U);
  EXPECT_EQ(table_->datagrams(), 1U);
  EXPECT_EQ(add(fragments[0]), packet);
}

TEST_F(ReassemblyTest, full_table_drops_the_oldest) {
  restart({.datagrams = 4, .datagrams_per_source = 4});
  std::vector<std::vector<ByteVector>> sent;
  for (uint16_t i = 0; i < 5; ++i) {
    const std::string source = "192.0.2." + std::to_string(i + 1);
    sent.push_back(fragments_v4(
        ipv4_packet({.source = source.c_str(), .identification = i}, ByteVector(1000, 7)), 600));
    EXPECT_TRUE(add(sent.back()[0]).empty());
    ++now_;
  }
  EXPECT_EQ(table_->datagrams(), 4U);
  EXPECT_EQ(drops_.table_full, 1U);
  for (size_t i = 1; i < 5; ++i) EXPECT_FALSE(add(sent[i][1]).empty()) << i;
  EXPECT_TRUE(add(sent[0][1]).empty());
}

TEST_F(ReassemblyTest, one_source_cannot_take_the_table_from_others) {
  restart({.datagrams = 64, .datagrams_per_source = 4});
  const ByteVector packet = ipv4_packet({.source = "203.0.113.9"}, ByteVector(1000, 7));
  const auto fragments = fragments_v4(packet, 600);
  EXPECT_TRUE(add(fragments[0]).empty());
  for (uint16_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(
        add(ipv4_packet({.fragment = kIpv4MoreFragments, .identification = i}, ByteVector(64)))
            .empty());
  }
  EXPECT_EQ(table_->datagrams(), 5U);
  EXPECT_EQ(drops_.table_full, 996U);
  EXPECT_EQ(add(fragments[1]), packet);
}

TEST_F(ReassemblyTest, full_memory_drops_the_oldest_and_at_last_itself) {
  restart({.memory_bytes = 4096});
  const auto piece = [](uint16_t identification, size_t offset) {
    return ipv4_packet(
        {.fragment = static_cast<uint16_t>(0x2000 | offset / 8), .identification = identification},
        ByteVector(1024, 3));
  };
  for (const size_t offset : {0U, 1024U, 2048U}) EXPECT_TRUE(add(piece(1, offset)).empty());
  EXPECT_TRUE(add(piece(2, 0)).empty());
  EXPECT_EQ(table_->memory_used_bytes(), 4096U);
  EXPECT_TRUE(add(piece(2, 1024)).empty());
  EXPECT_EQ(drops_.table_full, 3U);
  EXPECT_EQ(table_->datagrams(), 1U);
  for (const size_t offset : {2048U, 3072U}) EXPECT_TRUE(add(piece(2, offset)).empty());
  EXPECT_EQ(drops_.table_full, 3U);
  EXPECT_TRUE(add(piece(2, 4096)).empty());
  EXPECT_EQ(drops_.table_full, 3U + 5U);
  EXPECT_EQ(table_->datagrams(), 0U);
  EXPECT_EQ(table_->memory_used_bytes(), 0U);
}

TEST_F(ReassemblyTest, too_many_fragments_condemn_the_datagram) {
  restart({.fragments_per_datagram = 4});
  for (unsigned i = 0; i < 5; ++i) {
    EXPECT_TRUE(
        add(ipv4_packet({.fragment = static_cast<uint16_t>(0x2000 | i * 8)}, ByteVector(64)))
            .empty());
  }
  EXPECT_EQ(drops_.invalid, 5U);
}

TEST_F(ReassemblyTest, ipv6_atomic_fragment_passes_beside_a_datagram_of_the_same_identification) {
  const ByteVector payload = random_bytes(random_, 1000);
  const auto fragments = fragments_v6({}, 77, payload, 600);
  EXPECT_TRUE(add(fragments[0]).empty());
  const ByteVector small = random_bytes(random_, 20);
  EXPECT_EQ(add(fragment_v6({}, 77, 0, false, small)), ipv6_packet({}, small));
  EXPECT_EQ(add(fragments[1]), ipv6_packet({}, payload));
  EXPECT_EQ(dropped(), 0U);
}

TEST_F(ReassemblyTest, ipv6_headers_in_front_stay_and_name_the_upper_protocol) {
  // Hop-by-hop options, then the fragment header: it is the former that named the latter.
  const auto build = [](size_t offset, bool more, uint8_t next, Bytes payload) {
    Ipv6FragmentHeader header{};
    header.next_header = next;
    header.offset_more.set(static_cast<uint16_t>(offset | (more ? 1 : 0)));
    header.identification.set(5);
    const uint8_t options[8] = {kProtocolFragment, 0, 1, 4, 0, 0, 0, 0};
    return ipv6_packet(
        {.next_header = kProtocolHopByHop},
        joined({options, {reinterpret_cast<const uint8_t*>(&header), sizeof header}, payload}));
  };
  const ByteVector payload = random_bytes(random_, 164);
  // RFC 8200 4.5: only the first fragment's next header counts.
  EXPECT_TRUE(add(build(64, false, 99, Bytes(payload).subspan(64))).empty());
  const ByteVector whole = add(build(0, true, kProtocolUdp, Bytes(payload).first(64)));
  const uint8_t options[8] = {kProtocolUdp, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(whole, ipv6_packet({.next_header = kProtocolHopByHop}, joined({options, payload})));
}

TEST_F(ReassemblyTest, congestion_of_any_fragment_marks_the_whole) {
  for (const bool is_v6 : {false, true}) {
    const auto pieces = [&](uint8_t first, uint8_t second) -> std::vector<ByteVector> {
      const ByteVector a(64, 1);
      const ByteVector b(32, 2);
      if (is_v6) {
        return {fragment_v6({.traffic_class = first}, 3, 0, true, a),
                fragment_v6({.traffic_class = second}, 3, 64, false, b)};
      }
      return {ipv4_packet({.fragment = 0x2000, .tos = first}, a),
              ipv4_packet({.fragment = 8, .tos = second}, b)};
    };
    drops_ = {};
    ByteVector whole = add_all(pieces(0xb8 | kEcnEct0, 0xb8 | kEcnCe));
    ASSERT_EQ(whole.size(), (is_v6 ? 40U : 20U) + 96U);
    if (is_v6) {
      EXPECT_EQ(view<Ipv6Header>(whole)->traffic_class(), 0xb8 | kEcnCe);
    } else {
      EXPECT_EQ(view<Ipv4Header>(whole)->tos, 0xb8 | kEcnCe);
      EXPECT_TRUE(plain_header_checksum_ok(*view<Ipv4Header>(whole)));
    }
    // RFC 3168 5.3: not capable beside congestion experienced is not to be believed.
    EXPECT_TRUE(add_all(pieces(kEcnNotEct, kEcnCe)).empty());
    EXPECT_EQ(drops_.invalid, 2U);
    EXPECT_EQ(table_->datagrams(), 0U);
  }
}

// Random traffic from few sources with collisions, overlaps, damage and time.
class ReassemblyStorm : public ReassemblyTest {
 protected:
  ByteVector random_fragment(size_t first_offset) {
    const size_t offset = first_offset + random_() % 6 * 64;
    const size_t length = random_() % 8 == 0 ? random_() % 1500 : 64;
    const bool more = random_() % 4 != 0;
    const ByteVector payload(length, random_() % 16 == 0 ? uint8_t{1} : uint8_t{0});
    if (random_() % 2 == 0) {
      return fragment_v6({}, static_cast<uint32_t>(random_() % 8), offset, more, payload);
    }
    return ipv4_packet({.source = random_() % 2 == 0 ? "192.0.2.1" : "192.0.2.2",
                        .fragment = static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)),
                        .identification = static_cast<uint16_t>(random_() % 8)},
                       payload);
  }
  static constexpr ReassemblyLimits kTight{.datagrams = 16,
                                           .datagrams_per_source = 6,
                                           .memory_bytes = 1 << 14,
                                           .fragments_per_datagram = 6};
};

TEST_F(ReassemblyStorm, stays_within_its_bounds_and_yields_valid_packets) {
  restart(kTight);
  size_t wholes = 0;
  for (int round = 0; round < 200000; ++round) {
    now_ += static_cast<Nanoseconds>(random_() % (200 * kMillisecond));
    ByteVector packet = random_fragment(0);
    if (random_() % 16 == 0) packet[random_() % packet.size()] ^= static_cast<uint8_t>(random_());
    const Bytes whole = table_->add(now_, packet, drops_);
    if (!whole.empty() && whole[0] >> 4 == 4) {
      ASSERT_EQ(load_unaligned<Be16>(&whole[2]).get(), whole.size());
      ASSERT_TRUE(internet_checksum_ok(whole.first((whole[0] & 15U) * 4)));
      ++wholes;
    }
    ASSERT_LE(table_->datagrams(), 16U);
    ASSERT_LE(table_->memory_used_bytes(), 1U << 14);
  }
  table_->expire(now_ + 10 * kSecond, drops_);
  EXPECT_EQ(table_->datagrams(), 0U);
  EXPECT_EQ(table_->memory_used_bytes(), 0U);
  EXPECT_GT(wholes, 100U);
}

TEST_F(ReassemblyStorm, without_first_fragments_every_fragment_ends_as_one_counted_drop) {
  restart(kTight);
  constexpr uint64_t kRounds = 100000;
  for (uint64_t round = 0; round < kRounds; ++round) {
    now_ += static_cast<Nanoseconds>(random_() % (200 * kMillisecond));
    ASSERT_TRUE(add(random_fragment(64)).empty());
  }
  table_->expire(now_ + 10 * kSecond, drops_);
  EXPECT_EQ(dropped(), kRounds);
  EXPECT_GT(drops_.timeout, 0U);
  EXPECT_GT(drops_.table_full, 0U);
  EXPECT_GT(drops_.invalid, 0U);
}

}  // namespace
}  // namespace penstock::test

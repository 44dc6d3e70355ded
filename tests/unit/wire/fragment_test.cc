#include "dataplane/wire/fragment.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

TEST(Fragmenter, pieces_cover_the_payload_in_order) {
  Random random(11);
  for (const size_t length : {1U, 8U, 48U, 49U, 1480U, 1481U, 9000U, 65515U}) {
    const ByteVector payload = random_bytes(random, length);
    for (const uint16_t mtu : {28, 68, 69, 75, 576, 1280, 1500, 9000}) {
      const ByteVector packet = ipv4_packet({.identification = 0xbeef, .tos = 0xb9}, payload);
      auto fragmenter = Ipv4Fragmenter::make(packet, mtu);
      ASSERT_TRUE(fragmenter);
      const size_t announced = fragmenter->fragment_count();
      ByteVector whole;
      size_t count = 0;
      while (const auto fragment = fragmenter->next()) {
        ++count;
        const Ipv4Header& ip = fragment->header;
        ASSERT_LE(20 + fragment->payload.size(), mtu);
        ASSERT_EQ(ip.total_length.get(), 20 + fragment->payload.size());
        ASSERT_EQ(ip.offset_bytes(), whole.size());
        ASSERT_EQ(ip.identification.get(), 0xbeef);
        ASSERT_EQ(ip.tos, 0xb9);
        ASSERT_TRUE(plain_header_checksum_ok(ip));
        whole.insert(whole.end(), fragment->payload.begin(), fragment->payload.end());
        ASSERT_EQ(ip.more_fragments(), whole.size() < length);
        if (ip.more_fragments()) {
          ASSERT_EQ(fragment->payload.size() % 8, 0U);
        }
      }
      EXPECT_EQ(count, announced);
      EXPECT_EQ(whole, payload);
      EXPECT_FALSE(fragmenter->next());
    }
  }
}

TEST(Fragmenter, fragment_of_a_fragment_keeps_offset_and_more_flag) {
  const ByteVector payload(64, 0x11);
  const ByteVector middle = ipv4_packet({.fragment = kIpv4MoreFragments | 100}, payload);
  auto fragmenter = Ipv4Fragmenter::make(middle, 52);
  ASSERT_TRUE(fragmenter);
  for (const unsigned offset : {800U, 832U}) {
    const auto fragment = fragmenter->next();
    ASSERT_TRUE(fragment);
    EXPECT_EQ(fragment->header.offset_bytes(), offset);
    EXPECT_TRUE(fragment->header.more_fragments());
  }
  EXPECT_FALSE(fragmenter->next());

  const ByteVector last = ipv4_packet({.fragment = 100}, payload);
  fragmenter = Ipv4Fragmenter::make(last, 52);
  EXPECT_TRUE(fragmenter->next()->header.more_fragments());
  EXPECT_FALSE(fragmenter->next()->header.more_fragments());
}

TEST(Fragmenter, packet_that_fits_yields_itself) {
  const ByteVector packet = ipv4_packet({.fragment = kIpv4DontFragment}, ByteVector(100, 1));
  auto fragmenter = Ipv4Fragmenter::make(packet, 120);
  const auto only = fragmenter->next();
  EXPECT_EQ(std::memcmp(&only->header, packet.data(), 20), 0);
  EXPECT_EQ(only->payload.size(), 100U);
  EXPECT_FALSE(fragmenter->next());
  const ByteVector empty = ipv4_packet({}, {});
  fragmenter = Ipv4Fragmenter::make(empty, 68);
  EXPECT_EQ(fragmenter->fragment_count(), 1U);
  EXPECT_TRUE(fragmenter->next());
  EXPECT_FALSE(fragmenter->next());
}

TEST(Fragmenter, what_cannot_be_split_is_refused) {
  const ByteVector packet = ipv4_packet({}, ByteVector(200));
  EXPECT_FALSE(Ipv4Fragmenter::make(packet, 27));
  EXPECT_FALSE(Ipv4Fragmenter::make(Bytes(packet).first(219), 100));
  EXPECT_FALSE(Ipv4Fragmenter::make(Bytes(packet).first(19), 100));
  ByteVector options = packet;
  options[0] = 0x46;
  EXPECT_FALSE(Ipv4Fragmenter::make(options, 100));
  const ByteVector past_end = ipv4_packet({.fragment = 0x1fff}, ByteVector(200));
  EXPECT_FALSE(Ipv4Fragmenter::make(past_end, 100));
  const ByteVector odd_middle = ipv4_packet({.fragment = kIpv4MoreFragments}, ByteVector(201));
  EXPECT_FALSE(Ipv4Fragmenter::make(odd_middle, 100));
}

}  // namespace
}  // namespace penstock::test

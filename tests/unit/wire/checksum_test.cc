#include "dataplane/wire/checksum.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

TEST(Checksum, every_length_and_alignment_equals_slow_one) {
  Random random(1);
  const ByteVector bytes = random_bytes(random, 2200);
  for (size_t length = 0; length <= 2100; ++length) {
    const Bytes part = Bytes(bytes).subspan(length % 67, length);
    ASSERT_EQ(internet_checksum(part).get(), slow_checksum(part)) << length;
  }
}

TEST(Checksum, extreme_bytes_do_not_lose_carries) {
  for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
    for (const size_t length : {1U, 127U, 128U, 1448U, 65535U, 131071U, 1U << 20, 3U << 20}) {
      const ByteVector bytes(length, value);
      ASSERT_EQ(internet_checksum(bytes).get(), slow_checksum(bytes)) << length << " " << +value;
    }
  }
  // Lowest and highest signed words, which the vector code treats apart.
  ByteVector words(4096);
  for (size_t i = 0; i < words.size(); i += 2) words[i + 1] = i % 4 == 0 ? 0x80 : 0x7f;
  EXPECT_EQ(internet_checksum(words).get(), slow_checksum(words));
}

TEST(Checksum, running_sum_over_pieces_equals_whole) {
  Random random(2);
  const ByteVector bytes = random_bytes(random, 1001);
  for (size_t cut = 0; cut <= 1000; cut += 2) {
    const uint64_t sum = sum_bytes(Bytes(bytes).subspan(cut), sum_bytes(Bytes(bytes).first(cut)));
    ASSERT_EQ(complement_sum(sum).get(), slow_checksum(bytes)) << cut;
  }
  EXPECT_EQ(fold_sum(sum_bytes(ByteVector(8, 0xff), UINT64_MAX)), 0xffff);
}

TEST(Checksum, plain_header_is_computed_and_verified) {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    ByteVector bytes = random_bytes(random, sizeof(Ipv4Header));
    if (round == 0) std::fill(bytes.begin(), bytes.end(), uint8_t{0xff});
    auto* header = view<Ipv4Header>(bytes);
    header->checksum.set(0);
    const uint16_t expected = slow_checksum(bytes);
    set_plain_header_checksum(*header);
    ASSERT_EQ(header->checksum.get(), expected);
    ASSERT_TRUE(plain_header_checksum_ok(*header));
    ASSERT_TRUE(internet_checksum_ok(bytes));
    const size_t bit = random() % 160;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
    ASSERT_FALSE(plain_header_checksum_ok(*header));
    ASSERT_FALSE(internet_checksum_ok(bytes));
  }
}

TEST(Checksum, rfc1624_example_gives_zero_not_minus_zero) {
  // RFC 1624 4: checksum 0xdd2f, field 0x5555 becomes 0x3285.
  EXPECT_EQ(update_checksum(Be16(0xdd2f), Be16(0x5555), Be16(0x3285)).get(), 0x0000);
}

TEST(Checksum, incremental_update_equals_recomputation_for_any_values) {
  // Every (checksum, field) corner: the rest of the message is chosen so that the sum passes 0xffff
  // exactly, one before and one behind.
  const uint16_t corners[] = {0x0000, 0x0001, 0x00ff, 0x0100, 0x7fff, 0x8000, 0xfffe, 0xffff};
  for (const uint16_t rest : corners) {
    for (const uint16_t before : corners) {
      for (const uint16_t after : corners) {
        // A version byte, as in any header: no message is all zeros.
        uint8_t message[6] = {0x45, 0};
        store_unaligned(message + 2, Be16(rest));
        store_unaligned(message + 4, Be16(before));
        const Be16 checksum = internet_checksum(message);
        store_unaligned(message + 4, Be16(after));
        EXPECT_EQ(update_checksum(checksum, Be16(before), Be16(after)).get(),
                  slow_checksum(message));
      }
    }
  }
}

TEST(Checksum, incremental_update_of_32_bits_equals_recomputation) {
  Random random(4);
  for (int round = 0; round < 5000; ++round) {
    ByteVector message = random_bytes(random, 20);
    message[0] = 0x45;
    const auto before = load_unaligned<Be32>(message.data() + 8);
    const Be16 checksum = internet_checksum(message);
    const Be32 after(round % 3 == 0 ? 0xffffffff : static_cast<uint32_t>(random()));
    store_unaligned(message.data() + 8, after);
    ASSERT_EQ(update_checksum(checksum, before, after).get(), slow_checksum(message));
  }
}

TEST(Checksum, ttl_decrement_equals_recomputation_for_every_checksum) {
  // The identification runs through all values, and with it the checksum.
  for (uint32_t identification = 0; identification <= 0xffff; ++identification) {
    Ipv4Header header{};
    header.version_length = kIpv4PlainVersionLength;
    header.identification.set(static_cast<uint16_t>(identification));
    header.ttl = static_cast<uint8_t>(1 + identification % 255);
    header.source = v4("10.1.2.3");
    set_plain_header_checksum(header);
    Ipv4Header expected = header;
    --expected.ttl;
    set_plain_header_checksum(expected);
    decrement_ttl(header);
    ASSERT_EQ(header.ttl, expected.ttl);
    ASSERT_EQ(header.checksum.get(), expected.checksum.get()) << identification;
  }
}

TEST(Checksum, transport_over_ipv4_and_ipv6_equals_written_out_pseudo_header) {
  Random random(5);
  for (size_t length = 8; length < 1500; length += 13) {
    const ByteVector payload = random_bytes(random, length);
    const ByteVector four = ipv4_packet({.source = "255.254.253.252"}, payload);
    const auto* ip = header_at<Ipv4Header>(four);
    EXPECT_EQ(transport_checksum(pseudo_header_sum(ip->source, ip->destination, kProtocolUdp,
                                                   static_cast<uint16_t>(length)),
                                 payload)
                  .get(),
              slow_transport_checksum(four));
    const ByteVector six =
        ipv6_packet({.source = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"}, payload);
    const auto* ip6 = header_at<Ipv6Header>(six);
    EXPECT_EQ(transport_checksum(pseudo_header_sum(ip6->source, ip6->destination, kProtocolUdp,
                                                   static_cast<uint32_t>(length)),
                                 payload)
                  .get(),
              slow_transport_checksum(six));
  }
}

TEST(Checksum, udp_zero_is_sent_as_ones_and_verifies) {
  // A datagram whose sum is 0xffff: what is missing to it goes into the payload.
  uint8_t datagram[10] = {0, 1, 0, 2, 0, 10, 0, 0, 0, 0};
  const uint64_t pseudo = pseudo_header_sum(v4("10.0.0.1"), v4("10.0.0.2"), kProtocolUdp, 10);
  store_unaligned(datagram + 8, transport_checksum(pseudo, datagram));
  ASSERT_EQ(transport_checksum(pseudo, datagram).get(), 0);
  const Be16 sent = udp_checksum(pseudo, datagram);
  EXPECT_EQ(sent.get(), 0xffff);
  store_unaligned(datagram + 6, sent);
  EXPECT_TRUE(transport_checksum_ok(pseudo, datagram));
  datagram[9] ^= 1;
  EXPECT_FALSE(transport_checksum_ok(pseudo, datagram));
}

}  // namespace
}  // namespace penstock::test

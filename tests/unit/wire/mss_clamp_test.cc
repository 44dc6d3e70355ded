#include "dataplane/wire/mss_clamp.h"

#include <gtest/gtest.h>

#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

ByteVector tcp_segment(uint8_t flags, Bytes options, Bytes payload = {}) {
  TcpHeader tcp{};
  tcp.source_port.set(40000);
  tcp.destination_port.set(443);
  tcp.sequence.set(0x01020304);
  tcp.data_offset = static_cast<uint8_t>((sizeof tcp + options.size()) / 4 << 4);
  tcp.flags = flags;
  tcp.window.set(64240);
  return joined({{reinterpret_cast<const uint8_t*>(&tcp), sizeof tcp}, options, payload});
}

ByteVector with_checksum(ByteVector packet) {
  const size_t header = packet[0] >> 4 == 4 ? view<Ipv4Header>(packet)->header_bytes() : 40;
  auto* tcp = view<TcpHeader>(packet, header);
  tcp->checksum.set(0);
  tcp->checksum.set(slow_transport_checksum(packet));
  return packet;
}
ByteVector tcp_v4(Bytes segment, uint16_t fragment = 0) {
  return with_checksum(ipv4_packet({.protocol = kProtocolTcp, .fragment = fragment}, segment));
}
ByteVector tcp_v6(Bytes segment) {
  return with_checksum(ipv6_packet({.next_header = kProtocolTcp}, segment));
}

constexpr uint8_t kMss1460[] = {2, 4, 0x05, 0xb4};

TEST(MssClamp, syn_and_syn_ack_are_lowered_in_both_families) {
  for (const uint8_t flags : {kTcpSyn, static_cast<TcpFlag>(kTcpSyn | kTcpAck)}) {
    ByteVector four = tcp_v4(tcp_segment(flags, kMss1460));
    EXPECT_TRUE(clamp_mss_ipv4(four, 1420));
    EXPECT_EQ(load_unaligned<Be16>(&four[42]).get(), 1380);
    EXPECT_EQ(slow_transport_checksum(four), 0);

    ByteVector six = tcp_v6(tcp_segment(flags, kMss1460));
    EXPECT_TRUE(clamp_mss_ipv6(six, 1420));
    EXPECT_EQ(load_unaligned<Be16>(&six[62]).get(), 1360);
    EXPECT_EQ(slow_transport_checksum(six), 0);
  }
}

TEST(MssClamp, smaller_or_equal_mss_is_never_raised) {
  for (const uint16_t mtu : {1500, 9000}) {
    ByteVector packet = tcp_v4(tcp_segment(kTcpSyn, kMss1460));
    const ByteVector before = packet;
    EXPECT_FALSE(clamp_mss_ipv4(packet, mtu));
    EXPECT_EQ(packet, before);
  }
}

TEST(MssClamp, option_behind_any_padding_keeps_checksum_valid) {
  for (size_t nops = 0; nops <= 8; ++nops) {
    ByteVector options(nops, kTcpOptionNop);
    options.insert(options.end(), std::begin(kMss1460), std::end(kMss1460));
    options.resize((options.size() + 3) / 4 * 4);
    ByteVector packet = tcp_v4(tcp_segment(kTcpSyn, options, bytes_of("data")));
    EXPECT_TRUE(clamp_mss_ipv4(packet, 1280));
    EXPECT_EQ(load_unaligned<Be16>(&packet[42 + nops]).get(), 1240);
    EXPECT_EQ(slow_transport_checksum(packet), 0) << nops;
  }
}

TEST(MssClamp, every_other_packet_is_untouched) {
  struct Row {
    const char* what;
    ByteVector packet;
  };
  const uint8_t end_first[] = {0, 0, 0, 0, 2, 4, 5, 0xb4};
  const uint8_t zero_length[] = {8, 0, 0, 0, 2, 4, 5, 0xb4};
  const uint8_t length_one[] = {8, 1, 0, 0, 2, 4, 5, 0xb4};
  const uint8_t past_end[] = {8, 40, 0, 0, 2, 4, 5, 0xb4};
  const uint8_t short_mss[] = {2, 3, 5, 0};
  const uint8_t long_mss[] = {2, 6, 5, 0xb4, 0, 0, 0, 0};
  const uint8_t mss_cut_off[] = {1, 1, 2, 4};
  const uint8_t kind_at_end[] = {1, 1, 1, 2};
  ByteVector offset_past_packet = tcp_segment(kTcpSyn, kMss1460);
  offset_past_packet[12] = 0xf0;
  ByteVector offset_too_small = tcp_segment(kTcpSyn, kMss1460);
  offset_too_small[12] = 0x40;
  ByteVector udp = ipv4_packet({}, tcp_segment(kTcpSyn, kMss1460));
  ByteVector short_tcp = ipv4_packet({.protocol = kProtocolTcp}, ByteVector(19, 0xff));
  ByteVector long_header = tcp_v4(tcp_segment(kTcpSyn, {}));
  long_header[0] = 0x4f;  // header length past the end
  const Row rows[] = {
      {"no SYN", tcp_v4(tcp_segment(kTcpAck | kTcpPsh, kMss1460))},
      {"no option", tcp_v4(tcp_segment(kTcpSyn, {}))},
      {"later fragment", tcp_v4(tcp_segment(kTcpSyn, kMss1460), 100)},
      {"end of options before", tcp_v4(tcp_segment(kTcpSyn, end_first))},
      {"option of length 0", tcp_v4(tcp_segment(kTcpSyn, zero_length))},
      {"option of length 1", tcp_v4(tcp_segment(kTcpSyn, length_one))},
      {"option past the end", tcp_v4(tcp_segment(kTcpSyn, past_end))},
      {"MSS of length 3", tcp_v4(tcp_segment(kTcpSyn, short_mss))},
      {"MSS of length 6", tcp_v4(tcp_segment(kTcpSyn, long_mss))},
      {"MSS without value", tcp_v4(tcp_segment(kTcpSyn, mss_cut_off))},
      {"kind without length", tcp_v4(tcp_segment(kTcpSyn, kind_at_end))},
      {"data offset past packet", tcp_v4(offset_past_packet)},
      {"data offset below 5", tcp_v4(offset_too_small)},
      {"UDP", udp},
      {"TCP header cut off", short_tcp},
      {"IP header past packet", long_header},
      {"no packet", {}},
  };
  for (const Row& row : rows) {
    ByteVector packet = row.packet;
    EXPECT_FALSE(clamp_mss_ipv4(packet, 1280)) << row.what;
    EXPECT_EQ(packet, row.packet) << row.what;
  }
}

TEST(MssClamp, mtu_without_room_for_data_changes_nothing) {
  ByteVector packet = tcp_v4(tcp_segment(kTcpSyn, kMss1460));
  EXPECT_FALSE(clamp_mss_ipv4(packet, 40));
  ByteVector six = tcp_v6(tcp_segment(kTcpSyn, kMss1460));
  EXPECT_FALSE(clamp_mss_ipv6(six, 60));
}

TEST(MssClamp, hostile_bytes_stay_inside_the_segment) {
  Random random(7);
  for (int round = 0; round < 50000; ++round) {
    ByteVector packet =
        ipv4_packet({.protocol = kProtocolTcp}, random_bytes(random, random() % 64));
    if (packet.size() > 33) packet[33] |= kTcpSyn;
    const bool was_valid = packet.size() > 40 && slow_transport_checksum(packet) == 0;
    (void)clamp_mss_ipv4(packet, 576);  // bounds are watched by the sanitizer build
    ASSERT_TRUE(plain_header_checksum_ok(*view<Ipv4Header>(packet)));
    ASSERT_TRUE(!was_valid || slow_transport_checksum(packet) == 0);
  }
}

}  // namespace
}  // namespace penstock::test

#include "controlplane/neighbour/messages.h"

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/icmp.h"
#include "tests/unit/neighbour/harness.h"

namespace penstock::neighbour::test {
namespace {

NdMessage example(bool solicitation) {
  NdMessage message;
  message.is_solicitation = solicitation;
  message.solicited = !solicitation;
  message.overrides = !solicitation;
  message.source = kHost6.v6();
  message.destination = kOurs6.v6();
  message.target = solicitation ? kOurs6.v6() : kHost6.v6();
  message.link_layer = kHostMac;
  return message;
}

void fix_checksum(ByteVector& packet) {
  store_unaligned(&packet[42], Be16(0));
  const auto* header = header_at<Ipv6Header>(packet);
  const Bytes body = Bytes(packet).subspan(40);
  store_unaligned(
      &packet[42],
      transport_checksum(pseudo_header_sum(header->source, header->destination, kProtocolIcmpv6,
                                           static_cast<uint32_t>(body.size())),
                         body));
}

TEST(ArpMessages, request_has_the_bytes_of_rfc826) {
  const ByteVector bytes = build_arp({true, kOurMac, kOurs.v4(), {}, kHost.v4()});
  const uint8_t expected[] = {0,   1, 8, 0, 6, 4, 0, 1, 2, 0, 0,   0, 0, 1,
                              192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 5};
  EXPECT_TRUE(equal_bytes(bytes, expected));
}

TEST(ArpMessages, built_message_parses_to_itself_with_padding_behind) {
  ByteVector bytes = build_arp({false, kHostMac, kHost.v4(), kOurMac, kOurs.v4()});
  bytes.resize(46, 0x5a);
  const auto message = parse_arp(bytes);
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->is_request);
  EXPECT_EQ(message->sender_mac, kHostMac);
  EXPECT_EQ(message->sender, kHost.v4());
  EXPECT_EQ(message->target_mac, kOurMac);
  EXPECT_EQ(message->target, kOurs.v4());
}

TEST(ArpMessages, every_other_fixed_field_or_length_is_refused) {
  const ByteVector good = build_arp({true, kHostMac, kHost.v4(), {}, kOurs.v4()});
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_arp(Bytes(good).first(length))) << length;
  }
  for (size_t at = 0; at < 8; ++at) {
    for (unsigned bit = 2; bit < 8; ++bit) {
      ByteVector bad = good;
      bad[at] = static_cast<uint8_t>(bad[at] ^ (1U << bit));
      EXPECT_FALSE(parse_arp(bad)) << at << " " << bit;
    }
  }
}

TEST(NdMessages, built_messages_parse_to_themselves) {
  for (const bool solicitation : {true, false}) {
    for (const bool option : {true, false}) {
      NdMessage sent = example(solicitation);
      if (!option) sent.link_layer.reset();
      const auto message = parse_nd(build_nd(sent));
      ASSERT_TRUE(message);
      EXPECT_EQ(message->is_solicitation, solicitation);
      EXPECT_EQ(message->solicited, sent.solicited);
      EXPECT_EQ(message->overrides, sent.overrides);
      EXPECT_EQ(message->source, sent.source);
      EXPECT_EQ(message->destination, sent.destination);
      EXPECT_EQ(message->target, sent.target);
      EXPECT_EQ(message->link_layer, sent.link_layer);
    }
  }
}

TEST(NdMessages, well_known_addresses_are_those_of_the_rfcs) {
  EXPECT_EQ(solicited_node(ip("2001:db8::1:ab12:3456").v6()), ip("ff02::1:ff12:3456").v6());
  EXPECT_EQ(multicast_mac(ip("ff02::1:ff12:3456").v6()), mac("33:33:ff:12:34:56"));
  EXPECT_EQ(kAllNodes, ip("ff02::1").v6());
  EXPECT_EQ(IpAddress(link_local_of(mac("34:56:78:9a:bc:de"))), ip("fe80::3656:78ff:fe9a:bcde"));
}

TEST(NdMessages, invalid_ones_are_refused) {
  const auto damaged = [](const NdMessage& message, auto damage) {
    ByteVector packet = build_nd(message);
    damage(packet);
    store_unaligned(&packet[4], Be16(static_cast<uint16_t>(packet.size() - 40)));
    fix_checksum(packet);
    return packet;
  };
  const NdMessage ns = example(true);
  const NdMessage na = example(false);
  EXPECT_TRUE(parse_nd(damaged(ns, [](ByteVector&) {})));
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[7] = 254; }))) << "hop limit";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[6] = 0; }))) << "next header";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[0] = 0x40; }))) << "version";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[41] = 1; }))) << "code";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[40] = 134; }))) << "type";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[48] = 0xff; }))) << "multicast target";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[8] = 0xff; }))) << "multicast source";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[65] = 0; }))) << "option length 0";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p[65] = 2; }))) << "option past end";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p.push_back(1); }))) << "half an option";
  EXPECT_FALSE(parse_nd(damaged(ns, [](ByteVector& p) { p.resize(63); }))) << "short";

  // An option of an unknown type is passed over, the first of the wanted type counts.
  const auto more = parse_nd(damaged(ns, [](ByteVector& p) {
    const uint8_t options[] = {14, 1, 0, 0, 0, 0, 0, 0, 1, 1, 9, 9, 9, 9, 9, 9};
    p.insert(p.end(), std::begin(options), std::end(options));
  }));
  ASSERT_TRUE(more);
  EXPECT_EQ(more->link_layer, kHostMac);
  // One of another length or type is no Ethernet address.
  const auto other = parse_nd(damaged(ns, [](ByteVector& p) { p[64] = 2; }));
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->link_layer);

  NdMessage to_group = na;
  to_group.destination = kAllNodes;
  EXPECT_FALSE(parse_nd(build_nd(to_group))) << "solicited, but to a group";
  NdMessage detection = ns;
  detection.source = {};
  detection.destination = solicited_node(detection.target);
  EXPECT_FALSE(parse_nd(build_nd(detection))) << "unspecified source with an option";
  detection.link_layer.reset();
  EXPECT_TRUE(parse_nd(build_nd(detection)));
  detection.destination = detection.target;
  EXPECT_FALSE(parse_nd(build_nd(detection))) << "unspecified source, not to the group";

  ByteVector bad_checksum = build_nd(ns);
  bad_checksum[43] ^= 1;
  EXPECT_FALSE(parse_nd(bad_checksum));
}

TEST(NdMessages, every_truncation_is_refused) {
  const ByteVector good = build_nd(example(true));
  for (size_t length = 0; length < good.size(); ++length) {
    ByteVector cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(parse_nd(cut)) << length;
  }
}

}  // namespace
}  // namespace penstock::neighbour::test

// What an inbound tunnel packet must satisfy, and what an authentic one changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

ByteVector frame_with(const Peer& peer, uint64_t counter, Bytes plain) {
  return from_outside(
      udp_packet(peer.endpoint, our_endpoint(peer), data_message(peer, counter, plain)));
}
ByteVector sample(const Peer& peer) { return padded(sample_packet(peer.inner4, kHost4)); }

TEST(Inbound, replay_is_refused_within_one_vector_and_across) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector frame = frame_with(peer, 7, sample(peer));
  gateway.receive(kOutside, {frame, frame, frame});
  EXPECT_EQ(gateway.sent().size(), 1U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 2U);
  gateway.receive(kOutside, frame);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 3U);
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_packets, 1U);
}

TEST(Inbound, window_takes_late_packets_up_to_its_edge) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.receive(kOutside, frame_with(peer, 20'000, sample(peer)));
  gateway.receive(kOutside, frame_with(peer, 20'000 - 8191, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 2U);
  gateway.receive(kOutside, frame_with(peer, 20'000 - 8192, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 1U);
}

TEST(Inbound, forged_counter_does_not_move_the_window) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  ByteVector forged = frame_with(peer, 1'000'000, sample(peer));
  forged.back() ^= 1;
  gateway.receive(kOutside, forged);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelAuthFailed), 1U);
  gateway.receive(kOutside, frame_with(peer, 0, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(Inbound, counter_at_reject_after_messages_is_refused) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const uint64_t limit = UINT64_MAX - 8192;  // 2^64 - 2^13 - 1, paper 6.1
  for (const uint64_t counter : {limit, limit + 1, UINT64_MAX}) {
    gateway.receive(kOutside, frame_with(peer, counter, sample(peer)));
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 3U);
  gateway.receive(kOutside, frame_with(peer, limit - 1, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(Inbound, expired_session_is_refused_from_its_very_end) {
  Gateway gateway;
  SaOptions options;
  options.expires_at_ns = 5 * kSecond;
  Peer peer = gateway.add_peer(false, options);
  gateway.set_time(5 * kSecond - 1);
  gateway.receive(kOutside, tunnel_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.set_time(5 * kSecond);
  gateway.receive(kOutside, tunnel_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 1U);
}

TEST(Inbound, every_flipped_bit_of_a_message_is_refused) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector good = frame_with(peer, 3, sample(peer));
  const size_t message_at = 14 + 28;
  for (size_t bit = (message_at)*8; bit < good.size() * 8; ++bit) {
    ByteVector bad = good;
    bad[bit / 8] = static_cast<uint8_t>(bad[bit / 8] ^ (1 << bit % 8));
    gateway.receive(kOutside, bad);
  }
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_packets, 0U);
  EXPECT_EQ(gateway.all_drops(), (good.size() - message_at) * 8);
  gateway.receive(kOutside, good);
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(Inbound, removed_session_is_unknown_at_once) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.remove_session(peer);
  gateway.receive(kOutside, tunnel_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 1U);
  gateway.grace();
  gateway.grace();
  gateway.receive(kOutside, tunnel_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 2U);
}

TEST(Inbound, session_of_another_interface_is_unknown) {
  Gateway gateway;
  gateway.tables().listeners[Be16(uint16_t{4444}).raw()] = 2;
  Peer peer = gateway.add_peer();
  gateway.receive(kOutside, from_outside(udp_packet(peer.endpoint, {ip("198.51.100.1"), 4444},
                                                    data_message(peer, 0, sample(peer)))));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 1U);
}

// Paper 6.3: the responder's `next` keypair becomes current with the first authentic packet.
TEST(Inbound, next_keypair_is_promoted_by_an_authentic_packet_only) {
  Gateway gateway;
  Peer old = gateway.add_peer();
  SaOptions next_options;
  next_options.current = false;
  Peer next = old;
  gateway.add_session(next, next_options);
  ByteVector forged = tunnel_frame(next, sample(next));
  forged[forged.size() - 20] ^= 0x80;
  gateway.receive(kOutside, forged);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelAuthFailed), 1U);
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), old.outbound);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, old.inner4)));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_frame(old, sent[0]));
  for (const auto& event : gateway.events()) EXPECT_EQ(event.flags & kEventPromoted, 0U);

  gateway.receive(kOutside, tunnel_frame(next, {}));
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), next.outbound);
  const auto events = gateway.events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0].flags & kEventPromoted, 0U);
  EXPECT_EQ(events[0].inbound_index, next.index);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, old.inner4)));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_frame(next, sent[0]));
  // Late packets under the previous keypair still arrive, and promote nothing back.
  gateway.receive(kOutside, tunnel_frame(old, sample(old)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), next.outbound);
}

TEST(Inbound, roaming_is_reported_for_fresh_authentic_packets_only) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const Endpoint elsewhere{ip("100.64.9.9"), 1234};
  ByteVector forged = tunnel_frame_from(peer, elsewhere, sample(peer));
  forged.back() ^= 1;
  gateway.receive(kOutside, forged);
  EXPECT_TRUE(gateway.events().empty());
  const ByteVector message = data_message(peer, 50, sample(peer));
  gateway.receive(kOutside, from_outside(udp_packet(peer.endpoint, our_endpoint(peer), message)));
  gateway.receive(kOutside, from_outside(udp_packet(elsewhere, our_endpoint(peer), message)));
  for (const auto& event : gateway.events()) EXPECT_EQ(event.flags & kEventRoamed, 0U);
  gateway.receive(kOutside, tunnel_frame_from(peer, elsewhere, sample(peer)));
  auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0].flags & kEventRoamed, 0U);
  EXPECT_EQ(events[0].roamed_source, elsewhere);
  EXPECT_EQ(events[0].roamed_destination, ip("198.51.100.1"));
  gateway.receive(kOutside, tunnel_frame_from(peer, elsewhere, sample(peer)));
  EXPECT_TRUE(gateway.events(false).empty());
  // From IPv4 to IPv6, and to another port of the same address.
  Endpoint v6{ip("2001:db8:64::77"), 777};
  for (int i = 0; i < 2; ++i, ++v6.port) {
    gateway.receive(kOutside,
                    from_outside(udp_packet(v6, {ip("2001:db8:51::1"), kListenPort},
                                            data_message(peer, peer.counter++, sample(peer)))));
    events = gateway.events(false);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].roamed_source, v6);
    EXPECT_EQ(events[0].roamed_destination, ip("2001:db8:51::1"));
  }
}

TEST(Inbound, inner_source_must_be_this_peers_and_no_nested_ones) {
  Gateway gateway;
  Peer wide = gateway.add_peer(), narrow = gateway.add_peer();
  gateway.allow("10.20.0.0/16", wide);
  gateway.allow("10.20.30.0/24", narrow);
  gateway.receive(kOutside, tunnel_frame(wide, sample_packet(ip("10.20.1.1"), kHost4)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.receive(kOutside, tunnel_frame(wide, sample_packet(ip("10.20.30.1"), kHost4)));
  gateway.receive(kOutside, tunnel_frame(narrow, sample_packet(ip("10.20.1.1"), kHost4)));
  gateway.receive(kOutside, tunnel_frame(wide, sample_packet(ip("192.0.2.10"), kHost4)));
  gateway.receive(kOutside, tunnel_frame(wide, sample_packet(ip("fd00::9"), kHost6)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelSourceNotAllowed), 4U);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(Inbound, malformed_inner_packets_are_refused) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector v4 = sample(peer);
  const ByteVector v6 = padded(sample_packet(peer.inner6, kHost6));
  const auto with = [](ByteVector packet, size_t at, uint8_t value) {
    packet[at] = value;
    if (packet[0] >> 4 == 4) {
      packet[10] = packet[11] = 0;
      const Be16 checksum(slow_checksum(Bytes(packet).first(20)));
      std::memcpy(packet.data() + 10, &checksum, 2);
    }
    return packet;
  };
  ByteVector total_zero = with(with(v4, 2, 0), 3, 0);
  ByteVector bad_sum = v4;
  bad_sum[10] ^= 0xff;
  const std::vector<ByteVector> corpus = {
      total_zero,           with(v4, 3, 19),     with(v4, 2, 0xff),
      with(v4, 3, 113),     with(v4, 0, 0x55),   with(v4, 0, 0x46),
      with(v4, 0, 0x40),    with(v4, 0, 0x05),   bad_sum,
      ByteVector(16, 0x45), ByteVector(16, 0),   ByteVector(16, 0x60),
      with(v6, 4, 0xff),    with(v6, 0, 0x70),   ByteVector(48, 0x6f),
      ByteVector(1, 0x45),  ByteVector(19, 0x45)};
  for (const ByteVector& plain : corpus) {
    gateway.receive(kOutside, frame_with(peer, peer.counter++, plain));
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelInnerMalformed), corpus.size());
  EXPECT_TRUE(gateway.sent().empty());
}

// Whatever an authenticated peer puts inside: nothing breaks, nothing leaks, every packet has an
// exit, and nothing leaves that did not come from the peer's own addresses.
TEST(Inbound, random_bytes_under_valid_tags_harm_nothing) {
  GatewayOptions options;
  options.icmp_errors_per_second = 1'000'000;
  Gateway gateway(options);
  Peer peer = gateway.add_peer();
  std::mt19937_64 random(11);
  std::vector<ByteVector> vector;
  for (int i = 0; i < 10'000; ++i) {
    ByteVector plain = i % 3 == 0   ? random_bytes(random, random() % 200)
                       : i % 3 == 1 ? sample(peer)
                                    : padded(sample_packet(peer.inner6, kHost6, 120));
    // Valid packets with a few random bytes reach further than noise.
    for (uint64_t n = i % 3 == 0 ? 0 : random() % 6; n > 0; --n) {
      plain[random() % std::min<size_t>(plain.size(), 64)] = static_cast<uint8_t>(random());
    }
    if (plain.size() >= 20 && plain[0] == 0x45 && random() % 4 != 0) {
      plain[10] = plain[11] = 0;
      const Be16 checksum(slow_checksum(Bytes(plain).first(20)));
      std::memcpy(plain.data() + 10, &checksum, 2);
    }
    vector.push_back(frame_with(peer, peer.counter++, plain));
    if (vector.size() < 50) continue;
    gateway.receive(kOutside, std::exchange(vector, {}));
    for (const auto kind : {PuntClass::kHandshake, PuntClass::kNeighbour, PuntClass::kWaiting}) {
      (void)gateway.punts(kind);
    }
    for (const Frame& frame : gateway.sent()) {
      if (frame.port != kInside) continue;
      const Bytes packet = frame.packet();
      const bool v4 = packet[0] >> 4 == 4;
      const Bytes source = packet.subspan(v4 ? 12 : 8, v4 ? 4 : 16);
      EXPECT_TRUE(equal_bytes(source, v4 ? peer.inner4.bytes() : peer.inner6.bytes()));
    }
    gateway.set_time(gateway.time() + kMillisecond);
  }
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_packets, 10'000U);
}

TEST(Inbound, bad_packet_at_any_place_of_a_vector_leaves_the_others_unharmed) {
  Gateway gateway;
  Peer peer = gateway.add_peer(), other = gateway.add_peer();
  gateway.receive(kOutside, {tunnel_frame(peer, {}), tunnel_frame(other, {})});  // take counter 0
  for (size_t bad = 0; bad < 32; ++bad) {
    for (int how = 0; how < 5; ++how) {
      std::vector<ByteVector> frames;
      std::vector<ByteVector> wanted;
      for (size_t i = 0; i < 32; ++i) {
        Peer& from = i % 2 == 0 ? peer : other;
        const ByteVector inner = sample_packet(from.inner4, kHost4, 64 + i);
        if (i != bad) {
          frames.push_back(tunnel_frame(from, inner));
          wanted.push_back(one_hop_less(inner));
        } else if (how == 0) {
          frames.push_back(tunnel_frame(from, inner));
          frames.back().back() ^= 1;
        } else if (how == 1) {
          frames.push_back(frame_with(from, 0, sample(from)));  // replayed
        } else if (how == 2) {
          frames.push_back(tunnel_frame(from, ByteVector(16, 0x99)));
        } else if (how == 3) {
          frames.push_back(tunnel_frame(from, sample_packet(ip("10.66.0.1"), kHost4)));
        } else {
          frames.push_back(ByteVector(9));
        }
      }
      gateway.receive(kOutside, frames);
      const auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 31U) << bad << ' ' << how;
      for (size_t i = 0; i < 31; ++i) EXPECT_TRUE(equal_bytes(sent[i].packet(), wanted[i]));
    }
  }
}

}  // namespace
}  // namespace penstock::test

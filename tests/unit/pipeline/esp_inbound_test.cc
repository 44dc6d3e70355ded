// What an inbound ESP packet must satisfy, and what an authentic one changes.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

ByteVector sample(const EspPeer& peer, size_t bytes = 100) {
  return sample_packet(peer.inner4, kHost4, bytes);
}
ByteVector frame_with(EspPeer& peer, Bytes plain) {
  return esp_frame_of(peer, esp_message(peer, peer.sequence++, plain));
}
ByteVector frame_numbered(const EspPeer& peer, uint64_t sequence) {
  return esp_frame_of(peer, esp_message(peer, sequence, esp_plain(peer, sample(peer))));
}

TEST(EspInbound, every_padding_length_is_taken_off) {
  for (const SaAlgorithm algorithm : {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes128CbcSha256}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = algorithm;
    EspPeer peer = gateway.add_esp_peer(options);
    const size_t align = is_cbc(algorithm) ? 16 : 4;
    for (int padding = 0; padding < 256; ++padding) {
      // An inner length for which this padding ends where it must.
      size_t bytes = 64;
      while ((bytes + 2 + static_cast<size_t>(padding)) % align != 0) ++bytes;
      const ByteVector packet = sample(peer, bytes);
      gateway.receive(kOutside, frame_with(peer, esp_plain(peer, packet, 4, padding)));
      const auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U) << padding;
      EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(packet)));
    }
  }
}

TEST(EspInbound, padding_length_beyond_the_packet_is_refused) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  size_t refused = 0;
  for (size_t plain_bytes = 4; plain_bytes <= 256; plain_bytes += 4) {
    for (size_t padding = plain_bytes - 1; padding < 256; padding += 7) {
      ByteVector plain(plain_bytes, 0x45);
      plain[plain_bytes - 2] = static_cast<uint8_t>(padding);
      plain[plain_bytes - 1] = 4;
      gateway.receive(kOutside, frame_with(peer, plain));
      ++refused;
    }
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelTrailerInvalid), refused);
  // Nothing but padding is not beyond it, and no packet either.
  ByteVector empty = {1, 2, 2, 4};
  gateway.receive(kOutside, frame_with(peer, empty));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelInnerMalformed), 1U);
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).other_drops, refused + 1);
}

TEST(EspInbound, only_ip_is_a_next_header_and_it_must_be_of_its_version) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const ByteVector v4 = sample(peer), v6 = sample_packet(peer.inner6, kHost6);
  for (int next_header = 0; next_header < 256; ++next_header) {
    if (next_header == 59) continue;
    gateway.receive(kOutside, {frame_with(peer, esp_plain(peer, v4, next_header)),
                               frame_with(peer, esp_plain(peer, v6, next_header))});
    EXPECT_EQ(gateway.sent().size(), next_header == 4 || next_header == 41 ? 1U : 0U);
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelTrailerInvalid), 2 * 253U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelInnerMalformed), 2U);
}

TEST(EspInbound, dummy_packets_are_counted_and_leave_nothing) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  std::mt19937_64 random(3);
  for (const size_t bytes : {0, 1, 20, 64, 1300}) {
    gateway.receive(kOutside, frame_with(peer, esp_plain(peer, random_bytes(random, bytes), 59)));
  }
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.drops(DropReason::kTunnelDummy), 5U);
  EXPECT_EQ(gateway.all_drops(), 5U);
  const auto events = gateway.events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags, uint32_t{kEventReceivedKeepalive});  // the peer lives
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).packets, 5U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).other_drops, 0U);
}

TEST(EspInbound, traffic_flow_confidentiality_padding_is_cut_off) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  for (const size_t extra : {1, 2, 3, 4, 100, 1200}) {
    const ByteVector packet = sample(peer, 64);
    ByteVector longer = packet;
    longer.resize(packet.size() + extra, 0xee);
    gateway.receive(kOutside, frame_with(peer, esp_plain(peer, longer, 4)));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(packet)));
  }
}

TEST(EspInbound, inner_lengths_that_lie_are_refused) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const ByteVector good = sample(peer);
  const auto with_length = [&good](uint16_t length) {
    ByteVector packet = good;
    const Be16 total(length);
    std::memcpy(packet.data() + 2, &total, 2);
    packet[10] = packet[11] = 0;
    const Be16 checksum(slow_checksum(Bytes(packet).first(20)));
    std::memcpy(packet.data() + 10, &checksum, 2);
    return packet;
  };
  std::vector<ByteVector> corpus;
  for (const uint16_t length : {0, 1, 19, 101, 102, 103, 104, 120, 1500, 65535}) {
    corpus.push_back(with_length(length));
  }
  for (size_t bytes = 1; bytes < 20; ++bytes) {
    corpus.emplace_back(good.begin(), good.begin() + static_cast<long>(bytes));
  }
  ByteVector options = good;
  options[0] = 0x46;
  corpus.push_back(options);
  for (const ByteVector& inner : corpus) {
    gateway.receive(kOutside, frame_with(peer, esp_plain(peer, inner, 4)));
  }
  const ByteVector v6 = sample_packet(peer.inner6, kHost6);
  for (const uint16_t length : {61, 62, 64, 1500, 65535}) {
    ByteVector packet = v6;
    const Be16 payload(length);
    std::memcpy(packet.data() + 4, &payload, 2);
    gateway.receive(kOutside, frame_with(peer, esp_plain(peer, packet, 41)));
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelInnerMalformed), corpus.size() + 5);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(EspInbound, replay_is_refused_within_one_vector_and_across) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const ByteVector frame = esp_frame(peer, sample(peer));
  gateway.receive(kOutside, {frame, frame, frame});
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.receive(kOutside, frame);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 3U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).replay_drops, 3U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).packets, 1U);
}

TEST(EspInbound, windows_take_late_packets_up_to_their_edge) {
  for (const uint32_t window : {64U, 100U, 1024U, 2048U, 4096U, 16'384U}) {
    for (const bool esn : {false, true}) {
      EspGateway gateway;
      EspOptions options;
      options.parameters.replay_window_packets = window;
      options.parameters.esn = esn;
      EspPeer peer = gateway.add_esp_peer(options);
      const uint64_t size = window == 100 ? 128 : window;
      const uint64_t top = esn ? 0x1'0000'0000 + size / 2 : 100'000;
      if (esn) gateway.receive(kOutside, frame_numbered(peer, 0xffff'0000));
      gateway.receive(kOutside, frame_numbered(peer, top));
      gateway.receive(kOutside, frame_numbered(peer, top - size + 1));
      EXPECT_EQ(gateway.sent().size(), esn ? 3U : 2U) << window;
      gateway.receive(kOutside, frame_numbered(peer, top - size));
      EXPECT_TRUE(gateway.sent().empty());
      // Out of the window: with ESN taken for the number one round later, which the tag denies.
      EXPECT_EQ(gateway.drops(esn ? DropReason::kTunnelAuthFailed : DropReason::kTunnelReplay), 1U);
    }
  }
}

TEST(EspInbound, half_of_all_low_numbers_may_be_lost_in_a_row) {
  EspGateway gateway;
  EspOptions options;
  options.parameters.esn = true;
  EspPeer peer = gateway.add_esp_peer(options);
  for (const uint64_t sequence :
       {uint64_t{5}, uint64_t{5} + 0x8000'1234, uint64_t{5} + 0x1'8000'0000}) {
    gateway.receive(kOutside, frame_numbered(peer, sequence));
    EXPECT_EQ(gateway.sent().size(), 1U) << sequence;
  }
}

TEST(EspInbound, without_a_window_everything_new_or_old_passes_but_zero) {
  EspGateway gateway;
  EspOptions options;
  options.parameters.replay_window_packets = 0;
  EspPeer peer = gateway.add_esp_peer(options);
  for (const uint64_t sequence : {7, 7, 3, 1, 900, 2}) {
    gateway.receive(kOutside, frame_numbered(peer, sequence));
  }
  EXPECT_EQ(gateway.sent().size(), 6U);
  gateway.receive(kOutside, frame_numbered(peer, 0));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 1U);
}

TEST(EspInbound, forged_number_does_not_move_the_window) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  ByteVector forged = frame_numbered(peer, 1'000'000);
  forged.back() ^= 1;
  gateway.receive(kOutside, forged);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelAuthFailed), 1U);
  gateway.receive(kOutside, frame_numbered(peer, 1));
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(EspInbound, expired_or_removed_sa_is_refused) {
  EspGateway gateway;
  EspOptions options;
  options.expires_at_ns = 5 * kSecond;
  EspPeer peer = gateway.add_esp_peer(options);
  gateway.set_time(5 * kSecond - 1);
  gateway.receive(kOutside, esp_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.set_time(5 * kSecond);
  gateway.receive(kOutside, esp_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 1U);
  gateway.tunnels().remove_inbound(peer.spi, gateway.defer());
  gateway.receive(kOutside, esp_frame(peer, sample(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 1U);
  EXPECT_EQ(gateway.punts(PuntClass::kIkeInitial).size(), 1U);
}

TEST(EspInbound, index_of_a_wireguard_session_is_no_spi_and_the_reverse) {
  EspGateway gateway;
  Peer wireguard = gateway.add_peer();
  EspPeer peer = gateway.add_esp_peer();
  gateway.receive(kOutside, esp_frame_of(peer, esp_message(peer, 1, esp_plain(peer, sample(peer)),
                                                           wireguard.index)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 1U);
  wireguard.index = peer.spi;
  gateway.receive(kOutside, tunnel_frame(wireguard, sample_packet(wireguard.inner4, kHost4)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 2U);
  EXPECT_EQ(gateway.punts(PuntClass::kIkeInitial).size(), 1U);
}

TEST(EspInbound, malformed_lengths_are_refused) {
  for (const SaAlgorithm algorithm : {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes256CbcSha256}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = algorithm;
    EspPeer peer = gateway.add_esp_peer(options);
    const ByteVector good = esp_message(peer, 1, esp_plain(peer, sample(peer)));
    size_t frames = 0;
    for (size_t bytes = 4; bytes < good.size(); ++bytes, ++frames) {
      gateway.receive(kOutside, esp_frame_of(peer, Bytes(good).first(bytes)));
    }
    EXPECT_TRUE(gateway.sent().empty());
    EXPECT_EQ(
        gateway.drops(DropReason::kTunnelMalformed) + gateway.drops(DropReason::kTunnelAuthFailed),
        frames);
    // RFC 3602: whole blocks.
    if (is_cbc(algorithm)) {
      EXPECT_GT(gateway.drops(DropReason::kTunnelMalformed), frames * 8 / 10);
    }
  }
}

TEST(EspInbound, both_encapsulations_are_taken_whatever_was_negotiated) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();  // in UDP
  EspPeer native = peer;
  native.options.encapsulation = Encapsulation::kNone;
  gateway.receive(kOutside, esp_frame(native, sample(peer)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  const auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags & kEventRoamed, uint32_t{kEventRoamed});
  EXPECT_EQ(events[0].roamed_source, (Endpoint{peer.endpoint.address, 0}));
}

TEST(EspInbound, roaming_is_reported_by_the_newest_packet_only) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  const Endpoint elsewhere{ip("100.64.9.9"), 1234};
  const auto from = [&](const Endpoint& source, uint64_t sequence) {
    return from_outside(
        esp_packet_from(peer, source, esp_message(peer, sequence, esp_plain(peer, sample(peer)))));
  };
  gateway.receive(kOutside, from(peer.endpoint, 10));
  EXPECT_TRUE(gateway.events(false).empty());
  gateway.receive(kOutside, from(elsewhere, 9));  // authentic and new, but late
  EXPECT_EQ(gateway.sent().size(), 2U);
  EXPECT_TRUE(gateway.events(false).empty());
  ByteVector forged = from(elsewhere, 20);
  forged.back() ^= 1;
  gateway.receive(kOutside, forged);
  gateway.receive(kOutside, from(elsewhere, 10));  // replayed
  EXPECT_TRUE(gateway.events(false).empty());
  gateway.receive(kOutside, from(elsewhere, 11));
  auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags & kEventRoamed, uint32_t{kEventRoamed});
  EXPECT_EQ(events[0].roamed_source, elsewhere);
  EXPECT_EQ(events[0].roamed_destination, ip("198.51.100.1"));
  gateway.receive(kOutside, from(elsewhere, 12));
  EXPECT_TRUE(gateway.events(false).empty());
}

// RFC 7296 2.8: the peer shows by a packet that it has the new SA.
TEST(EspInbound, new_outbound_sa_is_promoted_by_an_authentic_packet_only) {
  EspGateway gateway;
  EspPeer old = gateway.add_esp_peer();
  EspPeer next = old;
  next.options.current = false;
  gateway.add_esp_session(next);
  ByteVector forged = esp_frame(next, sample(next));
  forged[forged.size() - 20] ^= 0x80;
  gateway.receive(kOutside, forged);
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), old.outbound);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, old.inner4)));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_esp(old, sent[0]));
  (void)gateway.events();

  gateway.receive(kOutside, esp_frame(next, sample(next)));
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), next.outbound);
  const auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0].flags & kEventPromoted, 0U);
  EXPECT_EQ(events[0].inbound_index, next.spi);
  (void)gateway.sent();
  gateway.receive(kInside, from_inside(sample_packet(kHost4, old.inner4)));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_esp(next, sent[0]));
  // Late packets under the previous SA still arrive, and promote nothing back.
  gateway.receive(kOutside, esp_frame(old, sample(old)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  EXPECT_EQ(gateway.tunnels().current_outbound(old.tunnel), next.outbound);
  // The old pair goes; nothing is lost.
  gateway.tunnels().remove_inbound(old.spi, gateway.defer());
  gateway.tunnels().remove_outbound(old.outbound, gateway.defer());
  gateway.receive(kInside, from_inside(sample_packet(kHost4, old.inner4)));
  gateway.receive(kOutside, esp_frame(next, sample(next)));
  EXPECT_EQ(gateway.sent().size(), 2U);
}

TEST(EspInbound, limits_are_told_once_and_the_hard_one_ends_the_sa) {
  EspGateway gateway;
  EspOptions options;
  options.parameters.soft_packets = 3;
  options.parameters.hard_packets = 5;
  EspPeer peer = gateway.add_esp_peer(options);
  const auto flags = [&] {
    uint32_t sum = 0;
    for (const TunnelEvents& one : gateway.events(false)) {
      sum |= one.flags & (kEventSoftLimit | kEventHardLimit);
      EXPECT_EQ(one.limit_inbound_index, sum != 0 ? peer.spi : 0);
    }
    return sum;
  };
  const std::vector<uint32_t> wanted = {0, 0, kEventSoftLimit, 0, kEventSoftLimit | kEventHardLimit,
                                        0};
  for (size_t i = 0; i < wanted.size(); ++i) {
    gateway.receive(kOutside, esp_frame(peer, sample(peer)));
    EXPECT_EQ(flags(), wanted[i]) << i;
    EXPECT_EQ(gateway.sent().size(), i < 5 ? 1U : 0U);
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 1U);
}

TEST(EspInbound, byte_limits_count_inner_packets) {
  EspGateway gateway;
  EspOptions options;
  options.parameters.soft_bytes = 250;
  options.parameters.hard_bytes = 350;
  EspPeer peer = gateway.add_esp_peer(options);
  for (int i = 0; i < 6; ++i) gateway.receive(kOutside, esp_frame(peer, sample(peer, 100)));
  EXPECT_EQ(gateway.sent().size(), 4U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).bytes, 400U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 2U);
}

TEST(EspInbound, congestion_marks_are_merged_by_rfc_6040) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  IpFields inner, outer;
  inner.traffic_class = 0xb8 | 2;  // EF, ECT(0)
  outer.traffic_class = 3;         // CE
  const ByteVector packet = sample_packet(peer.inner4, kHost4, 100, inner);
  gateway.receive(kOutside, esp_frame(peer, packet, outer));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].packet()[1], 0xb8 | 3);
  EXPECT_EQ(slow_checksum(sent[0].packet().first(20)), 0);
  gateway.receive(kOutside, esp_frame(peer, sample(peer), outer));  // Not-ECT inside
  EXPECT_EQ(gateway.drops(DropReason::kTunnelEcnInvalid), 1U);
}

TEST(EspInbound, owner_gets_packets_that_land_elsewhere) {
  GatewayOptions gateway_options;
  gateway_options.workers = 2;
  EspGateway gateway(gateway_options);
  EspOptions options;
  options.owner = 1;
  for (const bool native : {false, true}) {
    options.encapsulation = native ? Encapsulation::kNone : Encapsulation::kUdp;
    EspPeer peer = gateway.add_esp_peer(options);
    gateway.receive(kOutside, {esp_frame(peer, sample(peer))}, 0);
    EXPECT_TRUE(gateway.sent(0).empty());
    gateway.run_hand_over(1);
    EXPECT_EQ(gateway.sent(1).size(), 1U);
  }
  EXPECT_EQ(gateway.pipeline(0).counters().hand_overs.get(), 2U);
}

TEST(EspInbound, fragments_of_outer_packets_are_put_together) {
  for (const bool native : {false, true}) {
    EspGateway gateway;
    EspOptions options;
    options.encapsulation = native ? Encapsulation::kNone : Encapsulation::kUdp;
    EspPeer peer = gateway.add_esp_peer(options);
    const ByteVector inner = sample(peer, 1200);
    const ByteVector packet = esp_packet_from(
        peer, peer.endpoint, esp_message(peer, peer.sequence++, esp_plain(peer, inner)));
    const Bytes payload = Bytes(packet).subspan(20);
    IpFields first, second;
    first.protocol = second.protocol = packet[9];
    first.fragment = kIpv4MoreFragments;
    second.fragment = 800 / 8;
    const IpAddress from = peer.endpoint.address, to = ip("198.51.100.1");
    gateway.receive(kOutside, {from_outside(ip_packet(from, to, payload.subspan(800), second)),
                               from_outside(ip_packet(from, to, payload.first(800), first))});
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(inner)));
  }
}

TEST(EspInbound, bad_packet_at_any_place_of_any_vector_leaves_the_others_unharmed) {
  for (const SaAlgorithm algorithm : {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes128CbcSha256}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = algorithm;
    EspPeer peer = gateway.add_esp_peer(options), other = gateway.add_esp_peer(options);
    const ByteVector old = esp_frame(peer, sample(peer));
    gateway.receive(kOutside, old);
    (void)gateway.sent();
    for (size_t size = 1; size <= kMaxVector; size = size < 8 ? size + 1 : size * 2) {
      for (size_t bad = 0; bad < size; ++bad) {
        std::vector<ByteVector> frames, wanted;
        const size_t how = (bad + size) % 5;
        for (size_t i = 0; i < size; ++i) {
          EspPeer& from = i % 2 == 0 ? peer : other;
          const ByteVector inner = sample(from, 64 + i);
          if (i != bad) {
            frames.push_back(esp_frame(from, inner));
            wanted.push_back(one_hop_less(inner));
          } else if (how == 0) {
            frames.push_back(esp_frame(from, inner));
            frames.back().back() ^= 1;
          } else if (how == 1) {
            frames.push_back(old);  // replayed
          } else if (how == 2) {
            frames.push_back(frame_with(from, esp_plain(from, inner, 50)));
          } else if (how == 3) {
            frames.push_back(esp_frame(from, sample_packet(ip("10.66.0.1"), kHost4)));
          } else {
            frames.emplace_back(9);
          }
        }
        gateway.receive(kOutside, frames);
        const auto sent = gateway.sent();
        ASSERT_EQ(sent.size(), size - 1) << bad << " of " << size << ' ' << how;
        for (size_t i = 0; i < sent.size(); ++i) {
          EXPECT_TRUE(equal_bytes(sent[i].packet(), wanted[i]));
        }
      }
    }
  }
}

// Whatever an authenticated peer puts inside: nothing breaks, every packet has an exit, and nothing
// leaves that does not match the selectors.
TEST(EspInbound, random_bytes_under_valid_tags_harm_nothing) {
  GatewayOptions gateway_options;
  gateway_options.icmp_errors_per_second = 1'000'000;
  EspGateway gateway(gateway_options);
  EspPeer peer = gateway.add_esp_peer();
  std::mt19937_64 random(12);
  std::vector<ByteVector> vector;
  for (int i = 0; i < 10'000; ++i) {
    ByteVector plain =
        i % 3 == 0   ? random_bytes(random, 4 + random() % 200)
        : i % 3 == 1 ? esp_plain(peer, sample(peer, 64 + random() % 100))
                     : esp_plain(peer, sample_packet(peer.inner6, kHost6, 64 + random() % 100));
    for (uint64_t n = i % 3 == 0 ? 0 : random() % 6; n > 0; --n) {
      const size_t near_an_end =
          random() % 2 == 0 ? random() % 48 : plain.size() - 1 - random() % 4;
      plain[near_an_end] = static_cast<uint8_t>(random());
    }
    if (plain.size() >= 20 && plain[0] == 0x45 && random() % 4 != 0) {
      plain[10] = plain[11] = 0;
      const Be16 checksum(slow_checksum(Bytes(plain).first(20)));
      std::memcpy(plain.data() + 10, &checksum, 2);
    }
    vector.push_back(frame_with(peer, plain));
    if (vector.size() < 50) continue;
    gateway.receive(kOutside, std::exchange(vector, {}));
    for (size_t kind = 0; kind < kPuntClasses; ++kind) {
      (void)gateway.punts(static_cast<PuntClass>(kind));
    }
    for (const Frame& frame : gateway.sent()) {
      if (frame.port != kInside) continue;
      const Bytes packet = frame.packet();
      const bool v4 = packet[0] >> 4 == 4;
      const Bytes source = packet.subspan(v4 ? 12 : 8, v4 ? 3 : 8);
      EXPECT_TRUE(
          equal_bytes(source, v4 ? peer.inner4.bytes().first(3) : peer.inner6.bytes().first(8)));
    }
    gateway.set_time(gateway.time() + kMillisecond);
  }
  EXPECT_EQ(gateway.tunnels().inbound_counters(peer.spi).packets, 10'000U);
}

}  // namespace
}  // namespace penstock::test

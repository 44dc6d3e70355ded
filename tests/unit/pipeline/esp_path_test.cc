// A packet through ESP tunnels of every kind: algorithm, sequence numbers, encapsulation, families.
#include <gtest/gtest.h>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

struct Kind {
  SaAlgorithm algorithm;
  bool esn;
  bool in_udp;
  bool outer_v6;
  bool inner_v6;
};

class EspPath : public testing::TestWithParam<Kind> {
 protected:
  EspPath() {
    EspOptions options;
    options.algorithm = GetParam().algorithm;
    options.parameters.esn = GetParam().esn;
    options.encapsulation = GetParam().in_udp ? Encapsulation::kUdp : Encapsulation::kNone;
    options.outer_v6 = GetParam().outer_v6;
    peer_ = gateway_.add_esp_peer(options);
  }
  [[nodiscard]] IpAddress host() const { return GetParam().inner_v6 ? kHost6 : kHost4; }
  [[nodiscard]] IpAddress inner() const {
    return GetParam().inner_v6 ? peer_.inner6 : peer_.inner4;
  }
  [[nodiscard]] size_t smallest() const { return GetParam().inner_v6 ? 48 : 28; }
  EspGateway gateway_;
  EspPeer peer_;
};

TEST_P(EspPath, packets_in_of_every_length_arrive_as_they_were) {
  for (size_t bytes = smallest(); bytes < smallest() + 40; ++bytes) {
    const ByteVector packet = sample_packet(inner(), host(), bytes);
    gateway_.receive(kOutside, esp_frame(peer_, packet));
    const auto sent = gateway_.sent();
    ASSERT_EQ(sent.size(), 1U) << bytes;
    EXPECT_EQ(sent[0].port, kInside);
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(packet)));
  }
  EXPECT_EQ(gateway_.all_drops(), 0U);
  EXPECT_EQ(gateway_.tunnels().inbound_counters(peer_.spi).packets, 40U);
}

TEST_P(EspPath, packets_out_of_every_length_open_at_the_peer_in_order) {
  ByteVector last_iv;
  for (size_t bytes = smallest(); bytes < smallest() + 40; ++bytes) {
    const ByteVector packet = sample_packet(host(), inner(), bytes);
    gateway_.receive(kInside, from_inside(packet));
    const auto sent = gateway_.sent();
    ASSERT_EQ(sent.size(), 1U) << bytes;
    const auto opened = open_esp(peer_, sent[0]);
    ASSERT_TRUE(opened) << bytes;
    EXPECT_EQ(opened->sequence, bytes - smallest() + 1);
    EXPECT_EQ(opened->next_header, GetParam().inner_v6 ? 41 : 4);
    EXPECT_TRUE(equal_bytes(opened->payload, one_hop_less(packet)));
    EXPECT_LT(opened->padding, is_cbc_peer(peer_) ? 16U : 4U);
    EXPECT_NE(opened->iv, last_iv);
    last_iv = opened->iv;
    if (!is_cbc_peer(peer_)) {
      EXPECT_EQ(load_unaligned<Be64>(opened->iv.data()).get(), opened->sequence);
    }
  }
  EXPECT_EQ(gateway_.all_drops(), 0U);
  EXPECT_EQ(gateway_.tunnels().outbound_counters(peer_.outbound).packets, 40U);
}

TEST_P(EspPath, full_vectors_pass_both_ways) {
  std::vector<ByteVector> in, out, packets_in, packets_out;
  for (size_t i = 0; i < kMaxVector; ++i) {
    packets_in.push_back(sample_packet(inner(), host(), 64 + i * 20));
    packets_out.push_back(sample_packet(host(), inner(), 64 + i * 20));
    in.push_back(esp_frame(peer_, packets_in.back()));
    out.push_back(from_inside(packets_out.back()));
  }
  gateway_.receive(kOutside, in);
  auto sent = gateway_.sent();
  ASSERT_EQ(sent.size(), kMaxVector);
  for (size_t i = 0; i < kMaxVector; ++i) {
    EXPECT_TRUE(equal_bytes(sent[i].packet(), one_hop_less(packets_in[i])));
  }
  gateway_.receive(kInside, out);
  sent = gateway_.sent();
  ASSERT_EQ(sent.size(), kMaxVector);
  for (size_t i = 0; i < kMaxVector; ++i) {
    const auto opened = open_esp(peer_, sent[i]);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->sequence, i + 1);
    EXPECT_TRUE(equal_bytes(opened->payload, one_hop_less(packets_out[i])));
  }
}

TEST_P(EspPath, every_flipped_byte_is_refused) {
  const ByteVector message =
      esp_message(peer_, 9, esp_plain(peer_, sample_packet(inner(), host(), 80)));
  std::vector<ByteVector> frames;
  for (size_t at = 4; at < message.size(); ++at) {  // the SPI names another SA
    ByteVector bad = message;
    bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << at % 8));
    frames.push_back(esp_frame_of(peer_, bad));
  }
  gateway_.receive(kOutside, frames);
  EXPECT_TRUE(gateway_.sent().empty());
  EXPECT_EQ(gateway_.drops(DropReason::kTunnelAuthFailed), frames.size());
  EXPECT_EQ(gateway_.tunnels().inbound_counters(peer_.spi).auth_failures, frames.size());
  gateway_.receive(kOutside, esp_frame_of(peer_, message));
  EXPECT_EQ(gateway_.sent().size(), 1U);
}

using EspPathWithEsn = EspPath;

TEST_P(EspPathWithEsn, numbers_pass_the_end_of_the_low_half) {
  const ByteVector packet = sample_packet(inner(), host(), 100);
  for (const uint64_t sequence :
       {uint64_t{1}, uint64_t{0xffff'ffff}, uint64_t{0x1'0000'0000}, uint64_t{0x1'0000'0001},
        uint64_t{0xffff'fffe}, uint64_t{0x1'ffff'f000}, uint64_t{0x2'0000'0000}}) {
    gateway_.receive(kOutside,
                     esp_frame_of(peer_, esp_message(peer_, sequence, esp_plain(peer_, packet))));
    EXPECT_EQ(gateway_.sent().size(), 1U) << sequence;
  }
  EXPECT_EQ(gateway_.all_drops(), 0U);
  // The same bits under another high half are another packet, which the tag knows.
  gateway_.receive(
      kOutside, esp_frame_of(peer_, esp_message(peer_, 0x1'0000'0004, esp_plain(peer_, packet))));
  EXPECT_EQ(gateway_.drops(DropReason::kTunnelAuthFailed), 1U);
}

std::vector<Kind> all_kinds(bool esn_only) {
  std::vector<Kind> kinds;
  for (size_t algorithm = 0; algorithm < kSaAlgorithmCount; ++algorithm) {
    for (int bits = 0; bits < 16; ++bits) {
      if (esn_only && (bits & 1) == 0) continue;
      kinds.push_back({static_cast<SaAlgorithm>(algorithm), (bits & 1) != 0, (bits & 2) != 0,
                       (bits & 4) != 0, (bits & 8) != 0});
    }
  }
  return kinds;
}
std::string name_of(const testing::TestParamInfo<Kind>& info) {
  constexpr const char* kNames[] = {"chacha", "gcm128", "gcm256", "cbc128", "cbc256"};
  const Kind& kind = info.param;
  return std::string(kNames[static_cast<size_t>(kind.algorithm)]) + (kind.esn ? "_esn" : "") +
         (kind.in_udp ? "_udp" : "_native") + (kind.outer_v6 ? "_out6" : "_out4") +
         (kind.inner_v6 ? "_in6" : "_in4");
}
INSTANTIATE_TEST_SUITE_P(All, EspPath, testing::ValuesIn(all_kinds(false)), name_of);
INSTANTIATE_TEST_SUITE_P(All, EspPathWithEsn, testing::ValuesIn(all_kinds(true)), name_of);

TEST(EspPathMixed, algorithms_share_a_vector) {
  EspGateway gateway;
  std::vector<EspPeer> peers;
  for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
    EspOptions options;
    options.algorithm = static_cast<SaAlgorithm>(i);
    peers.push_back(gateway.add_esp_peer(options));
  }
  std::vector<ByteVector> in, out, wanted_in, wanted_out;
  for (size_t i = 0; i < kMaxVector; ++i) {
    EspPeer& peer = peers[i * 7 % kSaAlgorithmCount];
    const ByteVector packet_in = sample_packet(peer.inner4, kHost4, 64 + i);
    const ByteVector packet_out = sample_packet(kHost4, peer.inner4, 64 + i);
    wanted_in.push_back(one_hop_less(packet_in));
    wanted_out.push_back(one_hop_less(packet_out));
    in.push_back(esp_frame(peer, packet_in));
    if (i == 13) in.back().back() ^= 1;
    out.push_back(from_inside(packet_out));
  }
  wanted_in.erase(wanted_in.begin() + 13);
  gateway.receive(kOutside, in);
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kMaxVector - 1);
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_TRUE(equal_bytes(sent[i].packet(), wanted_in[i]));
  gateway.receive(kInside, out);
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), kMaxVector);
  for (size_t i = 0; i < kMaxVector; ++i) {
    const auto opened = open_esp(peers[i * 7 % kSaAlgorithmCount], sent[i]);
    ASSERT_TRUE(opened) << i;
    EXPECT_TRUE(equal_bytes(opened->payload, wanted_out[i]));
  }
}

}  // namespace
}  // namespace penstock::test

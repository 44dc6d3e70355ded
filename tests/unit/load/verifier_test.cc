// What comes back is held against what was sent: each kind of fault is found and counted as itself.
#include <gtest/gtest.h>

#include "bench/load/inner_packet.h"

namespace penstock::load {
namespace {

class VerifierTest : public testing::TestWithParam<bool> {
 protected:
  VerifierTest() : plan_(make_plan()), verifier_(plan_) { verifier_.begin(5); }

  static Plan make_plan() {
    PlanOptions options;
    options.tunnels = 8;
    options.flows = 2;
    options.inner_v6 = GetParam();
    return *Plan::make(options);
  }

  ByteVector packet(uint32_t tunnel, uint32_t flow = 0, bool down = false, uint16_t bytes = 600) {
    PacketTag tag;
    tag.trial = verifier_.trial();
    tag.tunnel = tunnel;
    tag.flow = flow;
    tag.down = down;
    tag.sequence = verifier_.next_sequence(tunnel, flow, down);
    tag.sent_at = 1000;
    ByteVector made(bytes);
    verifier_.packets().write(made.data(), bytes, tag);
    ++verifier_.counts(down).sent;
    return made;
  }

  Counts& up() { return verifier_.counts(false); }
  Counts& down() { return verifier_.counts(true); }

  Plan plan_;
  Verifier verifier_;
};

TEST_P(VerifierTest, good_packets_count_with_their_latency) {
  for (uint32_t tunnel = 0; tunnel < 8; ++tunnel) {
    for (const uint16_t bytes : {uint16_t{80}, uint16_t{1420}, uint16_t{9000}}) {
      verifier_.take_clear(packet(tunnel, tunnel % 2, false, bytes), false, 1500);
      ByteVector padded = packet(tunnel, 0, true, bytes);
      padded.resize(padded.size() + 12);  // as a tunnel's padding
      verifier_.take(padded, tunnel, true, 1500);
    }
  }
  EXPECT_EQ(up().good, 24U);
  EXPECT_EQ(down().good, 24U);
  EXPECT_EQ(down().good_bytes, 8U * (80 + 1420 + 9000));
  EXPECT_EQ(up().lost() + down().lost(), 0U);
  EXPECT_EQ(verifier_.latency(true).largest(), 500U);
}

TEST_P(VerifierTest, clear_packets_of_both_ways_are_told_apart) {
  verifier_.take_clear(packet(2, 1, false), false, 2000);
  verifier_.take_clear(packet(2, 1, true), true, 2000);
  EXPECT_EQ(up().good, 1U);
  EXPECT_EQ(down().good, 1U);
  // Sent back out of the port that they came in on.
  verifier_.take_clear(packet(2, 1, false), true, 2000);
  verifier_.take_clear(packet(2, 1, true), false, 2000);
  EXPECT_EQ(up().good, 1U);
  EXPECT_EQ(down().good, 1U);
  EXPECT_EQ(up().wrong_tunnel + down().wrong_tunnel, 2U);
}

TEST_P(VerifierTest, missing_packet_is_lost) {
  verifier_.take_clear(packet(1), false, 2000);
  (void)packet(1);
  verifier_.take_clear(packet(1), false, 2000);
  EXPECT_EQ(up().good, 2U);
  EXPECT_EQ(up().lost(), 1U);
}

TEST_P(VerifierTest, every_changed_byte_is_found) {
  const ByteVector sent = packet(3, 1, false, 200);
  // All but what routers change or may change: DSCP and ECN, hop limit, checksums, flow label.
  for (size_t at = 0; at < sent.size(); ++at) {
    const size_t ip = GetParam() ? 40 : 20;
    const bool v6_free = at >= 1 && (at <= 3 || at == 7);
    const bool v4_free = at == 1 || (at >= 4 && at <= 8) || at == 10 || at == 11;
    if (GetParam() ? v6_free || at == 0 : v4_free || at == 0) continue;
    if (at == ip + 6 || at == ip + 7) continue;
    // The time stamp and the trial are this packet's word alone.
    if (at >= ip + 8 + 24 && at < ip + 8 + 32) continue;
    if (at >= ip + 8 + 4 && at < ip + 8 + 8) continue;
    ByteVector changed = sent;
    changed[at] ^= 0x10;
    verifier_.take_clear(changed, false, 2000);
    EXPECT_EQ(up().good, 0U) << "byte " << at;
  }
  EXPECT_GT(up().corrupt, 100U);
  verifier_.take_clear(sent, false, 2000);
  EXPECT_EQ(up().good, 1U);
}

TEST_P(VerifierTest, packet_of_another_tunnel_is_no_good) {
  const ByteVector two = packet(2, 0, true);
  verifier_.take(two, 4, true, 2000);
  EXPECT_EQ(down().wrong_tunnel, 1U);
  EXPECT_EQ(down().good, 0U);
  // And one that came back the way it went.
  verifier_.take(packet(2), 2, true, 2000);
  EXPECT_EQ(down().wrong_tunnel, 2U);
}

TEST_P(VerifierTest, payloads_that_changed_places_are_corrupt) {
  ByteVector one = packet(1), other = packet(1);
  const size_t pattern = smallest_inner_bytes(GetParam());
  std::swap_ranges(one.begin() + static_cast<ptrdiff_t>(pattern), one.end(),
                   other.begin() + static_cast<ptrdiff_t>(pattern));
  verifier_.take_clear(one, false, 2000);
  verifier_.take_clear(other, false, 2000);
  EXPECT_EQ(up().corrupt, 2U);
}

TEST_P(VerifierTest, packet_in_pieces_is_lost_but_not_changed) {
  ByteVector piece = packet(1, 1, true);
  piece.resize(400);
  if (!GetParam()) {  // an IPv6 router makes no fragments
    auto* const ip = reinterpret_cast<Ipv4Header*>(piece.data());
    ip->total_length = Be16(400);
    ip->fragment = Be16(kIpv4MoreFragments);
  }
  verifier_.take(piece, 1, true, 2000);
  EXPECT_EQ(down().fragmented, GetParam() ? 0U : 1U);
  EXPECT_EQ(down().corrupt, GetParam() ? 1U : 0U);
  EXPECT_EQ(down().lost(), 1U);
}

TEST_P(VerifierTest, duplicates_and_reordering_are_told_apart) {
  std::vector<ByteVector> sent;
  for (int i = 0; i < 100; ++i) sent.push_back(packet(6));
  for (const size_t i : {0, 2, 1, 2, 3, 99, 98, 10}) verifier_.take_clear(sent[i], false, 2000);
  EXPECT_EQ(up().good, 6U);
  EXPECT_EQ(up().reordered, 2U);  // 1, 98
  EXPECT_EQ(up().duplicate, 1U);
  EXPECT_EQ(up().too_late, 1U);  // 10: further behind than the window
}

TEST_P(VerifierTest, earlier_trials_and_strangers_do_not_count) {
  const ByteVector old = packet(0);
  verifier_.begin(6);
  verifier_.take_clear(old, false, 2000);
  verifier_.take_clear(ByteVector(100, 0x45), false, 2000);
  verifier_.take_clear(ByteVector(3), false, 2000);
  EXPECT_EQ(up().good + up().corrupt + up().wrong_tunnel, 0U);
  EXPECT_EQ(verifier_.foreign(), 2U);
}

INSTANTIATE_TEST_SUITE_P(Families, VerifierTest, testing::Bool());

TEST(LatencyHistogram, percentiles_are_near) {
  LatencyHistogram histogram;
  for (uint64_t value = 1; value <= 100'000; ++value) histogram.add(value);
  EXPECT_NEAR(histogram.percentile(0.5), 50'000, 800);
  EXPECT_NEAR(histogram.percentile(0.99), 99'000, 1600);
  EXPECT_NEAR(histogram.percentile(0.999), 99'900, 1600);
  EXPECT_NEAR(histogram.mean(), 50'000.5, 1);
  EXPECT_EQ(histogram.largest(), 100'000U);
  histogram.add(UINT64_MAX);
  EXPECT_EQ(histogram.count(), 100'001U);
  EXPECT_EQ(LatencyHistogram().percentile(0.5), 0);
}

}  // namespace
}  // namespace penstock::load

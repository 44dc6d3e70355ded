// Between threads and to the ports: injection, hand-over, shared sequence numbers, transmit queues,
// the packet pool.
#include <gtest/gtest.h>
#include <rte_lcore.h>

#include <set>
#include <thread>

#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

TEST(Exchange, injected_frame_leaves_by_its_port_as_it_is) {
  Gateway gateway;
  RingMeta meta;
  meta.inject = RingMeta::Inject::kFrame;
  meta.port = kOutside;
  const ByteVector frame = ethernet(kRouterMac, kEtherTypeArp, ByteVector(28, 1), kOutsideMac);
  gateway.inject(meta, frame);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].port, kOutside);
  EXPECT_EQ(sent[0].bytes, frame);
  EXPECT_EQ(gateway.pipeline().counters().injects.get(), 1U);
}

TEST(Exchange, injected_packet_is_routed_as_our_own) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector handshake =
      udp_packet({ip("198.51.100.1"), kListenPort}, peer.endpoint, ByteVector(148, 1));
  gateway.inject(RingMeta{}, handshake);
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(sent[0].packet(), handshake));  // no hop counted
  const ByteVector inner = sample_packet(ip("10.0.0.1"), peer.inner4);
  gateway.inject(RingMeta{}, inner);
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_frame(peer, sent[0]));
}

TEST(Exchange, injection_for_a_removed_tunnel_never_reaches_the_next_tenant) {
  Gateway gateway;
  const Peer old = gateway.add_peer();
  RingMeta meta;
  meta.inject = RingMeta::Inject::kTunnelPacket;
  meta.tunnel = old.tunnel.value;
  meta.tunnel_generation = gateway.tunnels().tunnel_generation(old.tunnel.value);
  gateway.tunnels().remove_tunnel(old.tunnel, gateway.defer());
  gateway.inject(meta, sample_packet(kHost4, old.inner4));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoPeer), 1U);
  gateway.grace();
  gateway.grace();
  const Peer fresh = gateway.add_peer();
  ASSERT_EQ(fresh.tunnel, old.tunnel);
  gateway.inject(meta, sample_packet(kHost4, old.inner4));
  meta.inject = RingMeta::Inject::kKeepalive;
  gateway.inject(meta, {});
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoPeer), 3U);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(Exchange, packet_of_another_owner_is_handed_over) {
  GatewayOptions options;
  options.workers = 2;
  options.ring_size = 16;
  Gateway gateway(options);
  SaOptions owned;
  owned.owner = 1;
  Peer peer = gateway.add_peer(true, owned);
  std::vector<ByteVector> frames;
  for (int i = 0; i < 20; ++i) {
    frames.push_back(tunnel_frame(peer, sample_packet(peer.inner6, kHost6, 80 + i)));
  }
  gateway.receive(kOutside, frames, 0);
  EXPECT_TRUE(gateway.sent(0).empty());
  EXPECT_EQ(gateway.drops(DropReason::kHandOverFull), 5U);
  EXPECT_EQ(gateway.pipeline(0).counters().hand_overs.get(), 15U);
  gateway.run_hand_over(1);
  EXPECT_EQ(gateway.sent(1).size(), 15U);
  gateway.receive(kOutside, frames[0]);  // replayed by way of the other worker
  gateway.run_hand_over(1);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 1U);
}

// A sequence number used twice would be a nonce used twice.
TEST(Exchange, two_workers_under_one_session_never_share_a_sequence_number) {
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(options);
  Peer peer = gateway.add_peer(), other = gateway.add_peer();
  constexpr int kRounds = 300;
  const auto run = [&](uint16_t worker) {
    ASSERT_EQ(rte_thread_register(), 0);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<ByteVector> frames;
      for (int i = 0; i < 32; ++i) {
        frames.push_back(from_inside(
            sample_packet(kHost4, (i + round) % 5 == 0 ? other.inner4 : peer.inner4, 60)));
      }
      gateway.receive(kInside, frames, worker);
    }
    rte_thread_unregister();
  };
  std::thread first(run, uint16_t{0}), second(run, uint16_t{1});
  first.join();
  second.join();
  std::set<uint64_t> seen, seen_other;
  size_t frames = 0;
  for (const uint16_t worker : {0, 1}) {
    for (const Frame& frame : gateway.sent(worker)) {
      ++frames;
      const bool to_peer =
          IpAddress(header_at<Ipv4Header>(frame.packet())->destination) == peer.endpoint.address;
      const auto opened = open_frame(to_peer ? peer : other, frame);
      ASSERT_TRUE(opened);
      EXPECT_TRUE((to_peer ? seen : seen_other).insert(opened->counter).second);
    }
  }
  EXPECT_EQ(frames, 2U * kRounds * 32);
  EXPECT_EQ(seen.size() + seen_other.size(), frames);
  EXPECT_EQ(*seen.rbegin() + 1, seen.size());  // none skipped either
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).tx_packets, seen.size());
}

TEST(Exchange, full_port_keeps_frames_in_order_and_then_drops) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.sink().room = 0;
  for (int i = 0; i < 10; ++i) {
    gateway.receive(
        kInside, std::vector<ByteVector>(32, from_inside(sample_packet(kHost4, peer.inner4, 60))));
  }
  EXPECT_EQ(gateway.drops(DropReason::kTxFull), 320U - 256);
  EXPECT_TRUE(gateway.finish_turn());
  gateway.sink().room = 100;
  EXPECT_TRUE(gateway.finish_turn());
  EXPECT_TRUE(gateway.finish_turn());
  EXPECT_FALSE(gateway.finish_turn());
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 256U);
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(open_frame(peer, sent[i])->counter, i);
  EXPECT_EQ(gateway.pipeline().counters().tx_packets.get(), 256U);
}

TEST(Exchange, link_that_is_down_drops_with_its_own_reason) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.tables().ports[kOutside].link_up = false;
  for (int i = 0; i < 10; ++i) {
    gateway.receive(
        kInside, std::vector<ByteVector>(32, from_inside(sample_packet(kHost4, peer.inner4, 60))));
  }
  EXPECT_EQ(gateway.drops(DropReason::kTxLinkDown), 320U);
  EXPECT_EQ(gateway.all_drops(), 320U);
  EXPECT_FALSE(gateway.finish_turn());
}

TEST(Exchange, empty_pool_is_survived_and_counted) {
  GatewayOptions options;
  options.icmp_errors_per_second = 1'000'000;
  Gateway gateway(options);
  Peer peer = gateway.add_peer();
  const ByteVector frames[] = {from_inside(sample_packet(kHost4, ip("8.8.8.8"))),
                               from_inside(sample_packet(kHost4, peer.inner4, 1500)),
                               from_inside(sample_packet(kHost4, peer.inner4, 100))};
  std::vector<rte_mbuf*> mbufs;
  for (const ByteVector& frame : frames) {
    mbufs.push_back(rte_pktmbuf_alloc(gateway.pool()));
    append(mbufs.back(), frame);
  }
  std::vector<rte_mbuf*> hoard;
  while (rte_mbuf* m = rte_pktmbuf_alloc(gateway.pool())) hoard.push_back(m);
  gateway.pipeline().receive(kInside, mbufs.data(), 3);
  gateway.finish_turn();
  EXPECT_EQ(gateway.drops(DropReason::kNoBuffer), 2U);  // the ICMP error; the fragments
  EXPECT_EQ(gateway.sent().size(), 1U);
  rte_pktmbuf_free_bulk(hoard.data(), static_cast<unsigned>(hoard.size()));
}

}  // namespace
}  // namespace penstock::test

// Workers cipher for each other: what goes in leaves in the same order, whoever ciphers it and
// however long that takes, under the same rules of replay and lifetime.
#include <gtest/gtest.h>

#include "tests/unit/pipeline/esp_peer.h"
#include "tests/unit/pipeline/helpers.h"

namespace penstock::test {
namespace {

constexpr uint32_t kPackets = 12'000;
constexpr unsigned kMostDelayUs = 200;
constexpr uint64_t kEnoughBatches = 20;

GatewayOptions lending(uint16_t workers) {
  GatewayOptions options;
  options.workers = workers;
  options.lending = true;
  return options;
}

// Receives the frames in vectors of random sizes, with turns without packets between.
void receive_all(Gateway& gateway, uint16_t port, const std::vector<ByteVector>& frames) {
  std::mt19937 random{4711};
  const PipelineCounters& counters = gateway.pipeline().counters();
  for (size_t at = 0; at < frames.size();) {
    const size_t n = std::min<size_t>(random() % kMaxVector + 1, frames.size() - at);
    gateway.receive(port, part(frames, at, n));
    at += n;
    if (random() % 64 == 0) gateway.finish_turn();
    // On a busy machine helpers come late.
    if (counters.lent_batches.get() < kEnoughBatches && at < frames.size() / 2) {
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }
  finish_all(gateway);
}

// Each batch was ciphered once, some by others.
void expect_shared(Gateway& gateway) {
  uint64_t helped = 0;
  for (uint16_t id = 1; id < gateway.tables().worker_count; ++id) {
    helped += gateway.pipeline(id).counters().helped_batches.get();
  }
  const PipelineCounters& counters = gateway.pipeline().counters();
  EXPECT_GT(counters.lent_batches.get(), 3U);
  EXPECT_GT(counters.taken_back_batches.get(), 0U);
  EXPECT_EQ(counters.lent_batches.get(), helped);
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST(Lending, wireguard_outbound_keeps_order_under_random_delays) {
  Gateway gateway(lending(4));
  Peer peers[] = {gateway.add_peer(), gateway.add_peer(true)};
  delay_helpers(gateway, kMostDelayUs);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < kPackets; ++i) {
    frames.push_back(from_inside(numbered_packet(kHost4, peers[i % 7 / 6].inner4, i, 4 + i % 900)));
  }
  {
    const Helpers helpers(gateway);
    receive_all(gateway, kInside, frames);
  }
  expect_shared(gateway);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kPackets);
  uint64_t counters[2] = {};
  for (uint32_t i = 0; i < kPackets; ++i) {
    const auto opened = open_frame(peers[i % 7 / 6], sent[i]);
    ASSERT_TRUE(opened) << i;
    ASSERT_EQ(number_of(opened->plain), i);
    ASSERT_EQ(opened->counter, counters[i % 7 / 6]++);
  }
}

TEST(Lending, wireguard_inbound_keeps_order_under_random_delays) {
  Gateway gateway(lending(4));
  Peer peers[] = {gateway.add_peer(), gateway.add_peer(true)};
  delay_helpers(gateway, kMostDelayUs);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < kPackets; ++i) {
    Peer& peer = peers[i % 7 / 6];
    frames.push_back(tunnel_frame(peer, numbered_packet(peer.inner4, kHost4, i, 4 + i % 900)));
  }
  {
    const Helpers helpers(gateway);
    receive_all(gateway, kOutside, frames);
  }
  expect_shared(gateway);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kPackets);
  for (uint32_t i = 0; i < kPackets; ++i) {
    ASSERT_EQ(sent[i].port, kInside);
    ASSERT_EQ(number_of(sent[i].packet()), i);
  }
}

// One algorithm each, so that batches are mixed; one with extended sequence numbers.
std::vector<EspPeer> mixed_peers(EspGateway& gateway) {
  std::vector<EspPeer> peers;
  for (const SaAlgorithm algorithm :
       {SaAlgorithm::kAes256Gcm16, SaAlgorithm::kChacha20Poly1305, SaAlgorithm::kAes128CbcSha256}) {
    EspOptions options;
    options.algorithm = algorithm;
    options.parameters.esn = algorithm == SaAlgorithm::kAes256Gcm16;
    options.parameters.replay_window_packets = 64;
    options.outer_v6 = algorithm == SaAlgorithm::kChacha20Poly1305;
    peers.push_back(gateway.add_esp_peer(options));
  }
  return peers;
}
// Runs of packets of one tunnel, so that there are batches of one algorithm too.
size_t peer_of(uint32_t packet) { return packet / 1000 % 2 == 0 ? packet % 3 : packet / 100 % 3; }

TEST(Lending, esp_outbound_keeps_order_under_random_delays) {
  EspGateway gateway(lending(4));
  std::vector<EspPeer> peers = mixed_peers(gateway);
  delay_helpers(gateway, kMostDelayUs);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < kPackets; ++i) {
    frames.push_back(
        from_inside(numbered_packet(kHost4, peers[peer_of(i)].inner4, i, 4 + i % 900)));
  }
  {
    const Helpers helpers(gateway);
    receive_all(gateway, kInside, frames);
  }
  expect_shared(gateway);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kPackets);
  uint64_t sequences[3] = {};
  for (uint32_t i = 0; i < kPackets; ++i) {
    const auto opened = open_esp(peers[peer_of(i)], sent[i]);
    ASSERT_TRUE(opened) << i;
    ASSERT_EQ(number_of(opened->payload), i);
    ASSERT_EQ(opened->sequence, ++sequences[peer_of(i)]);
  }
}

TEST(Lending, esp_inbound_keeps_order_under_random_delays) {
  EspGateway gateway(lending(4));
  std::vector<EspPeer> peers = mixed_peers(gateway);
  delay_helpers(gateway, kMostDelayUs);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < kPackets; ++i) {
    EspPeer& peer = peers[peer_of(i)];
    frames.push_back(esp_frame(peer, numbered_packet(peer.inner4, kHost4, i, 4 + i % 900)));
  }
  {
    const Helpers helpers(gateway);
    receive_all(gateway, kOutside, frames);
  }
  expect_shared(gateway);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kPackets);
  for (uint32_t i = 0; i < kPackets; ++i) ASSERT_EQ(number_of(sent[i].packet()), i);
}

// Out of one tunnel and into another: through the queue twice.
TEST(Lending, packets_from_tunnel_to_tunnel_keep_order) {
  Gateway gateway(lending(3));
  Peer from = gateway.add_peer(), to = gateway.add_peer();
  delay_helpers(gateway, kMostDelayUs);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < kPackets; ++i) {
    frames.push_back(tunnel_frame(from, numbered_packet(from.inner4, to.inner4, i)));
  }
  {
    const Helpers helpers(gateway);
    receive_all(gateway, kOutside, frames);
  }
  expect_shared(gateway);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), kPackets);
  for (uint32_t i = 0; i < kPackets; ++i) {
    const auto opened = open_frame(to, sent[i]);
    ASSERT_TRUE(opened);
    ASSERT_EQ(number_of(opened->plain), i);
    ASSERT_EQ(opened->counter, i);
  }
}

// --- replay and authenticity ---------------------------------------------------------------------

std::vector<ByteVector> from_peer(Peer& peer, uint32_t count, size_t payload_bytes = 60) {
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < count; ++i) {
    frames.push_back(tunnel_frame(peer, numbered_packet(peer.inner4, kHost4, i, payload_bytes)));
  }
  return frames;
}

// A helper that says that it has time, and never comes.
TEST(Lending, duplicates_in_flight_pass_once) {
  EspGateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  EspPeer esp = gateway.add_esp_peer();
  gateway.pipeline(1).set_helper(true);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames = from_peer(peer, 20);
  for (uint32_t i = 0; i < 20; ++i) {
    frames.push_back(esp_frame(esp, numbered_packet(esp.inner4, kHost4, i)));
  }
  gateway.receive(kOutside, frames);
  gateway.finish_turn();
  EXPECT_EQ(gateway.sent().size(), 40U);
  std::vector<ByteVector> next = from_peer(peer, 16);
  gateway.receive(kOutside, next);
  gateway.receive(kOutside, next);  // the window knows nothing of the first yet
  EXPECT_EQ(gateway.sent().size(), 0U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 0U);
  gateway.finish_turn();  // nothing came: all is taken back
  EXPECT_EQ(gateway.sent().size(), 16U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 16U);
  std::vector<ByteVector> more;
  for (uint32_t i = 0; i < 16; ++i) {
    more.push_back(esp_frame(esp, numbered_packet(esp.inner4, kHost4, i)));
  }
  gateway.receive(kOutside, more);
  gateway.receive(kOutside, more);
  gateway.finish_turn();
  EXPECT_EQ(gateway.sent().size(), 16U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 32U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(esp.spi).replay_drops, 16U);
  gateway.receive(kOutside, frames);  // as without lending: before the cipher
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 72U);
  EXPECT_EQ(gateway.pipeline().counters().lent_batches.get(), 0U);
}

TEST(Lending, forged_packets_in_flight_change_nothing) {
  EspGateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  EspPeer esp = gateway.add_esp_peer();
  gateway.pipeline(1).set_helper(true);
  gateway.pipeline().lend(true);
  std::vector<ByteVector> frames = from_peer(peer, 16);
  for (uint32_t i = 0; i < 16; ++i) {
    frames.push_back(esp_frame(esp, numbered_packet(esp.inner4, kHost4, i)));
  }
  std::vector<ByteVector> forged = frames;
  for (size_t i = 0; i < forged.size(); i += 2) forged[i].back() ^= 1;
  gateway.receive(kOutside, forged);
  finish_all(gateway);
  EXPECT_EQ(gateway.sent().size(), 16U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelAuthFailed), 16U);
  EXPECT_EQ(gateway.tunnels().inbound_counters(esp.spi).auth_failures, 8U);
  gateway.receive(kOutside, frames);  // the numbers of the forged ones are still free
  finish_all(gateway);
  EXPECT_EQ(gateway.sent().size(), 16U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelReplay), 16U);
}

TEST(Lending, packets_behind_the_last_of_a_hard_limit_are_refused) {
  EspGateway gateway(lending(2));
  EspOptions options;
  options.parameters.hard_packets = 20;
  EspPeer esp = gateway.add_esp_peer(options);
  gateway.pipeline(1).set_helper(true);
  gateway.pipeline().lend(true);
  for (int vector = 0; vector < 2; ++vector) {
    std::vector<ByteVector> frames;
    for (uint32_t i = 0; i < 16; ++i) {
      frames.push_back(esp_frame(esp, numbered_packet(esp.inner4, kHost4, i)));
    }
    gateway.receive(kOutside, frames);
  }
  finish_all(gateway);
  EXPECT_EQ(gateway.sent().size(), 20U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 12U);
}

TEST(Lending, packet_that_the_engine_refuses_never_leaves) {
  Gateway gateway(lending(2));
  const Peer peer = gateway.add_peer();
  gateway.pipeline(1).set_helper(true);
  gateway.pipeline().lend(true);
  gateway.engine().failing_seal = 1;  // of each few
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < 16; ++i) {
    frames.push_back(from_inside(numbered_packet(kHost4, peer.inner4, i)));
  }
  gateway.receive(kInside, frames);
  finish_all(gateway);
  EXPECT_GT(gateway.drops(DropReason::kTunnelCipherFailed), 0U);
  EXPECT_EQ(gateway.sent().size() + gateway.drops(DropReason::kTunnelCipherFailed), 16U);
}

// --- who ciphers ---------------------------------------------------------------------------------

TEST(Lending, without_helpers_or_with_few_packets_the_owner_ciphers_at_once) {
  Gateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  gateway.pipeline().lend(true);
  gateway.receive(kOutside, from_peer(peer, 32));
  EXPECT_EQ(gateway.sent().size(), 32U);
  gateway.pipeline(1).set_helper(true);
  gateway.receive(kOutside, from_peer(peer, 4));
  EXPECT_EQ(gateway.sent().size(), 4U);
  gateway.receive(kOutside, from_peer(peer, 32));
  EXPECT_EQ(gateway.sent().size(), 0U);
  gateway.receive(kOutside, from_peer(peer, 4));  // not before those in flight
  EXPECT_EQ(gateway.sent().size(), 0U);
  EXPECT_TRUE(gateway.pipeline().oldest_epoch());
  EXPECT_FALSE(gateway.finish_turn());
  EXPECT_EQ(gateway.sent().size(), 36U);
  EXPECT_FALSE(gateway.pipeline().oldest_epoch());
}

TEST(Lending, worker_that_stops_lending_completes_what_is_in_flight_first) {
  Gateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  Gate gate(gateway);
  gateway.pipeline().lend(true);
  const Helpers helpers(gateway);
  std::vector<ByteVector> frames = from_peer(peer, 96);
  gateway.receive(kOutside, part(frames, 0, 32));
  gate.await_arrival();
  gateway.pipeline().lend(false);
  gateway.receive(kOutside, part(frames, 32, 32));
  EXPECT_TRUE(gateway.finish_turn());
  EXPECT_EQ(gateway.sent().size(), 0U);
  gate.open();
  while (gateway.finish_turn()) std::this_thread::yield();
  gateway.receive(kOutside, part(frames, 64, 32));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 96U);
  for (uint32_t i = 0; i < 96; ++i) EXPECT_EQ(number_of(sent[i].packet()), i);
}

TEST(Lending, helper_that_stalls_is_waited_for_counted_and_left_out) {
  Gateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  Gate gate(gateway);
  gateway.pipeline().lend(true);
  const Helpers helpers(gateway);
  const PipelineCounters& counters = gateway.pipeline().counters();
  const std::vector<ByteVector> frames = from_peer(peer, 20 * 32);
  gateway.receive(kOutside, part(frames, 0, 32));
  gate.await_arrival();
  // Another thread, as it has to wait when its bound is reached.
  std::atomic<size_t> received{32};
  std::thread owner([&] {
    ASSERT_EQ(rte_thread_register(), 0);
    while (received < frames.size()) {
      gateway.receive(kOutside, part(frames, received, 32));
      received += 32;
    }
    rte_thread_unregister();
  });
  while (counters.late_batches.get() == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LE(received, (most_batches_in_flight(2) + 2) * 32);
  EXPECT_LT(received, frames.size());
  EXPECT_EQ(gateway.pipeline().helpers(), 0U);
  gate.open();
  owner.join();
  finish_all(gateway);
  EXPECT_EQ(counters.late_batches.get(), 1U);
  EXPECT_EQ(counters.lent_batches.get(), 1U);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), frames.size());
  for (uint32_t i = 0; i < frames.size(); ++i) ASSERT_EQ(number_of(sent[i].packet()), i);
  while (gateway.pipeline().helpers() == 0) gateway.finish_turn();  // it gets another chance
}

TEST(Lending, packets_in_flight_at_the_end_give_their_buffers_back) {
  Gateway gateway(lending(2));
  Peer peer = gateway.add_peer();
  gateway.pipeline(1).set_helper(true);
  gateway.pipeline().lend(true);
  gateway.receive(kOutside, from_peer(peer, 32));
  gateway.receive(
      kInside, std::vector<ByteVector>(32, from_inside(numbered_packet(kHost4, peer.inner4, 0))));
  EXPECT_EQ(gateway.buffers_missing(), 64U);  // the gateway's end looks again
}

}  // namespace
}  // namespace penstock::test

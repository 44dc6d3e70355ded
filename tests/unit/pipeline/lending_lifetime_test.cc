// What a batch in flight uses stays: keys are wiped after the last packet under them is complete,
// though turns end meanwhile and the helper takes no part in grace periods. And a batch is taken
// once.
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/worker/reclaim.h"
#include "tests/unit/pipeline/esp_peer.h"
#include "tests/unit/pipeline/helpers.h"

namespace penstock::test {
namespace {

// The first worker is online to grace periods, as in Worker::run().
class Lifetime : public ::testing::Test {
 protected:
  Lifetime() {
    reclaimer_->online(0);
    gateway_.pipeline().set_epoch(reclaimer_->epoch());
    gateway_.pipeline().lend(true);
  }
  ~Lifetime() override {
    reclaimer_->offline(0);
    reclaimer_->drain();
  }

  // Held up in the cipher of a helper.
  void receive_held(uint16_t port, const std::vector<ByteVector>& frames) {
    helpers_ = std::make_unique<Helpers>(gateway_);
    gateway_.receive(port, frames);
    gate_.await_arrival();
    report();
  }
  void report() {
    if (const auto oldest = gateway_.pipeline().oldest_epoch()) {
      reclaimer_->quiescent_since(0, *oldest);
    } else {
      reclaimer_->quiescent(0);
    }
    gateway_.pipeline().set_epoch(reclaimer_->epoch());
  }
  void end_turns(int turns) {
    for (int i = 0; i < turns; ++i) {
      gateway_.finish_turn();
      report();
      reclaimer_->poll();
    }
  }
  std::vector<Frame> release() {
    gate_.open();
    while (gateway_.finish_turn()) std::this_thread::yield();
    helpers_.reset();
    return gateway_.sent();
  }
  [[nodiscard]] Defer defer() {
    return [this](std::function<void()> fn) { reclaimer_->defer(std::move(fn)); };
  }
  GatewayOptions options() {
    start_environment();
    reclaimer_ = std::move(Reclaimer::create(1)).value();
    GatewayOptions options;
    options.workers = 2;
    options.lending = true;
    options.defer = defer();
    return options;
  }
  // 16 packets each way; `opens` says whether the peer can read one.
  static void expect_both_ways(const std::vector<Frame>& sent,
                               const std::function<bool(const Frame&)>& opens) {
    ASSERT_EQ(sent.size(), 32U);
    size_t inside = 0;
    for (const Frame& frame : sent) {
      inside += frame.port == kInside ? 1 : 0;
      EXPECT_TRUE(frame.port == kInside || opens(frame));
    }
    EXPECT_EQ(inside, 16U);
  }
  static bool is_wiped(const uint8_t* bytes, size_t count) {
    return std::all_of(bytes, bytes + count, [](uint8_t byte) { return byte == 0; });
  }

  std::unique_ptr<Reclaimer> reclaimer_;
  EspGateway gateway_{options()};
  Gate gate_{gateway_};
  std::unique_ptr<Helpers> helpers_;
};

TEST_F(Lifetime, wireguard_keys_outlive_their_removal_in_flight) {
  Peer peer = gateway_.add_peer();
  const uint8_t* out = gateway_.tunnels().outbound(peer.outbound.slot).key;
  const uint8_t* in = gateway_.tunnels().inbound_slot_of(peer.index).key;
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < 16; ++i) {
    frames.push_back(from_inside(numbered_packet(kHost4, peer.inner4, i)));
  }
  receive_held(kInside, frames);
  std::vector<ByteVector> inbound;
  for (uint32_t i = 0; i < 16; ++i) {
    inbound.push_back(tunnel_frame(peer, numbered_packet(peer.inner4, kHost4, i)));
  }
  gateway_.receive(kOutside, inbound);
  report();
  gateway_.remove_session(peer);
  end_turns(10);
  EXPECT_GT(reclaimer_->pending(), 0U);
  EXPECT_FALSE(is_wiped(out, 32));
  EXPECT_FALSE(is_wiped(in, 32));
  const auto sent = release();
  expect_both_ways(sent, [&](const Frame& frame) { return open_frame(peer, frame).has_value(); });
  end_turns(3);
  EXPECT_EQ(reclaimer_->pending(), 0U);
  EXPECT_TRUE(is_wiped(out, 32));
  EXPECT_TRUE(is_wiped(in, 32));
}

TEST_F(Lifetime, esp_keys_outlive_their_removal_in_flight) {
  EspPeer peer = gateway_.add_esp_peer();
  TunnelTables& tunnels = gateway_.tunnels();
  const uint8_t* out = tunnels.outbound_key(tunnels.outbound(peer.outbound.slot));
  const uint8_t* in = tunnels.inbound_key(peer.spi);
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < 16; ++i) {
    frames.push_back(esp_frame(peer, numbered_packet(peer.inner4, kHost4, i)));
  }
  receive_held(kOutside, frames);
  std::vector<ByteVector> outbound;
  for (uint32_t i = 0; i < 16; ++i) {
    outbound.push_back(from_inside(numbered_packet(kHost4, peer.inner4, i)));
  }
  gateway_.receive(kInside, outbound);
  report();
  tunnels.remove_tunnel(peer.tunnel, defer());
  end_turns(10);
  EXPECT_FALSE(is_wiped(out, 64));
  EXPECT_FALSE(is_wiped(in, 64));
  const auto sent = release();
  expect_both_ways(sent, [&](const Frame& frame) { return open_esp(peer, frame).has_value(); });
  end_turns(3);
  EXPECT_EQ(reclaimer_->pending(), 0U);
  EXPECT_TRUE(is_wiped(out, 64));
  EXPECT_TRUE(is_wiped(in, 64));
}

TEST_F(Lifetime, rekey_in_flight_keeps_order) {
  Peer old = gateway_.add_peer();
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < 48; ++i) {
    frames.push_back(from_inside(numbered_packet(kHost4, old.inner4, i)));
  }
  receive_held(kInside, part(frames, 0, 16));
  Peer fresh = old;
  gateway_.add_session(fresh);
  gateway_.remove_session(old);
  gateway_.receive(kInside, part(frames, 16, 32));
  end_turns(10);
  EXPECT_GT(reclaimer_->pending(), 0U);
  const auto sent = release();
  ASSERT_EQ(sent.size(), 48U);
  for (uint32_t i = 0; i < 48; ++i) {
    const auto opened = open_frame(i < 16 ? old : fresh, sent[i]);
    ASSERT_TRUE(opened);
    EXPECT_EQ(number_of(opened->plain), i);
  }
  end_turns(3);
  EXPECT_EQ(reclaimer_->pending(), 0U);
}

// Grace periods that begin while packets are in flight end, though there are always some.
TEST_F(Lifetime, grace_periods_end_under_traffic) {
  Peer peer = gateway_.add_peer();
  gateway_.pipeline(1).set_helper(true);
  std::vector<ByteVector> frames(16, from_inside(numbered_packet(kHost4, peer.inner4, 0)));
  gateway_.receive(kInside, frames);
  report();
  bool ended = false;
  reclaimer_->defer([&] { ended = true; });
  reclaimer_->poll();
  EXPECT_FALSE(ended);
  for (int turn = 0; turn < 4; ++turn) {
    gateway_.receive(kInside, frames);
    ASSERT_TRUE(gateway_.pipeline().oldest_epoch());
    report();
    reclaimer_->poll();
  }
  EXPECT_TRUE(ended);
  finish_all(gateway_);
}

TEST(LendingDesk, every_batch_is_taken_once) {
  constexpr uint64_t kBatches = 200'000;
  constexpr size_t kTakers = 3;
  // Not on the stack, which gcc 12's sanitizer aligns to less.
  const auto desk = std::make_unique<LendingDesk>();
  std::vector<CipherBatch> batches(kBatchesPerWorker);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> taken{0};
  const auto take = [&] {
    CipherBatch* batch = desk->take();
    if (batch == nullptr) return false;
    ++batch->cycles;
    batch->done.store(true, std::memory_order_release);
    ++taken;
    return true;
  };
  std::vector<std::thread> takers;
  for (size_t i = 0; i < kTakers; ++i) {
    takers.emplace_back([&] {
      while (!stop.load()) {
        if (!take()) std::this_thread::yield();
      }
    });
  }
  for (uint64_t i = 0; i < kBatches; ++i) {
    CipherBatch& batch = batches[i % kBatchesPerWorker];
    while (i >= kBatchesPerWorker && !batch.done.load(std::memory_order_acquire)) take();
    ASSERT_EQ(batch.cycles, i / kBatchesPerWorker);
    batch.done.store(false, std::memory_order_relaxed);
    desk->offer(batch);
  }
  while (take()) {
  }
  while (taken < kBatches) std::this_thread::yield();
  stop = true;
  for (std::thread& taker : takers) taker.join();
  EXPECT_EQ(taken, kBatches);
}

}  // namespace
}  // namespace penstock::test

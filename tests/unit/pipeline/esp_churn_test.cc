// Two workers forward both ways through ESP tunnels under real grace periods while the control
// thread adds, rekeys and removes tunnels, selectors and policies: everything that leaves is sealed
// under the key that its SPI names, by the owner and in order, and nothing is used after it was
// freed.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "dataplane/worker/reclaim.h"
#include "tests/unit/pipeline/esp_peer.h"
#include "tests/unit/pipeline/helpers.h"

namespace penstock::test {
namespace {

constexpr size_t kLivePeers = 10;
constexpr uint16_t kWorkers = 2;
constexpr uint64_t kSteps = 800;

class EspChurn {
 public:
  explicit EspChurn(bool lending = false) : lending_(lending) {
    for (size_t i = 0; i < kLivePeers; ++i) peers_.push_back(fresh_peer(i));
    for (EspPeer& peer : peers_) {
      outside_.push_back(esp_frame(peer, sample_packet(peer.inner4, kHost4)));
      for (int i = 0; i < 3; ++i) {
        inside_.push_back(from_inside(sample_packet(kHost4, peer.inner4, 80 + i)));
      }
    }
  }
  ~EspChurn() { reclaimer_->drain(); }

  void run() {
    std::atomic<int> started{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> workers;
    for (uint16_t id = 0; id < kWorkers; ++id) {
      workers.emplace_back([&, id] {
        enter_worker_thread();
        reclaimer_->online(id);
        if (lending_) {
          gateway_.pipeline(id).set_epoch(reclaimer_->epoch());
          gateway_.pipeline(id).lend(true);
          gateway_.pipeline(id).set_helper(true);
        }
        ++started;
        while (!stop.load(std::memory_order_acquire)) turn(id);
        if (lending_) {
          gateway_.pipeline(id).lend(false);
          gateway_.pipeline(id).finish_batches();
          gateway_.finish_turn(id);
        }
        reclaimer_->offline(id);
        rte_thread_unregister();
      });
    }
    while (started < kWorkers) std::this_thread::yield();
    const auto enough = [this](uint64_t step) {
      return step >= kSteps && (!lending_ || lent_batches() > 0 || step > 20 * kSteps);
    };
    for (uint64_t step = 0; !enough(step); ++step) change(step);
    stop = true;
    for (std::thread& worker : workers) worker.join();
    for (uint16_t id = 0; id < kWorkers; ++id) gateway_.run_hand_over(id);
  }

  void check() {
    size_t opened = 0;
    for (uint16_t id = 0; id < kWorkers; ++id) {
      std::map<uint32_t, uint64_t> last;
      for (const Frame& frame : left_[id]) {
        const auto* header = header_at<EspHeader>(frame.packet(), 28);
        ASSERT_NE(header, nullptr);
        const uint32_t spi = header->spi.get();
        const auto peer = by_spi_.find(spi);
        ASSERT_NE(peer, by_spi_.end());
        ASSERT_EQ(peer->second.options.outbound_owner, id);
        const auto packet = open_esp(peer->second, frame);
        ASSERT_TRUE(packet);
        ASSERT_GT(packet->sequence, last[spi]);
        last[spi] = packet->sequence;
        ++opened;
      }
    }
    EXPECT_GT(opened, 100U);
  }

  [[nodiscard]] uint64_t lent_batches() {
    uint64_t sum = 0;
    for (uint16_t id = 0; id < kWorkers; ++id) {
      sum += gateway_.pipeline(id).counters().lent_batches.get();
    }
    return sum;
  }

 private:
  void turn(uint16_t id) {
    gateway_.receive(kInside, inside_, id);
    gateway_.receive(kOutside, outside_, id);
    gateway_.run_hand_over(id);
    for (size_t kind = 0; kind < kPuntClasses; ++kind) {
      (void)gateway_.punts(static_cast<PuntClass>(kind), id);
    }
    for (Frame& frame : gateway_.sent(id)) {
      if (frame.port == kOutside && left_[id].size() < 10'000) {
        left_[id].push_back(std::move(frame));
      }
    }
    if (const auto oldest = gateway_.pipeline(id).oldest_epoch()) {
      reclaimer_->quiescent_since(id, *oldest);
    } else {
      reclaimer_->quiescent(id);
    }
    if (!lending_) return;
    gateway_.pipeline(id).set_epoch(reclaimer_->epoch());
    gateway_.pipeline(id).help();
  }

  void change(uint64_t step) {
    EspPeer& peer = peers_[step % peers_.size()];
    switch (step % 4) {
      case 0:  // the peer goes, another comes in its place
        for (const PolicyId policy : policies_[peer.tunnel.value]) {
          EXPECT_TRUE(gateway_.policies().remove(policy));
        }
        policies_.erase(peer.tunnel.value);
        gateway_.tunnels().remove_tunnel(peer.tunnel, defer());
        peer = fresh_peer(step % peers_.size());
        break;
      case 1:
        gateway_.set_selectors(peer, {peer.selectors.back(), peer.selectors.front()});
        break;
      default: {  // a rekey, sometimes left to the worker to promote
        const EspPeer old = peer;
        peer.options.current = step % 4 == 2;
        gateway_.add_esp_session(peer);
        by_spi_[peer.peer_spi] = peer;
        gateway_.tunnels().remove_inbound(old.spi, defer());
        gateway_.tunnels().remove_outbound(old.outbound, defer());
        if (!peer.options.current) {
          gateway_.tunnels().set_current_outbound(peer.tunnel, peer.outbound);
        }
      }
    }
    (void)gateway_.events();
    do {
      reclaimer_->poll();
    } while (reclaimer_->pending() > 400);
  }

  EspPeer fresh_peer(size_t place) {
    EspOptions options;
    options.algorithm = static_cast<SaAlgorithm>(place % kSaAlgorithmCount);
    options.owner = static_cast<uint16_t>(place % kWorkers);
    options.outbound_owner = static_cast<uint16_t>((place + 1) % kWorkers);
    options.parameters.replay_window_packets = place % 3 == 0 ? 16'384 : 64;
    EspPeer peer = gateway_.make_esp_peer(options, static_cast<unsigned>(place + 1));
    policies_[peer.tunnel.value] = gateway_.add_policies(peer, gateway_.policies());
    by_spi_[peer.peer_spi] = peer;
    return peer;
  }
  [[nodiscard]] Defer defer() {
    return [this](std::function<void()> fn) { reclaimer_->defer(std::move(fn)); };
  }
  GatewayOptions options() {
    start_environment();
    reclaimer_ = std::move(Reclaimer::create(kWorkers)).value();
    GatewayOptions options;
    options.workers = kWorkers;
    options.tunnels = 1024;
    options.defer = defer();
    options.lending = lending_;
    return options;
  }

  const bool lending_;
  std::unique_ptr<Reclaimer> reclaimer_;
  EspGateway gateway_{options()};
  std::vector<EspPeer> peers_;
  std::map<uint32_t, EspPeer> by_spi_;
  std::map<uint32_t, std::vector<PolicyId>> policies_;  // by tunnel
  std::vector<ByteVector> inside_, outside_;
  std::vector<Frame> left_[kWorkers];
};

TEST(EspChurn, tunnels_change_under_traffic_without_a_wrong_key_or_order) {
  EspChurn churn;
  churn.run();
  churn.check();
}

TEST(EspChurn, tunnels_change_while_workers_cipher_for_each_other) {
  EspChurn churn(true);
  churn.run();
  churn.check();
  EXPECT_GT(churn.lent_batches(), 0U);
}

}  // namespace
}  // namespace penstock::test

// A worker forwards both ways under real grace periods while the control thread adds, rekeys and
// removes tunnels and routes: everything that leaves is sealed under the key that its receiver
// index names, and nothing is used after it was freed.
#include <gtest/gtest.h>
#include <rte_lcore.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "dataplane/worker/reclaim.h"
#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

constexpr size_t kLivePeers = 24;

struct Turns {
  uint64_t count = 0;
  Nanoseconds longest_gap_ns = 0;
};

// What left, kept small: the frame and nothing else.
struct Left {
  uint32_t receiver;
  Frame frame;
};

class Churn {
 public:
  Churn() {
    for (size_t i = 0; i < kLivePeers; ++i) peers_.push_back(fresh_peer());
    for (const Peer& peer : peers_) frames_of(peer);
  }
  ~Churn() { reclaimer_->drain(); }

  // Runs turns on a thread of their own until the control thread's work is done.
  Turns run(const std::function<void(Churn&)>& control) {
    Turns turns;
    std::atomic<bool> started{false}, stop{false};
    std::thread worker([&] {
      if (rte_thread_register() != 0) std::abort();
      reclaimer_->online(0);
      started = true;
      Nanoseconds last = boot_time_ns();
      while (!stop.load(std::memory_order_acquire)) {
        gateway_.receive(kInside, inside_);
        gateway_.receive(kOutside, outside_);
        for (const auto kind : {PuntClass::kWaiting, PuntClass::kHandshake}) {
          (void)gateway_.punts(kind);
        }
        for (Frame& frame : gateway_.sent()) keep(std::move(frame));
        reclaimer_->quiescent(0);
        const Nanoseconds now = boot_time_ns();
        turns.longest_gap_ns = std::max(turns.longest_gap_ns, now - last);
        last = now;
        ++turns.count;
      }
      reclaimer_->offline(0);
      rte_thread_unregister();
    });
    while (!started) std::this_thread::yield();
    control(*this);
    stop = true;
    worker.join();
    return turns;
  }

  void change(uint64_t step) {
    Peer& peer = peers_[step % peers_.size()];
    if (step % 3 == 0) {  // the peer goes, another comes
      remove_addresses(peer);
      gateway_.tunnels().remove_tunnel(peer.tunnel, defer());
      peer = fresh_peer();
    } else {  // a rekey, sometimes promoted by the worker
      SaOptions options;
      options.current = step % 3 == 1;
      const Peer old = peer;
      gateway_.add_session(peer, options);
      remember(peer);
      gateway_.tunnels().remove_inbound(old.index, defer());
      gateway_.tunnels().remove_outbound(old.outbound, defer());
      if (!options.current) gateway_.tunnels().set_current_outbound(peer.tunnel, peer.outbound);
    }
    const std::string route = "10." + std::to_string(100 + step % 100) + ".0.0/16";
    if (step % 2 == 0) {
      gateway_.route(route.c_str(), {NextHop::Kind::kGateway,
                                     PortId{0},
                                     {},
                                     Ipv4Address::from_host(0xc6336400 + step % 200)});
    } else {
      gateway_.fib().remove_route(prefix(route.c_str()));
    }
    (void)gateway_.events();
    // No faster than grace periods end.
    do {
      reclaimer_->poll();
    } while (reclaimer_->pending() > 400);
  }

  // Every message opens under the key of its receiver index.
  void check() {
    size_t opened = 0;
    for (const Left& left : left_) {
      const auto peer = by_index_.find(left.receiver);
      ASSERT_NE(peer, by_index_.end());
      ASSERT_TRUE(open_frame(peer->second, left.frame));
      ++opened;
    }
    EXPECT_GT(opened, 100U);
  }

 private:
  Peer fresh_peer() {
    Peer peer = gateway_.add_peer();
    remember(peer);
    return peer;
  }
  void remember(const Peer& peer) { by_index_[peer.peer_index] = peer; }
  void remove_addresses(const Peer& peer) {
    gateway_.allowed().remove(IpPrefix::host(peer.inner4));
    gateway_.allowed().remove(IpPrefix::host(peer.inner6));
  }
  // Made once: the worker only receives them. Inbound ones are replays after the first turn, and
  // of unknown sessions after a rekey; what counts is that each has its exit.
  void frames_of(const Peer& of) {
    Peer peer = of;
    outside_.push_back(tunnel_frame(peer, sample_packet(peer.inner4, kHost4)));
    for (int i = 0; i < 2; ++i) {
      inside_.push_back(from_inside(
          sample_packet(kHost4, Ipv4Address::from_host(0x0a000101 + 5 * next_address_++))));
    }
  }
  void keep(Frame frame) {
    if (frame.port != kOutside) return;
    const auto* header = header_at<WireguardDataHeader>(frame.packet(), 28);
    if (header == nullptr || left_.size() >= 20'000) return;
    left_.push_back({header->receiver.get(), std::move(frame)});
  }

  [[nodiscard]] Defer defer() {
    return [this](std::function<void()> fn) { reclaimer_->defer(std::move(fn)); };
  }
  GatewayOptions options() {
    start_environment();
    reclaimer_ = std::move(Reclaimer::create(1)).value();
    GatewayOptions options;
    options.tunnels = 1024;
    options.defer = defer();
    return options;
  }

  std::unique_ptr<Reclaimer> reclaimer_;
  Gateway gateway_{options()};
  std::vector<Peer> peers_;
  std::map<uint32_t, Peer> by_index_;
  std::vector<ByteVector> inside_, outside_;
  std::vector<Left> left_;
  uint32_t next_address_ = 0;
};

TEST(Churn, tunnels_and_routes_change_under_traffic_without_a_wrong_key) {
  Churn churn;
  const Turns calm =
      churn.run([](Churn&) { std::this_thread::sleep_for(std::chrono::milliseconds(300)); });
  const Turns busy = churn.run([](Churn& world) {
    for (uint64_t step = 0; step < 6000; ++step) world.change(step);
  });
  churn.check();
  EXPECT_GT(busy.count, 0U);
  std::printf(
      "turns: %llu calm, longest gap %.3f ms; %llu under change, longest gap %.3f ms\n",
      static_cast<unsigned long long>(calm.count), static_cast<double>(calm.longest_gap_ns) / 1e6,
      static_cast<unsigned long long>(busy.count), static_cast<double>(busy.longest_gap_ns) / 1e6);
}

}  // namespace
}  // namespace penstock::test

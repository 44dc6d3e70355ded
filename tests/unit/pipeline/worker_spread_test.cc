// Two workers as they run, with ports made of rings: one gets more packets for one tunnel than it
// can cipher, the other none. The second helps, by itself, and order holds.
#include <gtest/gtest.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "dataplane/worker/worker.h"
#include "gateway/base/clock.h"
#include "tests/unit/pipeline/helpers.h"

namespace penstock::test {
namespace {

constexpr uint32_t kRing = 256;
constexpr uint32_t kTransmitRing = 2048;                 // more than there are buffers
constexpr uint64_t kEnoughBatches = 1;                   // where CPUs are busy, lending seldom pays
constexpr Nanoseconds kCipherTime = 200 * kMicrosecond;  // of a burst
constexpr Nanoseconds kPatience = 30 * kSecond;

// A port with a receive queue for each of two workers, and a transmit queue for each.
class RingPort {
 public:
  RingPort(const std::string& name, rte_mempool* pool) {
    for (int queue = 0; queue < 2; ++queue) {
      rx_[queue] = ring(name + "_rx" + std::to_string(queue), kRing);
      tx_[queue] = ring(name + "_tx" + std::to_string(queue), kTransmitRing);
    }
    const int port = rte_eth_from_rings(name.c_str(), rx_, 2, tx_, 2, 0);
    if (port < 0) std::abort();
    port_ = static_cast<uint16_t>(port);
    const rte_eth_conf conf{};
    bool ok = rte_eth_dev_configure(port_, 2, 2, &conf) == 0;
    for (uint16_t queue = 0; queue < 2; ++queue) {
      ok = ok && rte_eth_rx_queue_setup(port_, queue, kRing, 0, nullptr, pool) == 0 &&
           rte_eth_tx_queue_setup(port_, queue, kRing, 0, nullptr) == 0;
    }
    if (!ok || rte_eth_dev_start(port_) != 0) std::abort();
  }
  ~RingPort() {
    rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    for (rte_ring* one : {rx_[0], rx_[1], tx_[0], tx_[1]}) {
      void* item = nullptr;
      while (rte_ring_dequeue(one, &item) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(item));
      rte_ring_free(one);
    }
  }
  RingPort(const RingPort&) = delete;
  RingPort& operator=(const RingPort&) = delete;

  [[nodiscard]] uint16_t dpdk_port() const { return port_; }
  bool put(rte_mbuf* m) { return rte_ring_enqueue(rx_[0], m) == 0; }
  rte_mbuf* get() {
    void* item = nullptr;
    return rte_ring_dequeue(tx_[0], &item) == 0 ? static_cast<rte_mbuf*>(item) : nullptr;
  }

 private:
  static rte_ring* ring(const std::string& name, uint32_t size) {
    rte_ring* made = rte_ring_create(name.c_str(), size, SOCKET_ID_ANY, 0);
    if (made == nullptr) std::abort();
    return made;
  }
  uint16_t port_ = 0;
  rte_ring* rx_[2];
  rte_ring* tx_[2];
};

class SpreadingWorkers : public ::testing::Test {
 protected:
  SpreadingWorkers() {
    for (uint16_t id = 0; id < 2; ++id) {
      std::vector<WorkerPort> ports;
      for (const auto& [number, port] : {std::pair{kOutside, &outside_}, {kInside, &inside_}}) {
        WorkerPort one;
        one.port = number;
        one.dpdk_port = port->dpdk_port();
        one.rx_queues = {id};
        one.tx_queue = id;
        ports.push_back(one);
      }
      PipelineConfig pipeline;
      pipeline.worker = id;
      pipeline.pool = gateway_.pool();
      pipeline.random = &random_;
      WorkerOptions options;
      options.id = id;
      workers_[id] = std::make_unique<Worker>(options, std::move(ports), pipeline,
                                              gateway_.tables(), slow_engines(), *reclaimer_);
    }
  }

  // Slower than packets can be made.
  static AeadEngines slow_engines() {
    AeadEngines::All engines;
    for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
      auto engine = std::make_unique<FaultyEngine>(static_cast<SaAlgorithm>(i));
      engine->before_burst = [] {
        const Nanoseconds begin = boot_time_ns();
        while (boot_time_ns() - begin < kCipherTime) {
        }
      };
      engines[i] = std::move(engine);
    }
    return AeadEngines(std::move(engines));
  }
  void start() {
    for (auto& worker : workers_) {
      threads_.emplace_back([&worker] {
        enter_worker_thread();
        worker->run();
        rte_thread_unregister();
      });
    }
  }
  void stop() {
    for (auto& worker : workers_) worker->stop();
    for (std::thread& thread : threads_) thread.join();
  }
  void send(uint32_t& number, const Peer& peer) {
    rte_mbuf* m = rte_pktmbuf_alloc(gateway_.pool());
    if (m == nullptr) return;
    append(m, from_inside(numbered_packet(kHost4, peer.inner4, number, 1300)));
    if (inside_.put(m)) {
      ++number;
    } else {
      rte_pktmbuf_free(m);
    }
  }
  // Whatever left in between: in order, none missing.
  void receive(uint32_t& number, const Peer& peer) {
    while (rte_mbuf* m = outside_.get()) {
      const auto* data = rte_pktmbuf_mtod(m, const uint8_t*);
      const Frame frame{kOutside, ByteVector(data, data + m->data_len), 0};
      rte_pktmbuf_free(m);
      const auto opened = open_frame(peer, frame);
      ASSERT_TRUE(opened);
      ASSERT_EQ(opened->counter, number);
      ASSERT_EQ(number_of(opened->plain), number);
      ++number;
    }
  }
  GatewayOptions options() {
    GatewayOptions options;
    options.workers = 2;
    options.lending = true;
    return options;
  }

  Gateway gateway_{options()};
  SystemRandom random_;
  std::unique_ptr<Reclaimer> reclaimer_ = std::move(Reclaimer::create(2)).value();
  static inline int ports_made_ = 0;  // DPDK gives no name twice
  RingPort outside_{"ring" + std::to_string(ports_made_++), gateway_.pool()};
  RingPort inside_{"ring" + std::to_string(ports_made_++), gateway_.pool()};
  std::unique_ptr<Worker> workers_[2];
  std::vector<std::thread> threads_;
};

TEST_F(SpreadingWorkers, idle_worker_ciphers_for_a_full_one_and_rests_when_it_is_over) {
  const Peer peer = gateway_.add_peer();
  start();
  const PipelineCounters& counters = workers_[0]->pipeline().counters();
  uint32_t sent = 0, received = 0;
  for (const Nanoseconds begin = boot_time_ns();
       counters.lent_batches.get() < kEnoughBatches && boot_time_ns() - begin < kPatience;) {
    for (int i = 0; i < 64; ++i) send(sent, peer);
    ASSERT_NO_FATAL_FAILURE(receive(received, peer));
  }
  EXPECT_GE(counters.lent_batches.get(), kEnoughBatches);
  // Nothing waits for a packet behind it.
  for (const Nanoseconds begin = boot_time_ns();
       received < sent && boot_time_ns() - begin < kPatience;) {
    ASSERT_NO_FATAL_FAILURE(receive(received, peer));
  }
  EXPECT_EQ(received, sent);
  const uint64_t sleeps = workers_[1]->sleeps();
  for (const Nanoseconds begin = boot_time_ns();
       workers_[1]->sleeps() == sleeps && boot_time_ns() - begin < kPatience;) {
    std::this_thread::yield();
  }
  EXPECT_GT(workers_[1]->sleeps(), sleeps);
  bool ended = false;
  reclaimer_->defer([&] { ended = true; });
  for (const Nanoseconds begin = boot_time_ns(); !ended && boot_time_ns() - begin < kPatience;) {
    reclaimer_->poll();
  }
  EXPECT_TRUE(ended);
  stop();
  EXPECT_EQ(workers_[1]->pipeline().counters().helped_batches.get(), counters.lent_batches.get());
  for (const auto& worker : workers_) {
    for (size_t i = 0; i < kDropReasonCount; ++i) {
      EXPECT_EQ(worker->pipeline().counters().drops[i].get(), 0U);
    }
  }
}

// Stopped in the middle: nothing stays behind in a queue between the workers.
TEST_F(SpreadingWorkers, stop_under_load_completes_what_is_in_flight) {
  const Peer peer = gateway_.add_peer();
  start();
  uint32_t sent = 0, received = 0;
  const PipelineCounters& counters = workers_[0]->pipeline().counters();
  for (const Nanoseconds begin = boot_time_ns();
       counters.lent_batches.get() == 0 && boot_time_ns() - begin < kPatience;) {
    for (int i = 0; i < 64; ++i) send(sent, peer);
    ASSERT_NO_FATAL_FAILURE(receive(received, peer));
  }
  stop();
  ASSERT_NO_FATAL_FAILURE(receive(received, peer));
  EXPECT_EQ(received, counters.rx_packets.get());
}

}  // namespace
}  // namespace penstock::test

// Does a worker still forward when it is offered too much?
//
// overload/port/...: a second thread keeps the worker's receive ring full, beside the highest rate
// at which it takes all but a thousandth part (found by halving). What does not fit into the ring
// is lost in front of the gateway, as at a port.
//
// overload/{transmit,hand-over,punt}/...: three of four packets are forwarded, every fourth goes to
// where nothing is taken any more: a port, another worker, the control plane. The time of such
// turns beside that of the same turns while everything is taken.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_ring.h>

#include <algorithm>
#include <memory>
#include <string>

#include "bench/path/passes.h"
#include "bench/path/threads.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kTunnels = 1000;

struct Case {
  WorldOptions world;
  uint16_t bytes = 64;
};

// --- a receive ring that is always full --------------------------------------------------------

constexpr unsigned kPortRoom = 1024;  // descriptors, as a port has them
constexpr size_t kPortBuffers = 4096;
constexpr double kTrialSeconds = 0.02;
constexpr unsigned kFewPackets = 2 * kBurst;  // that wait at most where nothing is lost

struct Ring {
  explicit Ring(const char* name)
      : ring(rte_ring_create(name, kPortBuffers * 2, SOCKET_ID_ANY,
                             RING_F_SP_ENQ | RING_F_SC_DEQ)) {}
  ~Ring() { rte_ring_free(ring); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  rte_ring* ring;
};

// The other end of both ports, on the thread that calls trial().
class Generator {
 public:
  Generator(World& world, uint16_t bytes, rte_ring* to, rte_ring* from)
      : world_(world), bytes_(bytes), to_(to), from_(from) {
    free_.resize(kPortBuffers);
    for (rte_mbuf*& buffer : free_) buffer = rte_pktmbuf_alloc(world.pool());
  }
  ~Generator() {
    for (rte_mbuf* buffer : free_) rte_pktmbuf_free(buffer);
  }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  // Keeps up to `most` packets in the receive ring, for a while.
  void trial(unsigned most) {
    take_all_back();
    const auto end =
        rte_rdtsc() + static_cast<uint64_t>(kTrialSeconds * static_cast<double>(rte_get_tsc_hz()));
    while (rte_rdtsc() < end) {
      take_back();
      const unsigned there = rte_ring_count(to_);
      // In whole vectors, so that each turn has as many packets.
      if (there + kBurst <= most) send(kBurst);
    }
  }
  void take_all_back() {
    while (free_.size() < kPortBuffers) take_back();
  }

 private:
  void take_back() {
    void* buffers[kBurst];
    const unsigned count = rte_ring_sc_dequeue_burst(from_, buffers, kBurst, nullptr);
    for (unsigned i = 0; i < count; ++i) free_.push_back(static_cast<rte_mbuf*>(buffers[i]));
  }
  void send(unsigned count) {
    if (free_.size() < count) return;
    void* buffers[kBurst];
    for (unsigned i = 0; i < count; ++i) {
      Item item{free_.back(), static_cast<uint32_t>(random_() % kTunnels), bytes_};
      free_.pop_back();
      write_clear_frame(world_, item);
      buffers[i] = item.mbuf;
    }
    (void)rte_ring_sp_enqueue_bulk(to_, buffers, count, nullptr);  // there is room
  }

  World& world_;
  const uint16_t bytes_;
  rte_ring* to_;
  rte_ring* from_;
  std::vector<rte_mbuf*> free_;
  std::mt19937 random_{42};
};

void measure_port(benchmark::State& state, const Case& test) {
  World world(test.world);
  Ring received("received"), sent("sent");
  world.sink().into = sent.ring;
  Generator generator(world, test.bytes, received.ring, sent.ring);
  std::atomic<std::vector<double>*> into{nullptr};
  std::vector<double> few, overload;  // TSC cycles a packet, of full vectors
  {
    SecondThread worker([&](const std::atomic<bool>& stop) {
      rte_mbuf* frames[kBurst];
      while (!stop.load(std::memory_order_relaxed)) {
        const uint64_t start = rte_rdtsc();
        const unsigned count = rte_ring_sc_dequeue_burst(
            received.ring, reinterpret_cast<void**>(frames), kBurst, nullptr);
        if (count > 0) world.pipeline().receive(kInsidePort, frames, static_cast<uint16_t>(count));
        world.pipeline().finish_turn();
        std::vector<double>* to = into.load(std::memory_order_acquire);
        if (count == kBurst && to != nullptr) {
          to->push_back(static_cast<double>(rte_rdtsc() - start) / kBurst);
        }
      }
    });
    for (auto _ : state) {
      for (const bool full : {false, true}) {
        generator.take_all_back();  // the worker is idle
        into.store(full ? &overload : &few, std::memory_order_release);
        generator.trial(full ? kPortRoom : kFewPackets);
        generator.take_all_back();
        into.store(nullptr, std::memory_order_release);
      }
    }
  }
  if (world.drops() != 0 || few.empty() || overload.empty()) {
    world.explain_drops();
    return state.SkipWithError("packets were lost on the path");
  }
  const double few_cycles = percentile(few, 0.5), overload_cycles = percentile(overload, 0.5);
  state.counters["ratio"] = few_cycles / overload_cycles;
  state.counters["mpps"] = static_cast<double>(rte_get_tsc_hz()) / 1e6 / overload_cycles;
}

// --- inside -----------------------------------------------------------------------------------

enum class Full { kTransmit, kHandOver, kPunt };

constexpr size_t kOdd = 4;  // every such packet goes where nothing is taken
constexpr int kTurnsASlice = 64;

// The turns of the first worker; what it sends and hands on is taken from it, or stays.
class Turns {
 public:
  Turns(World& world, uint16_t bytes, Full full)
      : world_(world), full_(full), sent_("sent"), item_{nullptr, 0, bytes} {
    world.sink().into = sent_.ring;
  }
  ~Turns() { drain(); }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Whether nothing was lost of what has nothing to do with what is full.
  [[nodiscard]] bool forwarded_all() const { return forwarded_all_; }

  // TSC cycles a packet that is forwarded, of turns of one kind.
  void slice(bool overload, std::vector<double>& cycles) {
    world_.sink().full[kInsidePort] = overload && full_ == Full::kTransmit;
    // First until it is full, or empty.
    drain();
    for (uint64_t before = world_.drops(); overload && world_.drops() - before < kRoom;) turn(true);
    if (!overload) turn(false);
    for (int i = 0; i < kTurnsASlice; ++i) cycles.push_back(turn(overload));
  }

 private:
  // Drops and punts, until any of the rings and queues is full.
  static constexpr uint64_t kRoom = 2048;

  double turn(bool overload) {
    rte_mbuf* odd[kBurst];
    rte_mbuf* even[kBurst];
    uint16_t odd_count = 0, even_count = 0;
    for (size_t i = 0; i < kBurst; ++i) {
      item_.mbuf = rte_pktmbuf_alloc(world_.pool());
      const bool is_odd = i % kOdd == 0;
      make_frame(is_odd);
      (is_odd ? odd[odd_count++] : even[even_count++]) = item_.mbuf;
    }
    const uint64_t before = world_.sink().frames[kOutsidePort];
    Pipeline& pipeline = world_.pipeline();
    const uint64_t start = rte_rdtsc_precise();
    pipeline.receive(kOutsidePort, odd, odd_count);
    pipeline.receive(kInsidePort, even, even_count);
    pipeline.finish_turn();
    const uint64_t cycles = rte_rdtsc_precise() - start;
    forwarded_all_ &= world_.sink().frames[kOutsidePort] - before == even_count;
    drain_ring(sent_.ring);
    if (!overload) drain();
    return static_cast<double>(cycles) / even_count;
  }

  void make_frame(bool odd) {
    const WorldOptions& options = world_.options();
    item_.peer = static_cast<uint32_t>(random_() % (options.peers / options.workers));
    item_.peer *= options.workers;  // of the first worker
    if (!odd) return write_clear_frame(world_, item_);
    if (full_ == Full::kPunt) return write_handshake_frame(world_, item_);
    if (full_ == Full::kHandOver) ++item_.peer;  // of the second
    write_tunnel_frame(world_, item_);
    seal_frames(world_, {&item_, 1});
  }

  static void drain_ring(rte_ring* ring) {
    void* buffer = nullptr;
    while (rte_ring_dequeue(ring, &buffer) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(buffer));
  }
  void drain() {
    drain_ring(sent_.ring);
    drain_ring(world_.rings().punt[0]);  // the same for all classes
    drain_ring(world_.rings(static_cast<uint16_t>(world_.options().workers - 1)).hand_over);
  }

  World& world_;
  const Full full_;
  Ring sent_;
  Item item_;
  bool forwarded_all_ = true;
  std::mt19937 random_{42};
};

void measure_inside(benchmark::State& state, const Case& test, Full full) {
  World world(test.world);
  std::vector<double> quiet, overload;
  {
    Turns turns(world, test.bytes, full);
    for (auto _ : state) {
      turns.slice(false, quiet);
      turns.slice(true, overload);
    }
    world.sink().full[kInsidePort] = false;
    world.pipeline().finish_turn();
    if (!turns.forwarded_all()) {
      world.explain_drops();
      return state.SkipWithError("packets were lost that have nothing to do with what is full");
    }
  }
  const double quiet_cycles = percentile(quiet, 0.5), overload_cycles = percentile(overload, 0.5);
  state.counters["ratio"] = quiet_cycles / overload_cycles;
  state.counters["mpps"] = static_cast<double>(rte_get_tsc_hz()) / 1e6 / overload_cycles;
}

}  // namespace

void register_overload() {
  for (const bool esp : {false, true}) {
    Case test;
    test.world.peers = kTunnels;
    if (esp) {
      test.world.protocol = TunnelProtocol::kEsp;
      test.world.algorithm = SaAlgorithm::kAes128Gcm16;
    }
    for (const uint16_t bytes : {64, 1420}) {
      test.bytes = bytes;
      const std::string end =
          std::string(esp ? "esp-aes128gcm/" : "wireguard/") + std::to_string(bytes);
      benchmark::RegisterBenchmark(("overload/port/" + end).c_str(), measure_port, test)
          ->UseRealTime();
      const auto add = [&](const char* name, Full full, uint16_t workers) {
        test.world.workers = workers;
        benchmark::RegisterBenchmark((name + end).c_str(), measure_inside, test, full)
            ->UseRealTime();
        test.world.workers = 1;
      };
      add("overload/transmit/", Full::kTransmit, 1);
      add("overload/hand-over/", Full::kHandOver, 2);
      if (!esp) add("overload/punt/", Full::kPunt, 1);
    }
  }
}

}  // namespace penstock::bench

// Threads that cipher for a worker of a test's gateway, and the packets to tell their order by.
#pragma once

#include <pthread.h>
#include <rte_lcore.h>
#include <sched.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/unit/pipeline/frames.h"

namespace penstock::test {

// A thread of the test that uses EAL, on any CPU: EAL has put the first one on one CPU.
inline void enter_worker_thread() {
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  (void)pthread_setaffinity_np(pthread_self(), sizeof all, &all);
  if (rte_thread_register() != 0) std::abort();
}

// Workers 1 and on help; the first is the test's own thread.
class Helpers {
 public:
  explicit Helpers(Gateway& gateway) : gateway_(gateway) {
    const uint16_t workers = gateway.tables().worker_count;
    for (uint16_t id = 1; id < workers; ++id) {
      threads_.emplace_back([this, id] {
        enter_worker_thread();
        gateway_.pipeline(id).set_helper(true);
        while (!stop_.load(std::memory_order_acquire)) {
          gateway_.pipeline(id).help();
          std::this_thread::yield();
        }
        gateway_.pipeline(id).set_helper(false);
        rte_thread_unregister();
      });
    }
    while (gateway.pipeline().helpers() + 1 < workers) std::this_thread::yield();
  }
  ~Helpers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  Gateway& gateway_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

// Engines of the helpers that begin each burst after up to `us` microseconds.
inline void delay_helpers(Gateway& gateway, unsigned us) {
  for (uint16_t id = 1; id < gateway.tables().worker_count; ++id) {
    auto random = std::make_shared<std::mt19937>(id);
    for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
      gateway.engine(static_cast<SaAlgorithm>(i), id).before_burst = [random, us] {
        std::this_thread::sleep_for(std::chrono::microseconds((*random)() % us));
      };
    }
  }
}

// Holds up the engines of the second worker until it is opened.
class Gate {
 public:
  explicit Gate(Gateway& gateway) {
    for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
      gateway.engine(static_cast<SaAlgorithm>(i), 1).before_burst = [this] {
        arrived_ = true;
        while (!open_.load()) std::this_thread::yield();
      };
    }
  }
  void await_arrival() const {
    while (!arrived_.load()) std::this_thread::yield();
  }
  void open() { open_ = true; }

 private:
  std::atomic<bool> arrived_{false}, open_{false};
};

inline ByteVector numbered_packet(const IpAddress& from, const IpAddress& to, uint32_t number,
                                  size_t payload_bytes = 60) {
  ByteVector payload(payload_bytes);
  std::memcpy(payload.data(), &number, sizeof number);
  return udp_packet({from, 5000}, {to, 6000}, payload);
}
inline uint32_t number_of(Bytes packet) {
  return load_unaligned<uint32_t>(packet.data() + (packet[0] >> 4 == 4 ? 28 : 48));
}

inline std::vector<ByteVector> part(const std::vector<ByteVector>& frames, size_t first,
                                    size_t count) {
  const auto begin = frames.begin() + static_cast<long>(first);
  return {begin, begin + static_cast<long>(count)};
}

// Everything that the first worker has in flight.
inline void finish_all(Gateway& gateway) {
  gateway.pipeline().finish_batches();
  gateway.finish_turn();
}

}  // namespace penstock::test

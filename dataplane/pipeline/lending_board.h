// What workers share to cipher for each other: batches of packets that an owner has numbered and
// will complete in order, and that whoever comes first ciphers (decisions/0008).
//
// An owner is a worker whose packets these are, a helper any other with time to spare. Helpers
// fetch; nothing is sent to them, so one that sleeps or stalls holds up nothing it has not begun.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/crypto/aead.h"

namespace penstock {

inline constexpr size_t kBatchPackets = 32;
inline constexpr size_t kBatchesPerWorker = 128;  // a power of two

// How many of its own batches a worker lets be in flight before it takes in more packets. The rest
// of kBatchesPerWorker is for what completing them makes: each batch that comes out of a tunnel may
// lead into others.
constexpr size_t most_batches_in_flight(uint16_t workers) {
  return std::min<size_t>(4U * workers + 8U, 40);
}

// What the cipher needs of a batch. The owner fills it in and offers it; one thread ciphers it;
// with `done` it is the owner's again.
struct alignas(64) CipherBatch {
  static constexpr uint8_t kNobody = UINT8_MAX;

  std::atomic<bool> done{false};         // release, as the last thing
  std::atomic<uint8_t> worker{kNobody};  // that ciphers it; a moment after it was taken
  uint8_t count = 0;                     // of the packets
  bool seal = false;                     // else open
  bool mixed = false;                    // several algorithms
  uint64_t ok = 0;                       // AeadJob::ok of each, a bit a packet
  uint64_t cycles = 0;                   // TSC that the cipher took
  SaAlgorithm algorithms[kBatchPackets];
  alignas(64) AeadJob jobs[kBatchPackets];
  uint8_t aads[kBatchPackets][16];  // those that are not in their packets

  // Thread: the one that took it. `engines`: of that thread.
  void cipher(const AeadEngines& engines, uint16_t by);
};

// Where one owner offers its batches, oldest first: a ring of one producer that every worker may
// take from, the owner too. Each batch is taken once, by the one compare-exchange that moves
// `started_` past it, which is why no buffer is ciphered twice.
class LendingDesk {
 public:
  // The owner. The place in the ring is free: at most kBatchesPerWorker batches are in flight, and
  // the owner reuses one only when it is done, which is after its taker has read its place.
  void offer(CipherBatch& batch) {
    const uint64_t at = offered_.load(std::memory_order_relaxed);
    ring_[at % kBatchesPerWorker] = &batch;
    offered_.store(at + 1, std::memory_order_release);
  }
  // Offered, and taken by nobody yet.
  [[nodiscard]] size_t waiting() const {
    return offered_.load(std::memory_order_relaxed) - started_.load(std::memory_order_relaxed);
  }
  // The owner: a bit per worker that shall take nothing here.
  void bar(uint64_t workers) { barred_.store(workers, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t barred() const { return barred_.load(std::memory_order_relaxed); }

  // Any worker: the oldest batch that nobody has begun; nullptr: there is none.
  CipherBatch* take() {
    uint64_t at = started_.load(std::memory_order_relaxed);
    do {
      // Acquire: the batch is complete.
      if (at >= offered_.load(std::memory_order_acquire)) return nullptr;
    } while (!started_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed));
    return ring_[at % kBatchesPerWorker];
  }

 private:
  alignas(64) std::atomic<uint64_t> offered_{0};
  std::atomic<uint64_t> barred_{0};
  alignas(64) std::atomic<uint64_t> started_{0};
  alignas(64) std::array<CipherBatch*, kBatchesPerWorker> ring_{};
};

// Of all workers, at most 64.
class LendingBoard {
 public:
  explicit LendingBoard(uint16_t workers) : desks_(workers) {}

  [[nodiscard]] LendingDesk& desk(uint16_t worker) { return desks_[worker]; }
  // Bits of workers that have time to cipher for others, and of those that lend.
  [[nodiscard]] uint64_t helpers() const { return helpers_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t lenders() const { return lenders_.load(std::memory_order_relaxed); }
  // A worker, of itself.
  void set_helper(uint16_t worker, bool helps) { set(helpers_, worker, helps); }
  void set_lender(uint16_t worker, bool lends) { set(lenders_, worker, lends); }

 private:
  static void set(std::atomic<uint64_t>& bits, uint16_t worker, bool on) {
    const uint64_t bit = uint64_t{1} << worker;
    if (on) {
      bits.fetch_or(bit, std::memory_order_relaxed);
    } else {
      bits.fetch_and(~bit, std::memory_order_relaxed);
    }
  }

  std::vector<LendingDesk> desks_;
  alignas(64) std::atomic<uint64_t> helpers_{0};
  alignas(64) std::atomic<uint64_t> lenders_{0};
};

}  // namespace penstock

// An owner's side of lending (lending_board.h): its batches between cipher and completion, first in
// first out. Inline in lending.cc; part of Pipeline.
#pragma once

#include <memory>

#include "dataplane/pipeline/lending_board.h"
#include "dataplane/pipeline/pipeline.h"

namespace penstock {

// A copy of what the stages keep for a turn only: it outlives many.
struct Pipeline::Batch : CipherBatch {
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  uint64_t epoch = 0;  // of the turn that found the SAs and next hops
  // `seal`:
  Packet packets[kBatchPackets];
  const NextHopEntry* hops[kBatchPackets];
  // else:
  Inbound inbound[kBatchPackets];
};

class Pipeline::Lender {
 public:
  Lender(LendingBoard& shared, uint16_t id)
      : board(shared),
        desk(shared.desk(id)),
        worker(id),
        batches_(std::make_unique<Batch[]>(kBatchesPerWorker)) {
    for (Batch& batch : std::span(batches_.get(), kBatchesPerWorker)) {
      free_[free_count_++] = &batch;
    }
  }

  [[nodiscard]] bool empty() const { return head_ == tail_; }
  [[nodiscard]] size_t in_flight() const { return tail_ - head_; }
  [[nodiscard]] Batch& head() const { return *order_[head_ % kBatchesPerWorker]; }
  [[nodiscard]] uint64_t head_number() const { return head_; }

  // A batch at the end of the queue; nullptr: all are in flight. The one that came back last is
  // given first: it is still in cache.
  Batch* push() {
    if (free_count_ == 0) return nullptr;
    Batch* batch = free_[--free_count_];
    order_[tail_++ % kBatchesPerWorker] = batch;
    batch->done.store(false, std::memory_order_relaxed);
    batch->worker.store(CipherBatch::kNobody, std::memory_order_relaxed);
    return batch;
  }
  void pop() { free_[free_count_++] = order_[head_++ % kBatchesPerWorker]; }

  // Workers that take batches from here, but this one.
  [[nodiscard]] uint64_t helpers() const {
    return board.helpers() & ~desk.barred() & ~(uint64_t{1} << worker);
  }

  LendingBoard& board;
  LendingDesk& desk;
  const uint16_t worker;
  bool lends = false;      // what comes is offered
  bool submitted = false;  // something came in this turn
  uint64_t epoch = 0;      // of this turn
  uint64_t helped_cycles = 0;
  // How long the head has been waited for.
  uint64_t watched = UINT64_MAX;  // its number
  uint64_t watched_since_tsc = 0;
  bool watched_is_late = false;
  uint64_t barred_until_tsc = 0;
  int next_lender = 0;  // as a helper: whom it asks first

 private:
  std::unique_ptr<Batch[]> batches_;
  Batch* free_[kBatchesPerWorker];
  size_t free_count_ = 0;
  Batch* order_[kBatchesPerWorker];
  uint64_t head_ = 0, tail_ = 0;
};

}  // namespace penstock

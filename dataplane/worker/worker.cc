#include "dataplane/worker/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_ring.h>

#include "gateway/base/clock.h"

namespace penstock {

Worker::Worker(const WorkerOptions& options, std::vector<WorkerPort> ports,
               const PipelineConfig& pipeline, SharedTables& tables, AeadEngines engines,
               Reclaimer& reclaimer)
    : options_(options),
      ports_(std::move(ports)),
      tables_(tables),
      reclaimer_(reclaimer),
      engines_(std::move(engines)),
      pipeline_(pipeline, tables, engines_, *this),
      spreads_(tables.lending != nullptr),
      lending_(rte_get_tsc_hz()),
      time_step_tsc_(rte_get_tsc_hz() / 4000) {}  // a quarter of a millisecond

void Worker::run() {
  IdlePolicy idle;
  reclaimer_.online(options_.id);
  if (spreads_) pipeline_.set_epoch(reclaimer_.epoch());
  while (!stopping_.load(std::memory_order_acquire)) {
    const bool was_waiting = transmit_pending_;
    const uint32_t received = turn();
    turns_.add(1);
    report_quiescent();
    if (received == 0) idle_turns_.add(1);
    const bool helps = spreads_ && spread(received, was_waiting);
    if (!options_.sleep_when_idle) continue;
    // Never with packets in flight.
    const Nanoseconds pause_ns = idle.after_turn(received > 0 || transmit_pending_ || helps);
    if (pause_ns == 0) continue;
    // Offline: whoever waits for a grace period does not wait for a sleeper.
    reclaimer_.offline(options_.id);
    sleeps_.add(1);
    const timespec pause{0, pause_ns};
    nanosleep(&pause, nullptr);
    reclaimer_.online(options_.id);
    if (spreads_) pipeline_.set_epoch(reclaimer_.epoch());
  }
  if (spreads_) {
    pipeline_.set_helper(false);
    pipeline_.lend(false);
    pipeline_.finish_batches();
    pipeline_.finish_turn();
  }
  reclaimer_.offline(options_.id);
}

// What is in flight was found in an earlier turn, and is still in use.
void Worker::report_quiescent() {
  if (const auto oldest = pipeline_.oldest_epoch()) [[unlikely]] {
    reclaimer_.quiescent_since(options_.id, *oldest);
  } else {
    reclaimer_.quiescent(options_.id);
  }
  if (spreads_) pipeline_.set_epoch(reclaimer_.epoch());
}

// Lends, or helps, as the load says. True: this worker looks out for the batches of others.
bool Worker::spread(uint32_t received, bool was_waiting) {
  const uint64_t now = rte_rdtsc();
  lending_.after_turn(turn_tsc_, now, received, was_waiting, full_burst_);
  if (lending_.due(now)) [[unlikely]] {
    lending_.decide(now, pipeline_.helpers(), pipeline_.helped_cycles());
    pipeline_.lend(lending_.lends());
    pipeline_.set_helper(lending_.has_time());
  }
  return received == 0 && lending_.has_time() && !transmit_pending_ && pipeline_.help();
}

// One pass over everything this worker polls. Returns how many packets came.
uint32_t Worker::turn() {
  update_time();
  full_burst_ = false;
  uint32_t received = drain_rings();
  rte_mbuf* frames[kMaxVector];
  for (const WorkerPort& port : ports_) {
    for (const uint16_t queue : port.rx_queues) {
      const uint16_t count = rte_eth_rx_burst(port.dpdk_port, queue, frames, options_.burst);
      if (count == 0) continue;
      pipeline_.receive(port.port, frames, count);
      received += count;
      full_burst_ |= count == options_.burst;
    }
  }
  transmit_pending_ = pipeline_.finish_turn();
  return received;
}

uint32_t Worker::drain_rings() {
  rte_mbuf* buffers[kMaxVector];
  void** items = reinterpret_cast<void**>(buffers);
  const WorkerRings& rings = tables_.rings[options_.id];
  uint32_t received = 0;
  if (const unsigned count =
          rte_ring_sc_dequeue_burst(rings.inject, items, kMaxVector / 2, nullptr);
      count > 0) {
    pipeline_.inject(buffers, static_cast<uint16_t>(count));
    received += count;
  }
  if (const unsigned count = rte_ring_sc_dequeue_burst(rings.hand_over, items, kMaxVector, nullptr);
      count > 0) {
    pipeline_.receive_handed_over(buffers, static_cast<uint16_t>(count));
    received += count;
    full_burst_ |= count == kMaxVector;
  }
  return received;
}

// The clock is read (in user space, vDSO) only when it may have moved noticeably.
void Worker::update_time() {
  const uint64_t tsc = rte_rdtsc();
  turn_tsc_ = tsc;
  if (tsc - time_read_tsc_ < time_step_tsc_) return;
  time_read_tsc_ = tsc;
  pipeline_.set_time(boot_time_ns());
}

uint16_t Worker::transmit(uint16_t port, rte_mbuf** frames, uint16_t count) {
  const WorkerPort& out = ports_[port];
  if (out.tx_lock == nullptr) [[likely]]
    return rte_eth_tx_burst(out.dpdk_port, out.tx_queue, frames, count);
  // Fewer transmit queues than workers (some virtual ports have one): take turns.
  while (out.tx_lock->test_and_set(std::memory_order_acquire)) rte_pause();
  const uint16_t sent = rte_eth_tx_burst(out.dpdk_port, out.tx_queue, frames, count);
  out.tx_lock->clear(std::memory_order_release);
  return sent;
}

}  // namespace penstock

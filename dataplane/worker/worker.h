// One polling worker: an lcore that owns a pipeline and a queue pair of every port.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/worker/idle.h"
#include "dataplane/worker/lending_policy.h"
#include "dataplane/worker/reclaim.h"

namespace penstock {

struct WorkerOptions {
  uint16_t id = 0;
  unsigned lcore = 0;
  uint16_t burst = 32;  // frames taken from a queue at a time, at most kMaxVector
  bool sleep_when_idle = true;
};

// A port as a worker polls it: the DPDK port and the queues that are this worker's.
struct WorkerPort {
  uint16_t port = 0;  // the gateway's number
  uint16_t dpdk_port = 0;
  std::vector<uint16_t> rx_queues;
  uint16_t tx_queue = 0;
  std::atomic_flag* tx_lock = nullptr;  // where workers share a queue; else nullptr
};

class Worker final : private Transmitter {
 public:
  Worker(const WorkerOptions& options, std::vector<WorkerPort> ports,
         const PipelineConfig& pipeline, SharedTables& tables, AeadEngines engines,
         Reclaimer& reclaimer);

  // The polling loop; runs on its lcore until stop() is called from another thread.
  void run();
  void stop() { stopping_.store(true, std::memory_order_release); }

  [[nodiscard]] const Pipeline& pipeline() const { return pipeline_; }
  [[nodiscard]] const WorkerOptions& options() const { return options_; }
  [[nodiscard]] uint64_t turns() const { return turns_.get(); }
  [[nodiscard]] uint64_t idle_turns() const { return idle_turns_.get(); }
  [[nodiscard]] uint64_t sleeps() const { return sleeps_.get(); }

 private:
  uint32_t turn();
  uint32_t drain_rings();
  void report_quiescent();
  bool spread(uint32_t received, bool was_waiting);
  void update_time();
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override;

  const WorkerOptions options_;
  const std::vector<WorkerPort> ports_;
  SharedTables& tables_;
  Reclaimer& reclaimer_;
  const AeadEngines engines_;
  Pipeline pipeline_;
  std::atomic<bool> stopping_{false};
  bool transmit_pending_ = false;
  bool full_burst_ = false;  // in this turn
  const bool spreads_;       // tunnels over workers
  LendingPolicy lending_;
  uint64_t turn_tsc_ = 0;  // its begin
  uint64_t time_read_tsc_ = 0;
  uint64_t time_step_tsc_ = 0;
  Counter turns_, idle_turns_, sleeps_;
};

}  // namespace penstock

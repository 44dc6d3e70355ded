// Where a responder is measured: the gateway's own event loop on this thread, its own compute pool
// with one thread, and a clock around both. What initiators do happens between phases, unmeasured.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/event_loop.h"

namespace penstock::bench {

// Nanoseconds of one phase, or the sum of several.
struct PhaseTimes {
  double wall_ns = 0;
  double control_cpu_ns = 0;
  double compute_cpu_ns = 0;
  PhaseTimes& operator+=(const PhaseTimes& other) {
    wall_ns += other.wall_ns;
    control_cpu_ns += other.control_cpu_ns;
    compute_cpu_ns += other.compute_cpu_ns;
    return *this;
  }
};

class Stage final : public PolledService {
 public:
  Stage();
  ~Stage() override;

  // Calls `turn` as the loop calls the gateway's services until `done` says so. `turn` does a
  // bounded piece of work and says whether there was any.
  PhaseTimes run(const std::function<bool()>& turn, const std::function<bool()>& done);
  // Inside a phase: `job` on the compute thread, then what it returns on this one. Ends the program
  // where the pool refuses, as the figures would mean nothing.
  void compute(ComputeJob job);

  bool turn(Nanoseconds boot_ns) override;
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return kNever; }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<ComputePool> pool_;
  std::atomic<int64_t> compute_cpu_ns_{0};
  const std::function<bool()>* turn_ = nullptr;
  const std::function<bool()>* done_ = nullptr;
};

int64_t thread_cpu_ns();
double wall_ns();

}  // namespace penstock::bench

// Slow crypto away from the control thread: Diffie-Hellman of handshakes, later signatures and
// certificates. Jobs come from one bounded queue; each result is posted back to the event loop and
// runs there, so a protocol machine is only ever touched by the control thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "controlplane/driver/event_loop.h"

namespace penstock {

// What runs on a pool thread. It returns what is to run on the control thread afterwards; whatever
// it needs it owns, as the machine that asked may be gone by then.
using ComputeJob = std::function<EventLoop::Task()>;

struct ComputePoolOptions {
  unsigned threads = 1;
  size_t queue_limit = 4096;   // jobs that wait; more are refused
  int nice = 5;                // handshakes yield to packets
  std::vector<unsigned> cpus;  // where the threads may run; empty: as their creator
};

class ComputePool {
 public:
  ComputePool(EventLoop& loop, const ComputePoolOptions& options);
  ~ComputePool();  // waits for the jobs that run, discards those that wait
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // False: the queue is full and nothing happens. Results arrive in the order in which the jobs of
  // a thread end, with one thread in the order of submission, and some at a time while more jobs
  // wait: a job must not wait for what another one's result does.
  [[nodiscard]] bool submit(ComputeJob job);
  [[nodiscard]] size_t waiting() const;

 private:
  void work();
  void settle_thread() const;

  EventLoop& loop_;
  const ComputePoolOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ComputeJob> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace penstock

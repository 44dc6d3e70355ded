#include "controlplane/driver/compute_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "controlplane/driver/placement.h"
#include "gateway/base/clock.h"

namespace penstock {
namespace {

// While more jobs wait, results go to the control thread together: to wake it for each one costs
// both threads microseconds, above all on a virtual machine. A handshake waits for so many others
// at most, or for so long and a job.
constexpr size_t kResultsHeld = 8;
constexpr Nanoseconds kHeldNs = 500 * kMicrosecond;

}  // namespace

ComputePool::ComputePool(EventLoop& loop, const ComputePoolOptions& options)
    : loop_(loop), options_(options) {
  for (unsigned i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

ComputePool::~ComputePool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ComputePool::submit(ComputeJob job) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.queue_limit) return false;
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

size_t ComputePool::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void ComputePool::settle_thread() const {
  pthread_setname_np(pthread_self(), "penstock-dh");
  // Linux keeps a nice value per thread; refusal only costs fairness.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), options_.nice);
  set_thread_cpus(options_.cpus);
}

void ComputePool::work() {
  settle_thread();
  std::vector<EventLoop::Task> results;
  Nanoseconds held_since_ns = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    ComputeJob job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    results.push_back(job());
    job = nullptr;  // wipes the keys in it before the result is seen
    const Nanoseconds now = boot_time_ns();
    if (results.size() == 1) held_since_ns = now;
    lock.lock();
    if (!queue_.empty() && results.size() < kResultsHeld && now - held_since_ns < kHeldNs) continue;
    lock.unlock();
    loop_.post(std::exchange(results, {}));
    lock.lock();
  }
}

}  // namespace penstock

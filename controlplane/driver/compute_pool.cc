#include "controlplane/driver/compute_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "controlplane/driver/placement.h"

namespace penstock {

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
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    ComputeJob job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    EventLoop::Task result = job();
    job = nullptr;  // wipes the keys in it before the result is seen
    loop_.post(std::move(result));
    lock.lock();
  }
}

}  // namespace penstock

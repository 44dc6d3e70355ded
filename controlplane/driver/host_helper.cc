#include "controlplane/driver/host_helper.h"

#include <thread>

namespace penstock {

struct HostHelper::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<ComputeJob> queue;
  EventLoop* loop = nullptr;  // nullptr: stopping
};

HostHelper::HostHelper(EventLoop& loop) : shared_(std::make_shared<Shared>()) {
  shared_->loop = &loop;
  for (unsigned i = 0; i < kThreads; ++i) {
    std::thread([shared = shared_] { work(shared); }).detach();
  }
}

HostHelper::~HostHelper() {
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  shared_->queue.clear();
  shared_->wake.notify_all();
}

bool HostHelper::submit(ComputeJob job) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->queue.size() >= kQueueLimit) return false;
  shared_->queue.push_back(std::move(job));
  shared_->wake.notify_one();
  return true;
}

void HostHelper::work(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->wake.wait(lock, [&] { return shared->loop == nullptr || !shared->queue.empty(); });
    if (shared->loop == nullptr) return;
    const ComputeJob job = std::move(shared->queue.front());
    shared->queue.pop_front();
    lock.unlock();
    EventLoop::Task task = job();
    lock.lock();
    if (shared->loop != nullptr) shared->loop->post(std::move(task));
  }
}

}  // namespace penstock

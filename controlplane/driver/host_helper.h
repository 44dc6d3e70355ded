// What waits for the host's own network: names and the URLs of CRLs and OCSP. A few threads of
// their own, so that a name server that does not answer holds up nothing but other such questions.
//
// The threads are not waited for: getaddrinfo(3) cannot be interrupted, and a stopping gateway has
// nothing to do with its answer any more.
#pragma once

#include <memory>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/event_loop.h"

namespace penstock {

class HostHelper {
 public:
  static constexpr unsigned kThreads = 2;
  static constexpr size_t kQueueLimit = 1024;

  explicit HostHelper(EventLoop& loop);
  ~HostHelper();
  HostHelper(const HostHelper&) = delete;
  HostHelper& operator=(const HostHelper&) = delete;

  // As ComputePool::submit(): the job runs on a thread, what it returns on the control thread.
  // False: too many wait. The job owns what it needs, and outlives this object.
  [[nodiscard]] bool submit(ComputeJob job);

 private:
  struct Shared;
  static void work(const std::shared_ptr<Shared>& shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace penstock

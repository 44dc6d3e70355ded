#include "bench/path/threads.h"

#include <pthread.h>
#include <sched.h>

#include <utility>
#include <vector>

namespace penstock::bench {
namespace {

// Of the process at its start: EAL binds the main thread to one of them.
std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

const std::vector<int> kCpus = allowed_cpus();

}  // namespace

bool has_two_cpus() { return kCpus.size() >= 2; }

void bind_to_cpu(unsigned number) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(kCpus[number]), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

SecondThread::SecondThread(std::function<void(const std::atomic<bool>&)> body)
    : thread_([this, body = std::move(body)] {
        bind_to_cpu(1);
        body(stop_);
      }) {
  bind_to_cpu(0);
}

SecondThread::~SecondThread() {
  stop_.store(true, std::memory_order_relaxed);
  thread_.join();
}

}  // namespace penstock::bench

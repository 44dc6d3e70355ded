// Benchmarks with two threads, each on a CPU of its own: the first two that the process may use.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace penstock::bench {

// Where both threads have a CPU; false: there is only one.
bool has_two_cpus();
// Binds the calling thread to the first or second CPU of the process.
void bind_to_cpu(unsigned number);

// A second thread on the second CPU, for as long as the object lives. `body` gets the flag that
// asks it to return.
class SecondThread {
 public:
  explicit SecondThread(std::function<void(const std::atomic<bool>& stop)> body);
  ~SecondThread();
  SecondThread(const SecondThread&) = delete;
  SecondThread& operator=(const SecondThread&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void register_workers();
void register_churn();
void register_overload();

}  // namespace penstock::bench

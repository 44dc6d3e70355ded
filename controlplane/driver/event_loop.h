// The control thread's event loop: file descriptors (epoll), timers on the boot clock, signals
// (signalfd), functions posted by other threads (eventfd), and services that have to be asked
// whether there is work, such as the queues of punted packets, which the workers fill without a
// system call and so without a wake-up.
//
// How often services are asked adapts: while one of them has work the loop does not sleep at all,
// for a second after that it asks every millisecond, then more and more seldom, so that a quiet
// gateway costs less than 2 % of a core.
//
// All of it belongs to the thread that calls run(); post() and stop() may come from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/base/result.h"

namespace penstock {

// A file descriptor that closes itself.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Something that has no file descriptor to wait on.
class PolledService {
 public:
  virtual ~PolledService() = default;
  // Does a bounded piece of its work. True: there was some, so ask again without sleeping.
  virtual bool turn(Nanoseconds boot_ns) = 0;
  // The boot time at which turn() must be called even if nothing arrives; kNever: no such time.
  [[nodiscard]] virtual Nanoseconds next_deadline_ns() const = 0;
};

class EventLoop {
 public:
  // Called with the epoll event bits (EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR).
  using FdHandler = std::function<void(uint32_t events)>;
  using Task = std::function<void()>;
  // The boot time at which it is due and a number that makes it unique.
  using TimerId = std::pair<Nanoseconds, uint64_t>;

  static Result<std::unique_ptr<EventLoop>> create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // The descriptor stays the caller's; it is unwatched before it is closed.
  Status watch(int fd, uint32_t events, FdHandler handler);
  void change(int fd, uint32_t events);
  void unwatch(int fd);  // also allowed inside a handler, for any descriptor

  TimerId at(Nanoseconds boot_ns, Task task);
  void cancel(const TimerId& timer);

  // Blocks the signal for this thread and calls the task when it arrives. Call before other threads
  // start, so that they inherit the blocked mask.
  Status on_signal(int signal_number, Task task);

  // Not owned; removed before it dies.
  void add_service(PolledService* service);
  void remove_service(PolledService* service);

  void post(Task task);                // any thread
  void post(std::vector<Task> tasks);  // any thread; in this order, with one wake-up
  void run();                          // until stop()
  void stop();                         // any thread; run() returns with the next turn

  // Statistics for the status command and the tests.
  [[nodiscard]] uint64_t turns() const { return turns_; }

 private:
  struct Watched {
    std::shared_ptr<FdHandler> handler;
  };
  EventLoop() = default;
  Status open();
  [[nodiscard]] Nanoseconds sleep_ns(Nanoseconds now) const;
  void wait(Nanoseconds timeout_ns);
  void run_posted();
  void run_timers(Nanoseconds now);
  void read_signals();

  FileDescriptor epoll_, wakeup_, signals_;
  std::unordered_map<int, Watched> watched_;
  std::map<TimerId, Task> timers_;
  uint64_t next_timer_ = 0;
  std::map<int, Task> signal_tasks_;
  std::vector<PolledService*> services_;
  std::mutex mutex_;          // guards posted_
  std::vector<Task> posted_;  // by any thread
  std::atomic<bool> stopping_{false};
  bool busy_ = false;             // a service had work in this turn
  Nanoseconds last_busy_ns_ = 0;  // boot time
  uint64_t turns_ = 0;
};

}  // namespace penstock

#include "controlplane/driver/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

namespace penstock {
namespace {

// How long the loop sleeps when services are to be asked, by the time since one had work.
struct Pace {
  Nanoseconds quiet_below_ns;
  Nanoseconds sleep_ns;
};
constexpr Pace kPaces[] = {
    {20 * kMillisecond, 200 * kMicrosecond},  // a handshake's answer is on its way
    {kSecond, kMillisecond},
    {10 * kSecond, 2 * kMillisecond},
    {kNever, 5 * kMillisecond},
};
constexpr int kEventsPerWait = 64;

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  PENSTOCK_CHECK(loop->open());
  return loop;
}

Status EventLoop::open() {
  epoll_ = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  wakeup_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !wakeup_.valid()) return errorf("event loop: %s", std::strerror(errno));
  return watch(wakeup_.get(), EPOLLIN, [this](uint32_t) {
    uint64_t count = 0;
    // Only the wake-up matters, not the number.
    [[maybe_unused]] const ssize_t got = read(wakeup_.get(), &count, sizeof count);
  });
}

Status EventLoop::watch(int fd, uint32_t events, FdHandler handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errorf("cannot watch a descriptor: %s", std::strerror(errno));
  }
  watched_[fd] = Watched{std::make_shared<FdHandler>(std::move(handler))};
  return {};
}

void EventLoop::change(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch(int fd) {
  if (watched_.erase(fd) != 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::at(Nanoseconds boot_ns, Task task) {
  const TimerId timer{boot_ns, ++next_timer_};
  timers_.emplace(timer, std::move(task));
  return timer;
}

void EventLoop::cancel(const TimerId& timer) { timers_.erase(timer); }

Status EventLoop::on_signal(int signal_number, Task task) {
  signal_tasks_[signal_number] = std::move(task);
  sigset_t set;
  sigemptyset(&set);
  for (const auto& [number, unused] : signal_tasks_) sigaddset(&set, number);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return errorf("cannot block signal %d: %s", signal_number, std::strerror(error));
  }
  const bool first = !signals_.valid();
  const int fd = signalfd(signals_.get(), &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return errorf("signalfd: %s", std::strerror(errno));
  if (!first) return {};
  signals_ = FileDescriptor(fd);
  return watch(fd, EPOLLIN, [this](uint32_t) { read_signals(); });
}

void EventLoop::read_signals() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    const auto found = signal_tasks_.find(static_cast<int>(info.ssi_signo));
    if (found != signal_tasks_.end()) found->second();
  }
}

void EventLoop::add_service(PolledService* service) { services_.push_back(service); }
void EventLoop::remove_service(PolledService* service) { std::erase(services_, service); }

void EventLoop::post(Task task) {
  std::vector<Task> one;
  one.push_back(std::move(task));
  post(std::move(one));
}

void EventLoop::post(std::vector<Task> tasks) {
  if (tasks.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    const bool pending = !posted_.empty();
    std::move(tasks.begin(), tasks.end(), std::back_inserter(posted_));
    // Whoever put the first one there wakes the loop, which takes all of them.
    if (pending) return;
  }
  const uint64_t one = 1;
  // Full means that a wake-up is pending anyway.
  [[maybe_unused]] const ssize_t written = write(wakeup_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  post([this] { stopping_ = true; });
}

void EventLoop::run_posted() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const Task& task : tasks) task();
}

void EventLoop::run_timers(Nanoseconds now) {
  // What a task starts for a time that is already past waits for the next turn.
  const TimerId last{now, next_timer_};
  while (!timers_.empty() && timers_.begin()->first <= last) {
    const Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

Nanoseconds EventLoop::sleep_ns(Nanoseconds now) const {
  if (busy_ || stopping_) return 0;
  Nanoseconds sleep = kNever;
  if (!services_.empty()) {
    const Nanoseconds quiet = now - last_busy_ns_;
    for (const Pace& pace : kPaces) {
      sleep = pace.sleep_ns;
      if (quiet < pace.quiet_below_ns) break;
    }
  }
  const auto until = [&](Nanoseconds deadline) {
    if (deadline != kNever) sleep = std::min(sleep, std::max<Nanoseconds>(deadline - now, 0));
  };
  if (!timers_.empty()) until(timers_.begin()->first.first);
  for (const PolledService* service : services_) until(service->next_deadline_ns());
  return sleep;
}

void EventLoop::wait(Nanoseconds timeout_ns) {
  epoll_event events[kEventsPerWait];
  timespec timeout{};
  timeout.tv_sec = timeout_ns / kSecond;
  timeout.tv_nsec = timeout_ns % kSecond;
  int count = epoll_pwait2(epoll_.get(), events, kEventsPerWait,
                           timeout_ns == kNever ? nullptr : &timeout, nullptr);
  // Linux before 5.11, or a system call filter that does not know it: milliseconds, rounded up.
  if (count < 0 && (errno == ENOSYS || errno == EPERM)) {
    const Nanoseconds longest = kSecond * 3600;
    const Nanoseconds rounded = std::min(timeout_ns, longest) + kMillisecond - 1;
    count =
        epoll_wait(epoll_.get(), events, kEventsPerWait, static_cast<int>(rounded / kMillisecond));
  }
  for (int i = 0; i < count; ++i) {
    // A handler may have unwatched a later descriptor; and it may unwatch itself, so it is held.
    const auto found = watched_.find(events[i].data.fd);
    if (found == watched_.end()) continue;
    const std::shared_ptr<FdHandler> handler = found->second.handler;
    (*handler)(events[i].events);
  }
}

void EventLoop::run() {
  last_busy_ns_ = boot_time_ns();
  while (!stopping_) {
    wait(sleep_ns(boot_time_ns()));
    run_posted();
    const Nanoseconds now = boot_time_ns();
    run_timers(now);
    busy_ = false;
    for (size_t i = 0; i < services_.size(); ++i) busy_ = services_[i]->turn(now) || busy_;
    if (busy_) last_busy_ns_ = now;
    ++turns_;
  }
  stopping_ = false;
}

}  // namespace penstock

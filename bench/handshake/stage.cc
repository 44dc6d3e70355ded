#include "bench/handshake/stage.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace penstock::bench {

int64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

double wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

Stage::Stage() {
  auto loop = EventLoop::create();
  if (!loop.ok()) {
    std::fprintf(stderr, "bench: %s\n", loop.error().text.c_str());
    std::exit(1);
  }
  loop_ = std::move(*loop);
  pool_ = std::make_unique<ComputePool>(*loop_, ComputePoolOptions{.nice = 0, .cpus = {}});
  loop_->add_service(this);
}

Stage::~Stage() {
  pool_.reset();
  loop_->remove_service(this);
}

void Stage::compute(ComputeJob job) {
  const bool taken = pool_->submit([this, job = std::move(job)] {
    const int64_t before = thread_cpu_ns();
    EventLoop::Task result = job();
    compute_cpu_ns_ += thread_cpu_ns() - before;
    return result;
  });
  if (taken) return;
  std::fputs("bench: the compute pool is full\n", stderr);
  std::exit(1);
}

bool Stage::turn(Nanoseconds) {
  if (turn_ == nullptr) return false;  // done: the loop is about to stop
  const bool worked = (*turn_)();
  if (!(*done_)()) return worked;
  turn_ = nullptr;
  loop_->stop();
  return true;
}

PhaseTimes Stage::run(const std::function<bool()>& turn, const std::function<bool()>& done) {
  turn_ = &turn;
  done_ = &done;
  PhaseTimes times;
  compute_cpu_ns_ = 0;
  const int64_t cpu = thread_cpu_ns();
  const double wall = wall_ns();
  loop_->run();
  times.wall_ns = wall_ns() - wall;
  times.control_cpu_ns = static_cast<double>(thread_cpu_ns() - cpu);
  times.compute_cpu_ns = static_cast<double>(compute_cpu_ns_);
  return times;
}

}  // namespace penstock::bench

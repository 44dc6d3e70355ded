#include "controlplane/driver/event_loop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace penstock {
namespace {

std::unique_ptr<EventLoop> make_loop() {
  auto loop = EventLoop::create();
  EXPECT_TRUE(loop.ok()) << loop.error().text;
  return std::move(loop).value();
}

// Has `rounds` pieces of work, then none; stops the loop after `idle_turns` turns without.
class CountingService final : public PolledService {
 public:
  CountingService(EventLoop& loop, int rounds, int idle_turns)
      : loop_(loop), rounds_(rounds), idle_turns_(idle_turns) {}
  bool turn(Nanoseconds) override {
    ++turns;
    if (rounds_ > 0) return --rounds_ > 0;
    if (--idle_turns_ <= 0) loop_.stop();
    return false;
  }
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return kNever; }
  int turns = 0;

 private:
  EventLoop& loop_;
  int rounds_;
  int idle_turns_;
};

TEST(EventLoop, timers_different_times_run_in_order) {
  const auto loop = make_loop();
  const Nanoseconds now = boot_time_ns();
  std::vector<int> order;
  loop->at(now + 3 * kMillisecond, [&] {
    order.push_back(3);
    loop->stop();
  });
  loop->at(now + kMillisecond, [&] { order.push_back(1); });
  const auto cancelled = loop->at(now + 2 * kMillisecond, [&] { order.push_back(2); });
  loop->cancel(cancelled);
  loop->at(now + kMillisecond, [&] { order.push_back(11); });
  loop->run();
  EXPECT_EQ(order, (std::vector<int>{1, 11, 3}));
  EXPECT_GE(boot_time_ns() - now, 3 * kMillisecond);
}

TEST(EventLoop, timer_starting_due_timer_leaves_turn_to_others) {
  const auto loop = make_loop();
  int repeats = 0;
  std::function<void()> again = [&] {
    if (++repeats < 1000) loop->at(boot_time_ns(), again);
  };
  loop->at(boot_time_ns(), again);
  loop->post([&] { loop->stop(); });
  loop->run();
  EXPECT_LT(repeats, 10);
}

TEST(EventLoop, post_from_other_thread_wakes_sleeping_loop) {
  const auto loop = make_loop();
  const auto self = std::this_thread::get_id();
  std::thread::id ran_on;
  std::thread other([&] {
    loop->post([&] {
      ran_on = std::this_thread::get_id();
      loop->stop();
    });
  });
  loop->run();
  other.join();
  EXPECT_EQ(ran_on, self);
}

TEST(EventLoop, handler_unwatching_other_ready_descriptor_is_not_followed_by_its_handler) {
  const auto loop = make_loop();
  int a[2], b[2];
  ASSERT_EQ(pipe(a), 0);
  ASSERT_EQ(pipe(b), 0);
  int calls = 0;
  const auto handler = [&](uint32_t) {
    ++calls;
    loop->unwatch(a[0]);
    loop->unwatch(b[0]);
    loop->stop();
  };
  ASSERT_TRUE(loop->watch(a[0], EPOLLIN, handler).ok());
  ASSERT_TRUE(loop->watch(b[0], EPOLLIN, handler).ok());
  ASSERT_EQ(write(a[1], "x", 1), 1);
  ASSERT_EQ(write(b[1], "x", 1), 1);
  loop->run();
  EXPECT_EQ(calls, 1);
  for (const int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

TEST(EventLoop, signal_sent_to_process_runs_its_task) {
  const auto loop = make_loop();
  int reloads = 0;
  ASSERT_TRUE(loop->on_signal(SIGHUP, [&] { ++reloads; }).ok());
  ASSERT_TRUE(loop->on_signal(SIGUSR1, [&] { loop->stop(); }).ok());
  pthread_kill(pthread_self(), SIGHUP);
  pthread_kill(pthread_self(), SIGUSR1);
  loop->run();
  EXPECT_EQ(reloads, 1);
}

TEST(EventLoop, service_with_work_is_asked_again_without_sleep) {
  const auto loop = make_loop();
  CountingService service(*loop, 10'000, 1);
  loop->add_service(&service);
  const Nanoseconds start = boot_time_ns();
  loop->run();
  loop->remove_service(&service);
  EXPECT_GE(service.turns, 10'001);
  EXPECT_LT(boot_time_ns() - start, 2 * kSecond);  // sleeping 200 us each would take longer
}

// A turn costs some microseconds: so many leave the core idle.
TEST(EventLoop, idle_services_are_asked_less_and_less_often) {
  const auto loop = make_loop();
  CountingService service(*loop, 0, 1'000'000);
  loop->add_service(&service);
  // Past the first second, in which the loop still expects more.
  int before = 0;
  Nanoseconds started = 0;
  loop->at(boot_time_ns() + 1200 * kMillisecond, [&] {
    before = service.turns;
    started = boot_time_ns();
  });
  loop->at(boot_time_ns() + 2200 * kMillisecond, [&] { loop->stop(); });
  loop->run();
  loop->remove_service(&service);
  const auto passed_ms = static_cast<int>((boot_time_ns() - started) / kMillisecond);
  EXPECT_LE(service.turns - before, passed_ms / 2 + 10);
  EXPECT_GT(service.turns - before, 10);  // and it is still asked
}

}  // namespace
}  // namespace penstock

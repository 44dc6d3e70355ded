#include "dataplane/worker/reclaim.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace penstock {
namespace {

TEST(Reclaimer, nobody_online_runs_at_once) {
  auto reclaimer = Reclaimer::create(2).value();
  bool ran = false;
  reclaimer->defer([&] { ran = true; });
  EXPECT_FALSE(ran);
  reclaimer->poll();
  EXPECT_TRUE(ran);
}

TEST(Reclaimer, online_worker_holds_it_back_until_quiescent) {
  auto reclaimer = Reclaimer::create(2).value();
  reclaimer->online(0);
  reclaimer->online(1);
  bool ran = false;
  reclaimer->defer([&] { ran = true; });
  reclaimer->poll();
  EXPECT_FALSE(ran);
  reclaimer->quiescent(0);
  reclaimer->poll();
  EXPECT_FALSE(ran);
  reclaimer->quiescent(1);
  reclaimer->poll();
  EXPECT_TRUE(ran);
}

TEST(Reclaimer, worker_that_still_uses_what_it_read_holds_back_what_began_later) {
  auto reclaimer = Reclaimer::create(1).value();
  reclaimer->online(0);
  std::vector<int> ran;
  reclaimer->defer([&] { ran.push_back(1); });
  const uint64_t epoch = reclaimer->epoch();
  reclaimer->defer([&] { ran.push_back(2); });
  reclaimer->quiescent_since(0, epoch);
  reclaimer->poll();
  EXPECT_EQ(ran, std::vector<int>{1});
  reclaimer->quiescent_since(0, reclaimer->epoch());
  reclaimer->poll();
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST(Reclaimer, sleeping_worker_does_not_hold_it_back) {
  auto reclaimer = Reclaimer::create(1).value();
  reclaimer->online(0);
  bool ran = false;
  reclaimer->defer([&] { ran = true; });
  reclaimer->offline(0);
  reclaimer->poll();
  EXPECT_TRUE(ran);
}

TEST(Reclaimer, quiescent_before_defer_does_not_count) {
  auto reclaimer = Reclaimer::create(1).value();
  reclaimer->online(0);
  reclaimer->quiescent(0);
  bool ran = false;
  reclaimer->defer([&] { ran = true; });
  reclaimer->poll();
  EXPECT_FALSE(ran);
  reclaimer->offline(0);
}

TEST(Reclaimer, deferred_runs_in_order_and_may_defer_again) {
  auto reclaimer = Reclaimer::create(1).value();
  std::vector<int> order;
  reclaimer->online(0);
  reclaimer->defer([&] {
    order.push_back(1);
    reclaimer->defer([&] { order.push_back(3); });
  });
  reclaimer->defer([&] { order.push_back(2); });
  reclaimer->quiescent(0);
  reclaimer->poll();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));  // the third waits for a grace period of its own
  reclaimer->quiescent(0);
  reclaimer->poll();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  reclaimer->offline(0);
}

TEST(Reclaimer, drain_runs_everything) {
  auto reclaimer = Reclaimer::create(1).value();
  int ran = 0;
  reclaimer->defer([&] {
    ++ran;
    reclaimer->defer([&] { ++ran; });
  });
  reclaimer->drain();
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(reclaimer->pending(), 0U);
}

// A reader dereferences what the writer replaces and poisons after the grace period.
TEST(Reclaimer, reader_never_sees_what_was_freed) {
  auto reclaimer = Reclaimer::create(1).value();
  constexpr int kPoison = -1;
  std::vector<std::atomic<int>> slots(64);
  std::atomic<std::atomic<int>*> published{&slots[0]};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> turns{0};
  std::atomic<uint64_t> poisoned{0};
  std::thread reader([&] {
    reclaimer->online(0);
    while (!stop) {
      const std::atomic<int>* seen = published.load(std::memory_order_acquire);
      for (int i = 0; i < 50; ++i) poisoned += seen->load(std::memory_order_relaxed) == kPoison;
      reclaimer->quiescent(0);
      ++turns;
    }
    reclaimer->offline(0);
  });
  while (turns < 10) std::this_thread::yield();
  size_t current = 0;
  for (int round = 0; round < 2'000; ++round) {
    const size_t next = (current + 1) % slots.size();
    while (reclaimer->pending() >= slots.size() - 2) reclaimer->poll();
    slots[next] = round;
    published.store(&slots[next], std::memory_order_release);
    reclaimer->defer([&slots, current] { slots[current] = kPoison; });
    reclaimer->poll();
    current = next;
  }
  stop = true;
  reader.join();
  reclaimer->drain();
  EXPECT_EQ(poisoned, 0U);
}

}  // namespace
}  // namespace penstock

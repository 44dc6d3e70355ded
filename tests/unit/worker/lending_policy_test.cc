#include "dataplane/worker/lending_policy.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kHz = 2'000'000'000;
constexpr uint64_t kWindow = kHz / 500;

// A worker whose turns last 20,000 cycles.
class Load {
 public:
  Load() { policy_.decide(now_, 0, 0); }
  // A window in which `busy_percent` of the turns have `packets`; others cipher `helped` cycles.
  void window(unsigned busy_percent, uint32_t packets, bool full, size_t helpers,
              uint64_t helped = 0) {
    helped_ += helped;
    constexpr uint64_t kTurn = 20'000;
    const uint64_t end = now_ + kWindow;
    for (unsigned turn = 0; now_ < end; ++turn, now_ += kTurn) {
      const bool busy = turn % 100 < busy_percent;
      policy_.after_turn(now_, now_ + kTurn - 100, busy ? packets : 0, false, busy && full);
    }
    ASSERT_TRUE(policy_.due(now_));
    policy_.decide(now_, helpers, helped_);
  }
  [[nodiscard]] bool lends() const { return policy_.lends(); }
  [[nodiscard]] bool has_time() const { return policy_.has_time(); }
  void full(size_t helpers, uint64_t helped = 0, uint32_t packets = 32) {
    window(100, packets, true, helpers, helped);
  }

 private:
  LendingPolicy policy_{kHz};
  uint64_t now_ = kHz;
  uint64_t helped_ = 0;
};

TEST(LendingPolicy, idle_worker_has_time_and_lends_nothing) {
  Load load;
  load.window(10, 4, false, 1);
  EXPECT_TRUE(load.has_time());
  EXPECT_FALSE(load.lends());
}

TEST(LendingPolicy, busy_worker_without_full_bursts_lends_nothing) {
  Load load;
  load.window(100, 8, false, 1);
  EXPECT_FALSE(load.lends());
  EXPECT_FALSE(load.has_time());
  load.window(80, 32, true, 1);
  EXPECT_FALSE(load.lends());
}

TEST(LendingPolicy, full_worker_lends_when_somebody_has_time) {
  Load load;
  load.full(0);
  EXPECT_FALSE(load.lends());
  load.full(1);
  EXPECT_TRUE(load.lends());
  EXPECT_FALSE(load.has_time());
}

TEST(LendingPolicy, goes_on_while_packets_cost_less_or_leave_time) {
  Load load;
  load.full(1);
  load.full(1, kWindow, 50);
  EXPECT_TRUE(load.lends());
  load.window(60, 32, false, 1, kWindow);
  EXPECT_TRUE(load.lends());
}

TEST(LendingPolicy, ends_when_one_core_is_enough_again) {
  Load load;
  load.full(1);
  load.window(40, 32, false, 1, kWindow / 3);
  EXPECT_FALSE(load.lends());
}

TEST(LendingPolicy, ends_when_nobody_is_left) {
  Load load;
  load.full(1);
  load.full(0, kWindow, 50);
  EXPECT_FALSE(load.lends());
}

// Small packets: their way to another core costs more than their cipher.
TEST(LendingPolicy, ends_when_packets_do_not_get_cheaper) {
  Load load;
  load.full(1);
  ASSERT_TRUE(load.lends());
  load.full(1, kWindow, 33);
  EXPECT_FALSE(load.lends());
  load.full(1);
  EXPECT_FALSE(load.lends()) << "not at once";
}

TEST(LendingPolicy, waits_longer_each_time_that_nobody_came) {
  Load load;
  size_t before = 0;
  for (int round = 0; round < 4; ++round) {
    size_t windows = 0;
    for (; !load.lends(); ++windows) load.full(1);
    EXPECT_GT(windows, before);
    before = windows;
    load.full(1);
    ASSERT_FALSE(load.lends());
  }
}

}  // namespace
}  // namespace penstock

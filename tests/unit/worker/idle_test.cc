#include "dataplane/worker/idle.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(IdlePolicy, busy_turns_never_sleep) {
  IdlePolicy idle;
  for (int i = 0; i < 100'000; ++i) EXPECT_EQ(idle.after_turn(true), 0);
}

TEST(IdlePolicy, empty_turns_poll_first_then_sleep_twice_as_long_each) {
  IdlePolicy idle;
  for (uint32_t i = 0; i < IdlePolicy::kEmptyTurns; ++i) EXPECT_EQ(idle.after_turn(false), 0);
  EXPECT_EQ(idle.after_turn(false), IdlePolicy::kFirstPause);
  EXPECT_EQ(idle.after_turn(false), 2 * IdlePolicy::kFirstPause);
  EXPECT_EQ(idle.after_turn(false), 4 * IdlePolicy::kFirstPause);
}

TEST(IdlePolicy, pauses_end_at_the_longest) {
  IdlePolicy idle;
  Nanoseconds longest = 0;
  for (uint32_t i = 0; i < IdlePolicy::kEmptyTurns + 100; ++i) {
    longest = std::max(longest, idle.after_turn(false));
  }
  EXPECT_EQ(longest, IdlePolicy::kLongestPause);
  EXPECT_EQ(idle.after_turn(false), IdlePolicy::kLongestPause);
}

TEST(IdlePolicy, one_busy_turn_starts_over) {
  IdlePolicy idle;
  for (uint32_t i = 0; i < IdlePolicy::kEmptyTurns + 10; ++i) (void)idle.after_turn(false);
  EXPECT_EQ(idle.after_turn(true), 0);
  for (uint32_t i = 0; i < IdlePolicy::kEmptyTurns; ++i) EXPECT_EQ(idle.after_turn(false), 0);
  EXPECT_EQ(idle.after_turn(false), IdlePolicy::kFirstPause);
}

}  // namespace
}  // namespace penstock

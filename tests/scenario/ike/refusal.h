// Two engines that must not come to terms.
#pragma once

#include <gtest/gtest.h>

#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {

// Initiates; each side must give its reason, and keep nothing.
inline void expect_refusal(Pair& pair, Reason at_moon, Reason at_sun) {
  pair.load();
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.settle();
  ASSERT_TRUE(pair.moon.end_of(command).has_value()) << pair.moon.log_text();
  EXPECT_FALSE(pair.moon.succeeded(command));
  EXPECT_EQ(label_of(pair.moon.end_of(command)->reason), label_of(at_moon)) << pair.moon.log_text();
  EXPECT_TRUE(pair.sun.said(at_sun)) << pair.sun.log_text();
  EXPECT_TRUE(pair.moon.sas().empty());
  EXPECT_TRUE(pair.sun.sas().empty());
  EXPECT_FALSE(pair.moon.engine->last_errors().empty());
  EXPECT_FALSE(pair.sun.engine->last_errors().empty() && at_sun != Reason::kNoConnection);
  pair.check();
}

}  // namespace penstock::ike::simulation

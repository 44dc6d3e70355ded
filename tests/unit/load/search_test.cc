#include "bench/load/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace penstock::load {
namespace {

// Forwards `capacity` packets a second and loses what is beyond; may lose some at any rate.
struct ModelGateway {
  double capacity = 1e6;
  double generator = 4e6;
  double background_loss = 0;

  TrialOutcome trial(double rate) const {
    TrialOutcome outcome;
    outcome.rate = rate;
    outcome.sent_rate = std::min(rate, generator);
    outcome.sent = static_cast<uint64_t>(outcome.sent_rate);
    const double through = std::min(outcome.sent_rate, capacity) * (1 - background_loss);
    outcome.lost = outcome.sent - std::min(outcome.sent, static_cast<uint64_t>(through));
    outcome.received_rate = through;
    return outcome;
  }
};

struct Outcome {
  double none = 0, some = 0;
  unsigned trials = 0;
  bool gave_up = false, generator = false;
};

Outcome search(const ModelGateway& gateway, double precision = 0.01) {
  RateSearch::Options options;
  options.precision = precision;
  options.smallest_rate = 100;
  RateSearch search(options, {0, 0.005}, gateway.trial(gateway.generator));
  Outcome outcome;
  while (const auto rate = search.next()) {
    search.record(gateway.trial(*rate));
    ++outcome.trials;
  }
  outcome.none = search.found(0);
  outcome.some = search.found(0.005);
  outcome.gave_up = search.gave_up();
  outcome.generator = search.limited_by_generator(0);
  return outcome;
}

TEST(RateSearch, finds_a_known_capacity_to_the_precision) {
  for (const double capacity : {5e3, 1.234e6, 3.9e6}) {
    for (const double precision : {0.05, 0.01, 0.001}) {
      const Outcome outcome = search({capacity}, precision);
      EXPECT_LE(outcome.none, capacity * 1.000001);
      EXPECT_GE(outcome.none, capacity * (1 - 1.01 * precision)) << capacity << " " << precision;
      EXPECT_FALSE(outcome.gave_up);
      EXPECT_FALSE(outcome.generator);
    }
  }
}

TEST(RateSearch, tolerated_loss_allows_a_higher_rate) {
  const Outcome outcome = search({1e6}, 0.0005);
  EXPECT_GT(outcome.some, outcome.none);
  EXPECT_LE(outcome.some, 1e6 / 0.995 + 1);
  EXPECT_GE(outcome.some, 1e6 / 0.995 * 0.999);
}

TEST(RateSearch, tolerances_share_their_trials) { EXPECT_LT(search({1e6}).trials, 12U); }

TEST(RateSearch, gateway_faster_than_the_generator_is_said_so) {
  const Outcome outcome = search({9e6});
  EXPECT_EQ(outcome.none, 4e6);
  EXPECT_TRUE(outcome.generator);
  EXPECT_EQ(outcome.trials, 0U);
}

TEST(RateSearch, gateway_that_always_loses_ends_without_a_rate) {
  const Outcome outcome = search({1e6, 4e6, 0.1});
  EXPECT_EQ(outcome.none, 0);
  EXPECT_EQ(outcome.some, 0);
}

TEST(RateSearch, passing_above_a_failure_does_not_count) {
  RateSearch::Options options;
  RateSearch search(options, {0}, {4e6, 4e6, 1e6, 4'000'000, 3'000'000});
  search.record({2e6, 2e6, 2e6, 2'000'000, 0});
  search.record({1e6, 1e6, 1e6, 1'000'000, 5});
  search.record({5e5, 5e5, 5e5, 500'000, 0});
  EXPECT_EQ(search.found(0), 5e5);
}

}  // namespace
}  // namespace penstock::load

#include "bench/load/search.h"

#include <algorithm>

namespace penstock::load {
namespace {

// From a rate that passed to the next.
constexpr double kLargestStep = 1.25;

}  // namespace

RateSearch::RateSearch(const Options& options, std::vector<double> tolerances,
                       const TrialOutcome& flood)
    : options_(options), tolerances_(std::move(tolerances)) {
  TrialOutcome first = flood;
  first.rate = flood.sent_rate;
  trials_.push_back(first);
}

// Losses are not monotone on a machine that does other things: what passed above a failure does not
// count.
RateSearch::Bounds RateSearch::bounds(double tolerance) const {
  Bounds bounds;
  bounds.upper = trials_.front().rate;
  bool failed = false;
  for (const TrialOutcome& trial : trials_) {
    if (trial.loss_ratio() <= tolerance) continue;
    bounds.upper = failed ? std::min(bounds.upper, trial.rate) : trial.rate;
    failed = true;
  }
  for (const TrialOutcome& trial : trials_) {
    const bool below = !failed || trial.rate < bounds.upper;
    if (below && trial.loss_ratio() <= tolerance) {
      bounds.lower = std::max(bounds.lower, std::min(trial.rate, trial.sent_rate));
    }
  }
  return bounds;
}

bool RateSearch::done(const Bounds& bounds) const {
  return bounds.upper - bounds.lower <= options_.precision * bounds.upper ||
         bounds.upper <= options_.smallest_rate;
}

std::optional<double> RateSearch::next() const {
  if (gave_up()) return std::nullopt;
  for (const double tolerance : tolerances_) {
    const Bounds at = bounds(tolerance);
    if (done(at)) continue;
    // What came through at full speed is the best guess of what the gateway can do.
    const double guess = trials_.front().received_rate * (1 - options_.precision);
    const bool fresh = trials_.size() == 1;
    if (fresh && guess > at.lower && guess < at.upper) return guess;
    // The middle; but what the generator can send may be many times what the gateway can take.
    const double middle = (at.lower + at.upper) / 2;
    const double step = at.lower > 0 ? std::min(middle, at.lower * kLargestStep) : middle;
    return std::max(step, options_.smallest_rate);
  }
  return std::nullopt;
}

void RateSearch::record(const TrialOutcome& trial) { trials_.push_back(trial); }

bool RateSearch::limited_by_generator(double tolerance) const {
  return std::none_of(trials_.begin(), trials_.end(),
                      [&](const TrialOutcome& trial) { return trial.loss_ratio() > tolerance; });
}

}  // namespace penstock::load

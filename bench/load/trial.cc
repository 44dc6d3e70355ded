#include "bench/load/trial.h"

#include <algorithm>

namespace penstock::load {

LatencySummary LatencySummary::of(const LatencyHistogram& ticks, double ticks_per_ns) {
  LatencySummary summary;
  summary.packets = ticks.count();
  summary.smallest = static_cast<double>(ticks.smallest()) / ticks_per_ns;
  summary.mean = ticks.mean() / ticks_per_ns;
  summary.p50 = ticks.percentile(0.5) / ticks_per_ns;
  summary.p99 = ticks.percentile(0.99) / ticks_per_ns;
  summary.p999 = ticks.percentile(0.999) / ticks_per_ns;
  summary.largest = static_cast<double>(ticks.largest()) / ticks_per_ns;
  return summary;
}

TrialOutcome TrialResult::outcome() const {
  TrialOutcome outcome;
  outcome.rate = asked_rate;
  outcome.sent = up.offered() + down.offered();
  outcome.lost = up.lost() + down.lost();
  if (seconds <= 0) return outcome;
  for (const Counts* way : {&up, &down}) {
    if (way->offered() == 0) continue;
    const double sent = static_cast<double>(way->offered()) / seconds;
    const double received = static_cast<double>(way->good) / seconds;
    const bool first = outcome.sent_rate == 0;
    outcome.sent_rate = first ? sent : std::min(outcome.sent_rate, sent);
    outcome.received_rate = first ? received : std::min(outcome.received_rate, received);
  }
  return outcome;
}

double TrialResult::good_packets_per_second() const {
  return seconds > 0 ? static_cast<double>(up.good + down.good) / seconds : 0;
}
double TrialResult::good_bits_per_second() const {
  return seconds > 0 ? 8 * static_cast<double>(up.good_bytes + down.good_bytes) / seconds : 0;
}
double TrialResult::loss_ratio() const { return outcome().loss_ratio(); }

bool TrialResult::generator_too_slow() const {
  return asked_rate > 0 && outcome().sent_rate < 0.99 * asked_rate;
}

uint64_t TrialResult::wrong() const {
  const auto of = [](const Counts& one) {
    return one.corrupt + one.wrong_tunnel + one.duplicate + one.not_opened;
  };
  return of(up) + of(down);
}

}  // namespace penstock::load

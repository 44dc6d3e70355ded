// The throughput search of RFC 2544 26.1: trials at chosen rates, until the highest rate that loses
// no more than a tolerance is known to a precision. Pure: says which rate to try, is told what
// happened. Several tolerances share their trials.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace penstock::load {

// Rates are packets per second and direction.
struct TrialOutcome {
  double rate = 0;       // asked for
  double sent_rate = 0;  // reached by the generator
  double received_rate = 0;
  uint64_t sent = 0, lost = 0;
  [[nodiscard]] double loss_ratio() const {
    return sent == 0 ? 1.0 : static_cast<double>(lost) / static_cast<double>(sent);
  }
};

class RateSearch {
 public:
  struct Options {
    double precision = 0.01;   // (upper - lower) / upper at which a tolerance is done
    double smallest_rate = 0;  // below it nothing is tried: the result is 0 then
    unsigned most_trials = 40;
  };

  // `flood`: a trial at full speed, which bounds the search. `tolerances`: largest loss ratios,
  // such as 0 and 0.005.
  RateSearch(const Options& options, std::vector<double> tolerances, const TrialOutcome& flood);

  // The next rate to try; nothing: done.
  [[nodiscard]] std::optional<double> next() const;
  void record(const TrialOutcome& trial);

  // The highest rate that passed below every rate that failed; 0: none did.
  [[nodiscard]] double found(double tolerance) const { return bounds(tolerance).lower; }
  // The trials ended before the precision was reached.
  [[nodiscard]] bool gave_up() const { return trials_.size() > options_.most_trials; }
  // All of it passed, up to what the generator can send: the gateway's limit is higher.
  [[nodiscard]] bool limited_by_generator(double tolerance) const;

 private:
  struct Bounds {
    double lower = 0, upper = 0;
  };
  [[nodiscard]] Bounds bounds(double tolerance) const;
  [[nodiscard]] bool done(const Bounds& bounds) const;

  Options options_;
  std::vector<double> tolerances_;
  std::vector<TrialOutcome> trials_;  // the flood first
};

}  // namespace penstock::load

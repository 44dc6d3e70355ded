// What a run came to: collected case by case, shown as a table, as JSON and as a page with plots.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/plan.h"
#include "bench/load/trial.h"

namespace penstock::load {

// The search's answer for one tolerance.
struct FoundRate {
  double loss = 0;                // tolerated ratio
  double packets_per_second = 0;  // per direction; 0: even the lowest rate lost more
  bool limited_by_generator = false;
};

// One size, number of tunnels and direction.
struct CaseResult {
  uint32_t tunnels = 1;
  SizeMix mix;
  std::vector<TrialResult> trials;          // a search's in the order tried; of the other modes one
  std::vector<FoundRate> found;             // of a search
  bool gave_up = false;                     // a search that ended before its precision
  std::vector<TrialResult> latency_trials;  // of a search: at shares of the first rate
};

struct Report {
  Options options;
  std::string started;              // UTC, ISO 8601
  std::string machine;              // CPU model and kernel
  std::string outside, inside;      // the ports
  std::string cipher;               // the generator's engine
  std::vector<StormResult> storms;  // bringing tunnels up; in mode connect the measurement
  std::vector<CaseResult> cases;
};

std::string table_of(const Report& report);
nlohmann::json json_of(const Report& report);
std::string html_of(const Report& report);

}  // namespace penstock::load

// A whole run: opens the ports, brings the tunnels up, makes the trials that the mode asks for, and
// writes the report.
#pragma once

#include "bench/load/options.h"
#include "bench/load/plan.h"
#include "gateway/base/result.h"

namespace penstock::load {

// The CPU of the packet loop: as the options say, or the last that this process may use.
unsigned loop_cpu(const Options& options);
// That of the gateway's worker: as the options say, or the first other one.
unsigned gateway_cpu(const Options& options);

// Main thread, once per process. False: packets came back that should not have (changed, twice, in
// the wrong tunnel), or a connect storm left tunnels down.
Result<bool> measure(const Options& options, const Plan& plan);

}  // namespace penstock::load

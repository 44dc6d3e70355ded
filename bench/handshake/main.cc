// Handshakes a second of the responder, on one control thread and one compute thread.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "bench/handshake/scenario.h"

namespace penstock::bench {
namespace {

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// The library calls a benchmark several times to find out how long it takes: what is expensive to
// set up is set up once.
Scenario& scenario_of(const ScenarioFactory& factory) {
  static std::string name;
  static std::unique_ptr<Scenario> scenario;
  if (scenario == nullptr || name != factory.name) {
    scenario.reset();
    scenario = factory.make();
    name = factory.name;
  }
  return *scenario;
}

void measure(benchmark::State& state, const ScenarioFactory& factory) {
  Scenario* const scenario = &scenario_of(factory);
  Stage stage;
  bool ok = true;
  (void)scenario->batch(stage, ok);  // tables and caches as in a gateway that has been running
  std::vector<double> ours, ceiling, control, compute, primitives;
  constexpr auto kCount = static_cast<double>(kBatch);
  for (auto _ : state) {
    const double before = wall_ns();
    const int64_t cpu_before = thread_cpu_ns();
    for (size_t i = 0; i < kBatch; ++i) scenario->primitives();
    primitives.push_back(static_cast<double>(thread_cpu_ns() - cpu_before) / kCount);
    ceiling.push_back((wall_ns() - before) / kCount);
    const PhaseTimes times = scenario->batch(stage, ok);
    if (!ok) {
      state.SkipWithError("a handshake did not come to its end");
      return;
    }
    ours.push_back(times.wall_ns / kCount);
    control.push_back(times.control_cpu_ns / kCount);
    compute.push_back(times.compute_cpu_ns / kCount);
    state.SetIterationTime(times.wall_ns / 1e9);
  }
  state.counters["handshakes_per_second"] = 1e9 / median(ours);
  state.counters["ceiling_per_second"] = 1e9 / median(ceiling);
  state.counters["primitives_us"] = median(primitives) / 1e3;
  state.counters["control_us"] = median(control) / 1e3;
  state.counters["compute_us"] = median(compute) / 1e3;
  if (scenario->bytes_per_sa() > 0) state.counters["bytes_per_sa"] = scenario->bytes_per_sa();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const auto& list :
       {penstock::bench::wireguard_scenarios(), penstock::bench::ike_scenarios()}) {
    for (const penstock::bench::ScenarioFactory& factory : list) {
      benchmark::RegisterBenchmark(factory.name.c_str(), penstock::bench::measure, factory)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

// Benchmarks of the packet path with two threads: two workers beside one, tunnels that come and go
// under full load, overload.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "bench/path/threads.h"
#include "bench/path/world.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (!has_two_cpus()) {
    std::fprintf(stderr, "bench: two CPUs are needed\n");
    return 1;
  }
  start_environment();
  register_workers();
  register_churn();
  register_overload();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

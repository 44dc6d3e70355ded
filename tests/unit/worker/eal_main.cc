// Starts EAL once for all tests of this executable: no root, no hugepages, no devices.
#include <gtest/gtest.h>
#include <rte_eal.h>
#include <unistd.h>

#include <cstdio>

#include "dataplane/worker/eal.h"

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  penstock::EalConfig config;
  config.worker_cpus = {penstock::usable_cpus().front()};
  config.hugepages = penstock::HugepageUse::kNo;
  config.memory_mb = 128;
  config.file_prefix = "penstock_test_" + std::to_string(getpid());
  const penstock::Status started = penstock::start_eal(config);
  if (!started) {
    std::fprintf(stderr, "%s\n", started.error().text.c_str());
    return 1;
  }
  const int result = RUN_ALL_TESTS();
  rte_eal_cleanup();
  return result;
}

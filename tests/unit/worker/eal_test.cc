#include "dataplane/worker/eal.h"

#include <gtest/gtest.h>
#include <rte_lcore.h>
#include <sched.h>

namespace penstock {
namespace {

EalConfig config() {
  EalConfig config;
  config.worker_cpus = {usable_cpus().front()};
  config.hugepages = HugepageUse::kNo;
  return config;
}

TEST(StartEal, no_workers_is_refused) {
  EalConfig none = config();
  none.worker_cpus.clear();
  EXPECT_EQ(start_eal(none).error().text, "no worker has a CPU");
}

TEST(StartEal, cpu_that_is_not_there_is_named) {
  EalConfig far = config();
  far.worker_cpus.push_back(100'000);
  EXPECT_NE(start_eal(far).error().text.find("lcore 100000: there is no such CPU"),
            std::string::npos);
}

TEST(StartEal, more_hugepages_than_are_free_says_how_to_get_them) {
  EalConfig greedy = config();
  greedy.hugepages = HugepageUse::kYes;
  greedy.memory_mb = 4'000'000'000U;
  EXPECT_NE(start_eal(greedy).error().text.find("vm.nr_hugepages"), std::string::npos);
}

TEST(StartEal, more_memory_than_there_is_is_refused) {
  EalConfig greedy = config();
  greedy.memory_mb = 4'000'000'000U;
  EXPECT_NE(start_eal(greedy).error().text.find("MiB are available"), std::string::npos);
}

TEST(StartEal, second_start_is_refused_in_words) {
  const Status again = start_eal(config());
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().text.find("started in this process before"), std::string::npos)
      << again.error().text;
}

TEST(StartEal, control_thread_keeps_off_polled_cpus_where_it_can) {
  EXPECT_EQ(rte_get_main_lcore(), 0U);
  EXPECT_EQ(rte_lcore_count(), 2U);
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  // main() gave the worker the lowest CPU that we may run on.
  if (CPU_COUNT(&set) > 0 && rte_lcore_to_cpu_id(1) >= 0) {
    const cpu_set_t worker = rte_lcore_cpuset(1);
    cpu_set_t both;
    CPU_AND(&both, &set, &worker);
    const bool only_one_cpu = CPU_EQUAL(&set, &worker) != 0;
    EXPECT_TRUE(CPU_COUNT(&both) == 0 || only_one_cpu);
  }
}

}  // namespace
}  // namespace penstock

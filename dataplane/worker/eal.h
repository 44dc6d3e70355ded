// Starting DPDK's environment: memory, lcores, devices. Once per process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/base/result.h"

namespace penstock {

enum class HugepageUse : uint8_t { kAuto, kYes, kNo };

struct EalConfig {
  std::vector<unsigned> worker_cpus;  // one worker each; a CPU may be named twice on small machines
  HugepageUse hugepages = HugepageUse::kAuto;
  bool in_memory = true;   // false: files under /var/run/dpdk, so that secondary processes attach
  uint32_t memory_mb = 0;  // 0: what `needed_mb` says
  uint32_t needed_mb = 0;  // what pools and tables take, as the caller computed
  std::string file_prefix = "penstock";
  std::vector<std::string> pci_devices;  // the only ones that are probed, with their arguments
  std::vector<std::string> extra;        // further arguments, as given
  bool debug = false;                    // let EAL's own messages through
};

// CPUs that this process may run on, and free hugepage memory, for checks and tests.
std::vector<unsigned> usable_cpus();
uint64_t free_hugepage_mb();

// Says in one sentence what is wrong before EAL gets the chance to exit by itself. On success
// worker i runs on lcore i + 1, and the calling thread is the main lcore, on the CPUs that no
// worker polls (on all, where there are no others).
Status start_eal(const EalConfig& config);

}  // namespace penstock

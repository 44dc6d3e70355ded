#include "controlplane/driver/placement.h"

#include <sched.h>

#include <algorithm>

namespace penstock {

std::vector<unsigned> allowed_cpus() {
  std::vector<unsigned> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<unsigned> cpus_beside(const std::vector<unsigned>& all,
                                  const std::vector<unsigned>& polled) {
  std::vector<unsigned> beside;
  std::copy_if(all.begin(), all.end(), std::back_inserter(beside), [&](unsigned cpu) {
    return std::find(polled.begin(), polled.end(), cpu) == polled.end();
  });
  return beside.empty() ? all : beside;
}

void set_thread_cpus(const std::vector<unsigned>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  if (CPU_COUNT(&set) > 0) sched_setaffinity(0, sizeof set, &set);
}

}  // namespace penstock

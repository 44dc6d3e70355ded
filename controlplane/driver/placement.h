// On which CPUs the threads beside the workers run: on those that no worker polls, where there are
// any, so that neither waits for the other.
#pragma once

#include <vector>

namespace penstock {

// The CPUs that this thread may use. Ask before the EAL starts: it pins the thread that calls it.
std::vector<unsigned> allowed_cpus();

// `all` without `polled`; `all` itself where nothing would be left.
std::vector<unsigned> cpus_beside(const std::vector<unsigned>& all,
                                  const std::vector<unsigned>& polled);

// Moves the calling thread; an empty list or a refusal changes nothing, it only costs time.
void set_thread_cpus(const std::vector<unsigned>& cpus);

}  // namespace penstock

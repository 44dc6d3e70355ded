// The configuration in the terms of those who carry it out.
#pragma once

#include "controlplane/driver/ike_gateway.h"
#include "controlplane/neighbour/resolver.h"
#include "controlplane/wireguard/device.h"
#include "dataplane/worker/dpdk_dataplane.h"
#include "gateway/config/config.h"

namespace penstock::app {

// The CPUs of the workers, in order: as configured, or the highest of `usable`.
std::vector<unsigned> worker_cpus_of(const config::Config& config,
                                     const std::vector<unsigned>& usable);
// Refuses a kernel interface that two ports take.
Status check_devices(const config::Config& config);
DataplaneConfig dataplane_config_of(const config::Config& config,
                                    const std::vector<unsigned>& worker_cpus);
neighbour::Limits neighbour_limits_of(const config::Config& config);
neighbour::PortSetup neighbour_port_of(const config::PortConfig& port, const PortInfo& info);
// Threads that compute for handshakes.
unsigned compute_threads_of(const config::Config& config);
IkeGatewayOptions ike_options_of(const config::Config& config);
wireguard::Limits wireguard_limits_of(const config::Config& config);
wireguard::TimerConfig wireguard_timers_of(const config::TimerConfig& timers);

}  // namespace penstock::app

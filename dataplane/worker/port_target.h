// What a device stands on outside DPDK: a PCI slot, an interface of the kernel, a socket. Looked at
// before DPDK is, which would say less.
#pragma once

#include <string>

#include "dataplane/device/port_config.h"
#include "gateway/base/result.h"

namespace penstock {

// One sentence where the device cannot be opened: no such PCI device or held by the kernel, no such
// interface. Removes a socket that a dead process left behind where the port wants to listen.
Status check_target(const PortConfig& config, const DeviceName& device);

// Whether an interface of the kernel is up and has a carrier.
bool kernel_link_up(const std::string& interface);

enum class KernelMtu : uint8_t { kAtLeast, kExactly };
Status set_kernel_mtu(const PortConfig& config, const std::string& interface, KernelMtu how);

}  // namespace penstock

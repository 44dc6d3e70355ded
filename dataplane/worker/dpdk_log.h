// DPDK's last error line, to say why a call failed. Control thread only.
#pragma once

#include <string>

namespace penstock {

// Empty: there was none since the last call.
std::string take_dpdk_error();

}  // namespace penstock

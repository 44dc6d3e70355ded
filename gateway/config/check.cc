#include "gateway/config/check.h"

#include <algorithm>

namespace penstock::config {

namespace {

void check_workers(Draft& draft) {
  Config& config = draft.config;
  if (!config.lcores.empty()) {
    const auto listed = static_cast<uint16_t>(config.lcores.size());
    if (draft.given("workers") && config.workers != listed) {
      draft.error(draft.where("workers"), "is " + std::to_string(config.workers) +
                                              ", but lcores lists " + std::to_string(listed) +
                                              " CPUs");
    }
    config.workers = listed;
  }
  if (config.control_cpu && std::find(config.lcores.begin(), config.lcores.end(),
                                      *config.control_cpu) != config.lcores.end()) {
    draft.warn(draft.where("control_cpu"),
               "CPU " + std::to_string(*config.control_cpu) + " is also a worker's");
  }
}

void check_pool(Draft& draft) {
  constexpr uint32_t kRoundBytes = 512;  // headroom, tailroom, link header
  const Config& config = draft.config;
  uint16_t largest = 0;
  for (const PortConfig& port : config.ports) largest = std::max(largest, port.mtu);
  const uint32_t least = largest + kRoundBytes;
  if (config.pool.data_bytes != 0 && config.pool.data_bytes < least) {
    draft.error(draft.where("pool.data_bytes"), "an MTU of " + std::to_string(largest) +
                                                    " needs at least " + std::to_string(least) +
                                                    " bytes");
  }
  if (config.pool.buffers != 0 && config.pool.buffers < 1'024) {
    draft.error(draft.where("pool.buffers"), "must be 0 or at least 1024");
  }
}

void check_dpdk(Draft& draft) {
  const DpdkConfig& dpdk = draft.config.dpdk;
  if (dpdk.file_prefix.find('/') != std::string::npos) {
    draft.error(draft.where("dpdk.file_prefix"), "must be a file name without '/'");
  }
  if (draft.config.control_socket.size() > 107) {
    draft.error(draft.where("control_socket"), "longer than a socket's path may be (107)");
  }
  if (draft.config.ipsec.vici_socket.size() > 107) {
    draft.error(draft.where("ipsec.vici_socket"), "longer than a socket's path may be (107)");
  }
}

// Each of the pair is meaningful only below the other.
void check_below(Draft& draft, const char* low_name, uint64_t low, const char* high_name,
                 uint64_t high) {
  if (low < high) return;
  const std::string low_key = std::string("timers.") + low_name;
  const std::string high_key = std::string("timers.") + high_name;
  const bool at_low = draft.given(low_key) || !draft.given(high_key);
  draft.error(draft.where(at_low ? low_key : high_key),
              std::string(low_name) + " (" + std::to_string(low) + ") must be below " + high_name +
                  " (" + std::to_string(high) + ")");
}

void check_timers(Draft& draft) {
  const TimerConfig& t = draft.config.timers;
  check_below(draft, "rekey_after_s", t.rekey_after_s, "reject_after_s", t.reject_after_s);
  check_below(draft, "rekey_timeout_s", t.rekey_timeout_s, "rekey_attempt_s", t.rekey_attempt_s);
  check_below(draft, "rekey_after_messages", t.rekey_after_messages, "reject_after_messages",
              t.reject_after_messages);
}

void complete_port(Draft& draft, PortConfig& port) {
  const std::string prefix = "port." + port.name + ".";
  if (!draft.given(prefix + "device")) {
    draft.error(draft.where("port." + port.name), "the port has no device");
  }
  if (!draft.given(prefix + "role")) {
    draft.error(draft.where("port." + port.name), "the port has no role (outside, inside or both)");
  }
  if (!draft.given(prefix + "source_check")) {
    port.source_check = port.role == PortRole::kInside ? SourceCheck::kStrict : SourceCheck::kLoose;
  }
  if (!draft.given(prefix + "forward")) {
    port.forward = port.role == PortRole::kOutside ? Forward::kTunnelOnly : Forward::kPlain;
  }
}

}  // namespace

uint16_t smallest_outside_mtu(const Config& config) {
  uint16_t smallest = 0;
  for (const PortConfig& port : config.ports) {
    if (port.role == PortRole::kInside) continue;
    if (smallest == 0 || port.mtu < smallest) smallest = port.mtu;
  }
  return smallest;
}

void complete_and_check_scalars(Draft& draft) {
  for (PortConfig& port : draft.config.ports) complete_port(draft, port);
  check_workers(draft);
  check_pool(draft);
  check_dpdk(draft);
  check_timers(draft);
}

}  // namespace penstock::config

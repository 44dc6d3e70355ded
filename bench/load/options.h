// The command line of penstock-load.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/plan.h"
#include "bench/load/profile.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/result.h"

namespace penstock::load {

struct Options {
  Mode mode = Mode::kRate;
  bool help = false;
  std::string write_gateway_config;  // a folder; empty: run

  // The machine.
  std::string outside_device, inside_device;
  std::string gateway_outside_device, gateway_inside_device;  // empty: the other end of ours
  uint16_t cpu = UINT16_MAX;                                  // UINT16_MAX: the last usable one
  uint16_t gateway_cpu = UINT16_MAX;                          // UINT16_MAX: the first other one
  uint16_t mtu = 0;  // of both ports; 0: from the largest packet
  bool hugepages = true;
  uint32_t wait_s = 10;  // for the links, the gateway's MAC addresses and each handshake

  // Tunnels. plan.tunnels is the largest of `tunnels`.
  PlanOptions plan;
  std::vector<uint32_t> tunnels = {1};
  SaAlgorithm esp_algorithm = SaAlgorithm::kAes128Gcm16;
  bool esp_in_udp = true, esp_esn = true;

  // Traffic.
  std::vector<SizeMix> sizes;
  Direction direction = Direction::kBoth;
  Order order = Order::kRoundRobin;
  Rate rate;                  // value 0: as fast as possible
  uint32_t rekey_rate = 0;    // handshakes a second beside the traffic; 0: only those that are due
  uint32_t connect_rate = 0;  // of a connect storm; 0: as fast as answers come
  uint32_t window = 256;      // handshakes under way at a time

  // Trials.
  double seconds = 10;                    // of a trial; of a soak as a whole
  double interval_s = 5;                  // of the lines of a soak
  double drain_s = 0.5;                   // in which the last packets of a trial may still come
  std::vector<double> loss = {0, 0.005};  // tolerances of a search, as ratios
  double precision = 0.01;
  unsigned most_trials = 30;                             // of a search, per case
  std::vector<uint32_t> latency_percent = {10, 50, 90};  // of the no-drop rate

  std::string json, html;
};

// The whole of it, or the sentences that say which option is wrong and what it must be.
Result<Options> parse_options(int count, const char* const* arguments);
std::string help_text();

}  // namespace penstock::load

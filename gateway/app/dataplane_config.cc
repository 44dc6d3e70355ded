#include "gateway/app/dataplane_config.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace penstock::app {
namespace {

HugepageUse hugepages_of(config::Choice choice) {
  if (choice == config::Choice::kAuto) return HugepageUse::kAuto;
  return choice == config::Choice::kYes ? HugepageUse::kYes : HugepageUse::kNo;
}

DataplanePort dataplane_port_of(const config::PortConfig& from) {
  DataplanePort port;
  port.device.name = from.name;
  port.device.device = from.device;
  port.device.mtu = from.mtu;
  port.device.rx_queues = from.rx_queues;
  port.device.tx_queues = from.tx_queues;
  port.device.rx_descriptors = from.rx_descriptors;
  port.device.tx_descriptors = from.tx_descriptors;
  port.device.checksum_offload = from.checksum_offload;
  port.device.promiscuous = from.promiscuous;
  port.device.mac = from.mac;
  port.role = from.role;
  port.source_check = from.source_check;
  port.plain_forward = from.forward == config::Forward::kPlain;
  return port;
}

// Of a device on a kernel interface: "net_af_packet0,iface=eth0", "af_packet:eth0". Empty: of none.
std::string_view kernel_interface_of(std::string_view device) {
  constexpr std::string_view kKey = "iface=";
  size_t begin = device.find(kKey);
  if (begin != std::string_view::npos) {
    begin += kKey.size();
  } else if (device.starts_with("af_packet:") || device.starts_with("af_xdp:")) {
    begin = device.find(':') + 1;
  } else {
    return {};
  }
  return device.substr(begin, device.find(',', begin) - begin);
}

}  // namespace

Status check_devices(const config::Config& config) {
  std::map<std::string_view, const config::PortConfig*> taken;
  for (const config::PortConfig& port : config.ports) {
    const std::string_view interface = kernel_interface_of(port.device);
    if (interface.empty()) continue;
    const auto [other, fresh] = taken.emplace(interface, &port);
    if (!fresh) {
      return errorf("port %s: interface %s is the one of port %s", port.name.c_str(),
                    std::string(interface).c_str(), other->second->name.c_str());
    }
  }
  return {};
}

std::vector<unsigned> worker_cpus_of(const config::Config& config,
                                     const std::vector<unsigned>& usable) {
  std::vector<unsigned> cpus(config.lcores.begin(), config.lcores.end());
  if (!cpus.empty() || usable.empty()) return cpus;
  // The highest: interrupts and everything else like the lowest. More workers than CPUs share.
  for (size_t i = 0; i < config.workers; ++i) {
    cpus.push_back(usable[usable.size() - 1 - i % usable.size()]);
  }
  return cpus;
}

DataplaneConfig dataplane_config_of(const config::Config& from,
                                    const std::vector<unsigned>& worker_cpus) {
  DataplaneConfig config;
  config.eal.worker_cpus = worker_cpus;
  config.eal.hugepages = hugepages_of(from.dpdk.hugepages);
  config.eal.in_memory = from.dpdk.in_memory;
  config.eal.memory_mb = from.dpdk.memory_mb;
  config.eal.file_prefix = from.dpdk.file_prefix;
  config.eal.extra = from.dpdk.eal;
  config.eal.debug = from.log.level == LogLevel::kDebug;
  for (const config::PortConfig& port : from.ports) {
    config.ports.push_back(dataplane_port_of(port));
  }
  config.sleep_when_idle = from.idle == config::Idle::kSleep;
  config.spread = from.spread == config::Spread::kAuto;
  config.burst = from.burst;
  config.max_tunnels = from.limits.max_tunnels;
  config.punt_queue_packets = from.limits.punt_queue;
  config.icmp_errors_per_second = from.limits.icmp_per_second;
  config.pool_buffers = from.pool.buffers;
  config.pool_cache = from.pool.cache;
  config.buffer_bytes = from.pool.data_bytes;
  config.max_routes = from.limits.max_routes;
  config.reassembly.datagrams = from.limits.reassembly_contexts;
  return config;
}

neighbour::Limits neighbour_limits_of(const config::Config& config) {
  neighbour::Limits limits;
  limits.neighbours = config.limits.neighbours;
  limits.queue_packets = config.limits.neighbour_queue;
  return limits;
}

neighbour::PortSetup neighbour_port_of(const config::PortConfig& port, const PortInfo& info) {
  neighbour::PortSetup setup;
  setup.id = info.id;
  setup.mac = info.mac;
  setup.addresses = port.addresses;
  for (const config::StaticNeighbour& one : port.neighbours) {
    setup.neighbours.push_back({one.address, one.mac});
  }
  return setup;
}

unsigned compute_threads_of(const config::Config& config) {
  return config.compute_threads != 0 ? config.compute_threads : std::max(1U, config.workers / 2U);
}

IkeGatewayOptions ike_options_of(const config::Config& config) {
  const config::IpsecConfig& ipsec = config.ipsec;
  IkeGatewayOptions options;
  options.engine.ike_sas = ipsec.max_ike_sas;
  options.engine.half_open = ipsec.half_open;
  options.engine.half_open_per_source = ipsec.half_open_per_address;
  options.engine.half_open_timeout_ns = ipsec.half_open_timeout_s * kSecond;
  options.engine.cookie_threshold = ipsec.cookie_threshold;
  options.engine.compute_jobs = ipsec.compute_queue;
  options.engine.pool_dpd_delay_ns = ipsec.dpd_floor_s * kSecond;
  options.engine.retransmit_timeout_ns = ipsec.retransmit_timeout_ms * kMillisecond;
  options.engine.retransmit_base = ipsec.retransmit_base;
  options.engine.retransmit_tries = ipsec.retransmit_tries;
  options.fetch.timeout_ns = ipsec.fetch_timeout_s * kSecond;
  options.fetch.size_bytes = size_t{ipsec.fetch_limit_kib} << 10;
  for (const config::PortConfig& port : config.ports) {
    if (port.role == PortRole::kInside) continue;
    for (const InterfaceAddress& own : port.addresses) {
      if (!own.address.is_link_local()) options.local_addresses.push_back(own.address);
    }
  }
  for (const config::IpsecInterfaceConfig& one : ipsec.interfaces) {
    IkeInterfaceOptions interface;
    interface.spec.name = one.name;
    interface.spec.protocol = TunnelProtocol::kEsp;
    interface.spec.mtu = one.mtu;
    interface.dscp = one.dscp;
    interface.if_id = one.if_id;
    interface.addresses = one.addresses;
    options.interfaces.push_back(std::move(interface));
  }
  return options;
}

wireguard::Limits wireguard_limits_of(const config::Config& config) {
  wireguard::Limits limits;
  limits.rekey_after_messages = config.timers.rekey_after_messages;
  limits.reject_after_messages = config.timers.reject_after_messages;
  limits.peers = config.limits.max_tunnels;
  limits.staged_packets_per_peer = config.limits.staged_packets;
  limits.staged_packets = config.limits.staged_packets_total;
  limits.responder_handshakes = config.limits.handshake_queue;
  limits.under_load_handshakes =
      std::min(limits.under_load_handshakes, std::max(1U, config.limits.handshake_queue / 2));
  limits.source_rate_per_second = config.limits.handshakes_per_second;
  return limits;
}

wireguard::TimerConfig wireguard_timers_of(const config::TimerConfig& from) {
  wireguard::TimerConfig timers;
  timers.rekey_after_time_ns = from.rekey_after_s * kSecond;
  timers.reject_after_time_ns = from.reject_after_s * kSecond;
  timers.rekey_attempt_time_ns = from.rekey_attempt_s * kSecond;
  timers.rekey_timeout_ns = from.rekey_timeout_s * kSecond;
  timers.keepalive_timeout_ns = from.keepalive_s * kSecond;
  return timers;
}

}  // namespace penstock::app

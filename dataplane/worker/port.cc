#include "dataplane/worker/port.h"

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstring>

#include "dataplane/worker/dpdk_log.h"
#include "dataplane/worker/port_target.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

Error port_error(const PortConfig& config, const char* what, int code) {
  return errorf("port %s (%s): %s: %s", config.name.c_str(), config.device.c_str(), what,
                rte_strerror(code < 0 ? -code : code));
}

struct Attached {
  uint16_t port = 0;
  bool plugged = false;
};

Result<Attached> find_or_create(const PortConfig& config, const DeviceName& device) {
  Attached attached;
  const char* name = device.name.c_str();
  if (rte_eth_dev_get_port_by_name(name, &attached.port) == 0) {
    if (device.pci) return attached;  // EAL has probed what its allow list names
    return errorf("port %s: device %s is in use by another port", config.name.c_str(), name);
  }
  PENSTOCK_CHECK(check_target(config, device));
  (void)take_dpdk_error();
  const int code = rte_eal_hotplug_add(device.pci ? "pci" : "vdev", name, device.arguments.c_str());
  // A failing driver may report success with no port: look it up ourselves.
  if (rte_eth_dev_get_port_by_name(name, &attached.port) == 0) {
    attached.plugged = true;
    return attached;
  }
  const std::string reason = take_dpdk_error();
  return errorf("port %s: cannot open %s: %s", config.name.c_str(), device.devargs().c_str(),
                !reason.empty() ? reason.c_str()
                : code < 0      ? rte_strerror(-code)
                                : "the driver refused it");
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config, unsigned number,
                                         uint16_t workers) {
  std::unique_ptr<Port> port(new Port);
  port->config_ = config;
  const uint16_t queues = config.rx_queues != 0 ? config.rx_queues : workers;
  PENSTOCK_TRY(port->device_, parse_device(config, number, queues));
  // A tap is ours alone already; its kernel end is an interface like any other, open to all.
  if (!port->device_.kernel_interface.empty() && !port->device_.is_driver("net_tap")) {
    auto claim = PortClaim::take(port->device_.kernel_interface);
    if (!claim.ok()) return errorf("port %s: %s", config.name.c_str(), claim.error().text.c_str());
    port->claim_ = std::move(*claim);
  }
  PENSTOCK_TRY(const Attached attached, find_or_create(config, port->device_));
  port->dpdk_port_ = attached.port;
  port->plugged_ = attached.plugged;
  port->opened_ = true;
  PENSTOCK_CHECK(port->learn(workers));
  return port;
}

Port::~Port() {
  stop();
  if (!opened_) return;
  // The kernel's interface outlives us.
  if (made_promiscuous_) (void)rte_eth_promiscuous_disable(dpdk_port_);
  rte_eth_dev_close(dpdk_port_);
  if (plugged_) (void)rte_eal_hotplug_remove(device_.pci ? "pci" : "vdev", device_.name.c_str());
}

int Port::numa_node() const { return rte_eth_dev_socket_id(dpdk_port_); }

Status Port::learn(uint16_t workers) {
  if (const int code = rte_eth_dev_info_get(dpdk_port_, &info_); code != 0) {
    return port_error(config_, "cannot be asked for its abilities", code);
  }
  const auto choose = [&](uint16_t wanted, uint16_t most, const char* direction) {
    const uint16_t want = wanted != 0 ? wanted : workers;
    if (want > most && wanted != 0) {
      log_warning("port %s: %u %s queues wanted, the device has %u", config_.name.c_str(), want,
                  direction, most);
    }
    return std::clamp<uint16_t>(want, 1, std::max<uint16_t>(most, 1));
  };
  rx_queues_ = choose(config_.rx_queues, info_.max_rx_queues, "receive");
  tx_queues_ = choose(config_.tx_queues, info_.max_tx_queues, "transmit");
  if (device_.is_driver("net_af_packet")) {
    // The kernel spreads frames over all of the device's sockets: each must be polled.
    rx_queues_ = tx_queues_ = info_.max_rx_queues;
  }
  rx_descriptors_ = config_.rx_descriptors;
  tx_descriptors_ = config_.tx_descriptors;
  return learn_mac();
}

Status Port::learn_mac() {
  rte_ether_addr address{};
  if (const int code = rte_eth_macaddr_get(dpdk_port_, &address); code != 0) {
    return port_error(config_, "has no MAC address", code);
  }
  std::memcpy(mac_.bytes.data(), address.addr_bytes, 6);
  // A ring has none.
  if (mac_.is_zero()) mac_.bytes = {0x02, 0, 0, 0, 0, static_cast<uint8_t>(dpdk_port_)};
  // A tap's own address is that of the kernel's end. We are the other end of the wire.
  if (device_.is_driver("net_tap")) {
    mac_.bytes[0] = static_cast<uint8_t>((mac_.bytes[0] | 2U) & ~1U);
    mac_.bytes[5] ^= 1U;
  }
  return {};
}

rte_eth_conf Port::make_conf() {
  rte_eth_conf conf{};
  if (rx_queues_ > 1) {
    const uint64_t wanted = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
    conf.rx_adv_conf.rss_conf.rss_hf = wanted & info_.flow_type_rss_offloads;
    if (conf.rx_adv_conf.rss_conf.rss_hf != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  }
  // A virtual device would either compute it in software too, or hand the peer a packet whose
  // checksum is still to be computed.
  const bool capable = (info_.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
  if (device_.pci && config_.checksum_offload && capable) {
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    transmit_udp_checksum_ = true;
  }
  conf.rxmode.mtu = std::min<uint32_t>(config_.mtu, largest_mtu());
  return conf;
}

// These drivers state the size of a plain Ethernet frame whatever their slots can take.
bool Port::understates_mtu() const {
  return device_.is_driver("net_af_packet") || device_.is_driver("net_memif");
}

// What DPDK lets pass as an MTU.
uint32_t Port::largest_mtu() const {
  const uint32_t mtu = info_.max_mtu != 0 ? info_.max_mtu : UINT16_MAX;
  const bool states_overhead = mtu != UINT16_MAX && info_.max_rx_pktlen > mtu;
  if (states_overhead || info_.max_rx_pktlen == 0) return mtu;
  constexpr uint32_t kOverhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  return std::min(mtu, info_.max_rx_pktlen - std::min(kOverhead, info_.max_rx_pktlen));
}

Status Port::configure(rte_mempool* pool) {
  if (!understates_mtu() && config_.mtu > largest_mtu()) {
    return errorf("port %s (%s): an MTU of %u is more than the %u that the device carries",
                  config_.name.c_str(), config_.device.c_str(), config_.mtu, largest_mtu());
  }
  const rte_eth_conf conf = make_conf();
  if (const int code = rte_eth_dev_configure(dpdk_port_, rx_queues_, tx_queues_, &conf); code != 0)
    return port_error(config_, "cannot be configured", code);
  PENSTOCK_CHECK(set_queues(pool, conf));
  PENSTOCK_CHECK(set_mac());
  return set_mtu();
}

Status Port::set_queues(rte_mempool* pool, const rte_eth_conf& conf) {
  int code = rte_eth_dev_adjust_nb_rx_tx_desc(dpdk_port_, &rx_descriptors_, &tx_descriptors_);
  if (code != 0) return port_error(config_, "refuses its descriptors", code);
  const auto socket = static_cast<unsigned>(std::max(numa_node(), 0));
  for (uint16_t queue = 0; queue < rx_queues_; ++queue) {
    code = rte_eth_rx_queue_setup(dpdk_port_, queue, rx_descriptors_, socket, nullptr, pool);
    if (code != 0) return port_error(config_, "receive queue cannot be set up", code);
  }
  rte_eth_txconf tx = info_.default_txconf;
  tx.offloads = conf.txmode.offloads;
  for (uint16_t queue = 0; queue < tx_queues_; ++queue) {
    code = rte_eth_tx_queue_setup(dpdk_port_, queue, tx_descriptors_, socket, &tx);
    if (code != 0) return port_error(config_, "transmit queue cannot be set up", code);
  }
  return {};
}

Status Port::set_mac() {
  if (!config_.mac) return {};
  if (device_.is_driver("net_tap")) {  // setting it would set the kernel's end
    mac_ = *config_.mac;
    return {};
  }
  rte_ether_addr address{};
  std::memcpy(address.addr_bytes, config_.mac->bytes.data(), 6);
  if (const int code = rte_eth_dev_default_mac_addr_set(dpdk_port_, &address); code != 0) {
    return port_error(config_, "refuses the configured MAC address", code);
  }
  mac_ = *config_.mac;
  return {};
}

Status Port::set_mtu() {
  // The kernel's end of a tap sends what its MTU allows; a packet socket receives what comes, and
  // sends what the interface takes.
  if (device_.is_driver("net_tap") || device_.is_driver("net_af_packet")) {
    PENSTOCK_CHECK(
        set_kernel_mtu(config_, device_.kernel_interface,
                       device_.is_driver("net_tap") ? KernelMtu::kExactly : KernelMtu::kAtLeast));
  }
  uint16_t current = 0;
  if (understates_mtu() ||
      (rte_eth_dev_get_mtu(dpdk_port_, &current) == 0 && current == config_.mtu)) {
    return {};
  }
  const int code = rte_eth_dev_set_mtu(dpdk_port_, config_.mtu);
  // Drivers without the operation carry whatever fits their buffers.
  if (code == 0 || code == -ENOTSUP) return {};
  return port_error(config_, ("refuses an MTU of " + std::to_string(config_.mtu)).c_str(), code);
}

Status Port::start() {
  if (const int code = rte_eth_dev_start(dpdk_port_); code != 0) {
    return port_error(config_, "does not start", code);
  }
  started_ = true;
  set_receive_filter();
  return {};
}

// Neighbour discovery comes to group addresses.
void Port::set_receive_filter() {
  const bool groups = rte_eth_allmulticast_enable(dpdk_port_) == 0;
  // The kernel's interface filters before a packet socket sees anything, and DPDK cannot ask it for
  // groups alone.
  const bool filtered = !device_.kernel_interface.empty() && !device_.is_driver("net_tap");
  if (!config_.promiscuous && (groups || !filtered)) return;
  made_promiscuous_ = rte_eth_promiscuous_enable(dpdk_port_) == 0;
  if (!made_promiscuous_ && config_.promiscuous)
    log_warning("port %s: the device cannot be promiscuous", config_.name.c_str());
}

void Port::stop() {
  if (started_) (void)rte_eth_dev_stop(dpdk_port_);
  started_ = false;
}

rte_eth_link Port::link() const {
  rte_eth_link link{};
  (void)rte_eth_link_get_nowait(dpdk_port_, &link);
  // Drivers on top of an interface of the kernel do not ask it.
  if (started_ && !device_.kernel_interface.empty()) {
    link.link_status =
        kernel_link_up(device_.kernel_interface) ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
  }
  return link;
}

void Port::describe(PortInfo& info) const {
  info.name = config_.name;
  info.device = device_.devargs();
  info.driver = info_.driver_name != nullptr ? info_.driver_name : "";
  info.mac = mac_;
  info.mtu = config_.mtu;
  info.rx_queues = rx_queues_;
  info.tx_queues = tx_queues_;
  info.numa_node = numa_node();
  const rte_eth_link now = link();
  info.link_up = now.link_status == RTE_ETH_LINK_UP;
  info.link_mbps = now.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : now.link_speed;
  rte_eth_stats stats{};
  if (rte_eth_stats_get(dpdk_port_, &stats) != 0) return;
  info.rx_packets = stats.ipackets;
  info.rx_bytes = stats.ibytes;
  info.rx_missed = stats.imissed;
  info.rx_errors = stats.ierrors;
  info.rx_no_buffer = stats.rx_nombuf;
  info.tx_packets = stats.opackets;
  info.tx_bytes = stats.obytes;
  info.tx_errors = stats.oerrors;
}

}  // namespace penstock

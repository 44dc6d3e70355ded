// A DPDK port: opening it by device, its queues and offloads, its link and counters.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/api/route.h"
#include "dataplane/device/port_config.h"
#include "dataplane/worker/port_claim.h"
#include "gateway/base/result.h"

struct rte_mempool;

namespace penstock {

// All on the control thread; workers call rte_eth_rx_burst and rte_eth_tx_burst with dpdk_port().
class Port {
 public:
  // Finds or creates the device and learns what it can. Does not start it.
  static Result<std::unique_ptr<Port>> open(const PortConfig& config, unsigned number,
                                            uint16_t workers);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // Sets up all queues with buffers from `pool`.
  Status configure(rte_mempool* pool);
  Status start();
  void stop();

  [[nodiscard]] uint16_t dpdk_port() const { return dpdk_port_; }
  [[nodiscard]] uint16_t rx_queues() const { return rx_queues_; }
  [[nodiscard]] uint16_t tx_queues() const { return tx_queues_; }
  [[nodiscard]] MacAddress mac() const { return mac_; }
  [[nodiscard]] uint16_t mtu() const { return config_.mtu; }
  [[nodiscard]] int numa_node() const;
  [[nodiscard]] bool transmit_udp_checksum() const { return transmit_udp_checksum_; }
  [[nodiscard]] const PortConfig& config() const { return config_; }

  // Of the link now, without waiting for it.
  [[nodiscard]] rte_eth_link link() const;
  // Room that this port needs in a buffer behind the head room.
  [[nodiscard]] uint32_t frame_room_bytes() const { return device_.frame_room_bytes; }
  // Fills in everything but id and role.
  void describe(PortInfo& info) const;

 private:
  Port() = default;
  Status learn(uint16_t workers);
  Status learn_mac();
  [[nodiscard]] rte_eth_conf make_conf();
  Status set_queues(rte_mempool* pool, const rte_eth_conf& conf);
  Status set_mtu();
  [[nodiscard]] bool understates_mtu() const;
  [[nodiscard]] uint32_t largest_mtu() const;
  Status set_mac();
  void set_receive_filter();

  PortClaim claim_;  // of the kernel interface behind the port
  PortConfig config_;
  DeviceName device_;
  uint16_t dpdk_port_ = 0;
  rte_eth_dev_info info_{};
  uint16_t rx_queues_ = 1, tx_queues_ = 1;
  uint16_t rx_descriptors_ = 0, tx_descriptors_ = 0;
  MacAddress mac_;
  bool transmit_udp_checksum_ = false;
  bool opened_ = false;
  bool plugged_ = false;  // by us, to be unplugged
  bool made_promiscuous_ = false;
  bool started_ = false;
};

}  // namespace penstock

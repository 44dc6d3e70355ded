// What is said about a port before it is opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock {

struct PortConfig {
  std::string name;    // of the configuration: "outside"
  std::string device;  // a PCI address, a DPDK device string, or a shorthand; see parse_device()
  uint16_t mtu = 1500;
  uint16_t rx_queues = 0, tx_queues = 0;  // 0: one per worker
  uint16_t rx_descriptors = 1024, tx_descriptors = 1024;
  bool checksum_offload = true;  // used where the port has it
  bool promiscuous = false;
  std::optional<MacAddress> mac;
};

// A device as DPDK wants it.
struct DeviceName {
  bool pci = false;
  std::string name;       // "0000:3b:00.0", "net_af_packet0"
  std::string arguments;  // "iface=veth0,framecnt=4096"; empty: none
  // Of a kernel-backed port: the network interface behind it.
  std::string kernel_interface;
  // Room that a received frame needs from the head of a buffer on, where the driver asks for more
  // than the MTU does; 0: it does not.
  uint32_t frame_room_bytes = 0;

  [[nodiscard]] bool is_driver(std::string_view driver) const {
    return !pci && std::string_view(name).starts_with(driver);
  }
  [[nodiscard]] std::string devargs() const {
    return arguments.empty() ? name : name + "," + arguments;
  }
};

// Takes a PCI address ("0000:3b:00.0", "3b:00.0"), a DPDK device string ("net_tap0,iface=x") or a
// shorthand "KIND:TARGET[,arguments]":
//   af_packet:IFACE  af_xdp:IFACE  tap:IFACE  memif:SOCKET  vhost:SOCKET  virtio_user:PATH
//   pcap:RX_FILE,TX_FILE  null  ring
// `number` makes names unique. Fills in what a driver needs for the MTU and queues where the
// arguments do not say it.
Result<DeviceName> parse_device(const PortConfig& config, unsigned number, uint16_t queues);

}  // namespace penstock

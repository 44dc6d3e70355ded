#include "dataplane/device/port_config.h"

#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <optional>
#include <string_view>

#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr uint32_t kPageBytes = 4096;
// In front of the frame in a slot: tpacket2_hdr, sockaddr_ll, alignment.
constexpr uint32_t kPacketSlotHeaderBytes = 80;
// Ethernet, two VLAN tags and a check sequence around the IP packet.
constexpr uint32_t kFrameOverheadBytes = 14 + 2 * 4 + 4;

uint32_t frame_bytes(const PortConfig& config) { return config.mtu + kFrameOverheadBytes; }

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return std::isxdigit(static_cast<unsigned char>(c)) != 0;
         });
}

// "3b:00.0" or "0000:3b:00.0".
bool is_pci_address(std::string_view text) {
  if (text.size() == 12) {
    if (!is_hex(text.substr(0, 4), 4) || text[4] != ':') return false;
    text.remove_prefix(5);
  }
  return text.size() == 7 && is_hex(text.substr(0, 2), 2) && text[2] == ':' &&
         is_hex(text.substr(3, 2), 2) && text[5] == '.' && text[6] >= '0' && text[6] <= '7';
}

std::optional<std::string_view> argument(std::string_view arguments, std::string_view key) {
  for (const std::string_view field : split(arguments, ',')) {
    const size_t equals = field.find('=');
    if (field.substr(0, equals) != key) continue;
    return equals == std::string_view::npos ? std::string_view{} : field.substr(equals + 1);
  }
  return std::nullopt;
}

// What the operator wrote stands.
void add_default(std::string& arguments, std::string_view key, std::string_view value) {
  if (argument(arguments, key)) return;
  if (!arguments.empty()) arguments += ',';
  arguments += std::string(key) + "=" + std::string(value);
}
void add_default(std::string& arguments, std::string_view key, uint64_t value) {
  add_default(arguments, key, std::to_string(value));
}

// An argument that must be a number from 1 to `maximum`, or an error.
Result<uint32_t> number_argument(const PortConfig& config, std::string_view arguments,
                                 const char* key, uint32_t maximum) {
  const auto value = parse_unsigned(argument(arguments, key).value_or(""), maximum);
  if (value && *value > 0) return static_cast<uint32_t>(*value);
  return errorf("port %s: %s must be a number from 1 to %u", config.name.c_str(), key, maximum);
}

// A ring of the kernel's packet socket. A slot must hold the frame behind the kernel's own header,
// or the frame is cut or vanishes silently; a block must hold whole slots and whole pages, and the
// ring whole blocks, or driver and kernel disagree on where a slot is. The driver's default of 512
// slots loses bursts.
Status add_packet_socket_defaults(DeviceName& device, const PortConfig& config, uint16_t queues) {
  const uint32_t needed = frame_bytes(config) + kPacketSlotHeaderBytes;
  add_default(device.arguments, "framesz", std::max(2048U, (needed + 1023) / 1024 * 1024));
  PENSTOCK_TRY(const uint32_t slot, number_argument(config, device.arguments, "framesz", 65'536));
  if (slot < needed || slot % 16 != 0) {
    return errorf("port %s: framesz must be a multiple of 16 and, for an MTU of %u, at least %u",
                  config.name.c_str(), config.mtu, needed);
  }
  add_default(device.arguments, "blocksz", std::lcm(slot, slot <= 4096 ? 65'536U : kPageBytes));
  PENSTOCK_TRY(const uint32_t block,
               number_argument(config, device.arguments, "blocksz", 1U << 22));
  if (block % slot != 0 || block % kPageBytes != 0) {
    return errorf("port %s: blocksz must be a multiple of framesz (%u) and of %u",
                  config.name.c_str(), slot, kPageBytes);
  }
  const uint32_t slots_per_block = block / slot;
  const uint32_t wanted = slot <= 4096 ? 4096 : 1024;
  add_default(device.arguments, "framecnt",
              (wanted + slots_per_block - 1) / slots_per_block * slots_per_block);
  PENSTOCK_TRY(const uint32_t count, number_argument(config, device.arguments, "framecnt", 65'536));
  if (count % slots_per_block != 0) {
    return errorf("port %s: framecnt must be a multiple of %u, the slots of a block",
                  config.name.c_str(), slots_per_block);
  }
  add_default(device.arguments, "qpairs", queues);
  // The driver refuses buffers that are smaller than a slot.
  device.frame_room_bytes = slot;
  return {};
}

// What experience says each driver wants.
Status add_driver_defaults(DeviceName& device, const PortConfig& config, uint16_t queues) {
  std::string& arguments = device.arguments;
  if (device.is_driver("net_af_packet") || device.is_driver("net_af_xdp") ||
      device.is_driver("net_tap")) {
    device.kernel_interface = argument(arguments, "iface").value_or("");
    if (device.kernel_interface.empty() || device.kernel_interface.size() >= IF_NAMESIZE) {
      return errorf("port %s: device '%s' needs iface=NAME of 1 to %d characters",
                    config.name.c_str(), config.device.c_str(), IF_NAMESIZE - 1);
    }
  }
  if (device.is_driver("net_af_packet")) return add_packet_socket_defaults(device, config, queues);
  if (device.is_driver("net_af_xdp")) {
    add_default(arguments, "busy_budget", "0");  // veth refuses busy polling
  } else if (device.is_driver("net_memif")) {
    add_default(arguments, "socket-abstract", "no");  // abstract names end at a namespace
    // A frame larger than a buffer of the shared ring would be spread over several.
    add_default(arguments, "bsize", std::max(2048U, (frame_bytes(config) + 1023) / 1024 * 1024));
    add_default(arguments, "rsize", "11");
  } else if (device.is_driver("net_vhost")) {
    add_default(arguments, "queues", queues);
  } else if (device.is_driver("net_virtio_user")) {
    if (argument(arguments, "server").value_or("0") != "0") {
      return errorf(
          "port %s: virtio_user with server=1 waits for its peer before anything else "
          "starts: make the vhost side the server",
          config.name.c_str());
    }
    add_default(arguments, "queues", queues);
    add_default(arguments, "queue_size", "1024");
  } else if (device.is_driver("net_null")) {
    add_default(arguments, "no-rx", "1");  // or it delivers packets without end
  }
  return {};
}

Result<DeviceName> expand_shorthand(std::string_view kind, std::string_view rest, unsigned number) {
  const size_t comma = rest.find(',');
  const std::string target(rest.substr(0, comma));
  std::string more = comma == std::string_view::npos ? "" : std::string(rest.substr(comma + 1));
  const auto device = [&](const char* driver, const std::string& first) {
    DeviceName name;
    name.name = driver + std::to_string(number);
    name.arguments = more.empty() ? first : first.empty() ? more : first + "," + more;
    return name;
  };
  const bool needs_target = kind != "null" && kind != "ring";
  if (needs_target && target.empty()) {
    return errorf("device '%s:' does not say of what", std::string(kind).c_str());
  }
  if (kind == "af_packet") return device("net_af_packet", "iface=" + target);
  if (kind == "af_xdp") return device("net_af_xdp", "iface=" + target);
  if (kind == "tap") return device("net_tap", "iface=" + target);
  if (kind == "memif") return device("net_memif", "socket=" + target);
  if (kind == "vhost") return device("net_vhost", "iface=" + target);
  if (kind == "virtio_user") return device("net_virtio_user", "path=" + target);
  if (kind == "null") return device("net_null", target);
  if (kind == "ring") return device("net_ring", target);
  if (kind == "pcap") {
    const std::string receive = "rx_pcap=" + target;
    if (more.empty() || more.find('=') != std::string::npos) return device("net_pcap", receive);
    const std::string transmit = "tx_pcap=" + std::exchange(more, "");
    return device("net_pcap", receive + "," + transmit);
  }
  return errorf(
      "device kind '%s' is not one of af_packet, af_xdp, tap, memif, vhost, virtio_user, pcap, "
      "null, ring",
      std::string(kind).c_str());
}

}  // namespace

Result<DeviceName> parse_device(const PortConfig& config, unsigned number, uint16_t queues) {
  const std::string_view text = config.device;
  if (is_pci_address(text.substr(0, text.find(',')))) {
    const size_t comma = text.find(',');
    std::string address(text.substr(0, comma));
    if (address.size() == 7) address = "0000:" + address;
    for (char& c : address) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    DeviceName device;
    device.pci = true;
    device.name = std::move(address);
    if (comma != std::string_view::npos) device.arguments = text.substr(comma + 1);
    return device;
  }
  DeviceName device;
  if (text.starts_with("net_")) {
    const size_t comma = text.find(',');
    device.name = text.substr(0, comma);
    if (comma != std::string_view::npos) device.arguments = text.substr(comma + 1);
  } else {
    const size_t colon = text.find(':');
    const std::string_view kind = text.substr(0, std::min(colon, text.find(',')));
    if (colon == std::string_view::npos && kind != "null" && kind != "ring") {
      return errorf(
          "device '%s' is neither a PCI address (0000:3b:00.0), nor a DPDK device (net_tap0,...), "
          "nor KIND:TARGET such as af_packet:eth0, nor null or ring",
          config.device.c_str());
    }
    const std::string_view rest = text.substr(std::min(kind.size() + 1, text.size()));
    PENSTOCK_TRY(device, expand_shorthand(kind, rest, number));
  }
  PENSTOCK_CHECK(add_driver_defaults(device, config, queues));
  return device;
}

}  // namespace penstock

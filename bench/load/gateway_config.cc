#include "bench/load/gateway_config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "bench/load/outer_frame.h"
#include "bench/load/peers.h"
#include "controlplane/crypto/x25519.h"
#include "gateway/base/text.h"

namespace penstock::load {
namespace {

constexpr const char* kUnknownDevice = "0000:00:00.0";

// The other end of a device on the same machine.
std::string other_end(const std::string& device) {
  const size_t colon = device.find(':');
  if (device.starts_with("memif:")) return device + ",role=server";
  if (device.starts_with("vhost:")) return "virtio_user:" + device.substr(colon + 1);
  if (device.starts_with("virtio_user:")) return "vhost:" + device.substr(colon + 1);
  return kUnknownDevice;
}

std::string port_section(const char* name, const std::string& device, const IpAddress& address,
                         uint8_t length, size_t mtu) {
  std::string text = std::string("\n[port.") + name + "]\n";
  if (device == kUnknownDevice) text += "# The gateway's own port: put its PCI address here.\n";
  return text + "device = " + device + "\nrole = " + name + "\naddress = " + address.to_string() +
         "/" + std::to_string(length) + "\nmtu = " + std::to_string(mtu) + "\n";
}

std::string penstock_conf(const Options& options, const Plan& plan, const std::string& folder,
                          unsigned cpu) {
  uint16_t largest = 0;
  for (const SizeMix& mix : options.sizes) largest = std::max(largest, mix.largest_bytes());
  const size_t mtu = options.mtu != 0
                         ? options.mtu
                         : std::max<size_t>(1500, largest + OuterFrames::kMostOverheadBytes - 14);
  const auto device = [](const std::string& given, const std::string& ours) {
    return given.empty() ? other_end(ours) : given;
  };
  std::string text =
      "# The gateway of a measurement with penstock-load, which wrote this file.\n"
      "# Keys are made of a word that everybody knows: for a laboratory only.\n";
  text += "lcores = " + std::to_string(cpu) + "\nidle = poll\n";
  text += "state_dir = " + folder + "/state\ncontrol_socket = " + folder + "/control.sock\n";
  text += "wireguard_dir = " + folder + "\n\n[dpdk]\nfile_prefix = load-gateway\n";
  text += port_section("outside", device(options.gateway_outside_device, options.outside_device),
                       plan.gateway_outside(), plan.outside().length, mtu);
  // Else an outside port forwards only what is from or for a tunnel.
  if (plan.protocol() == Protocol::kClear) text += "forward = plain\n";
  text += port_section("inside", device(options.gateway_inside_device, options.inside_device),
                       plan.gateway_inside(), plan.inside().length, mtu);
  text += "\n[route]\nroute = " + plan.peers().to_string() + " via " +
          plan.outside().address.to_string() + "\nroute = " + plan.hosts().to_string() + " via " +
          plan.inside().address.to_string() + "\n";
  if (plan.protocol() == Protocol::kWireguard) {
    text += "route = " + plan.clients().to_string() +
            " interface load\n\n[wireguard.load]\nfile = " + folder + "/wg.conf\n";
  } else if (plan.protocol() == Protocol::kEsp) {
    const uint32_t ike_sas = std::max(1024U, 2 * plan.tunnels());
    // Never in clear back out of where it came from.
    text += "route = " + plan.clients().to_string() + " via " + plan.outside().address.to_string() +
            "\n\n[ipsec]\nvici_socket = " + folder +
            "/vici.sock\nmax_ike_sas = " + std::to_string(ike_sas) +
            "\nhalf_open = " + std::to_string(std::min(65'536U, ike_sas)) +
            "\ncookie_threshold = 65536\ncompute_queue = 8192\n";
  }
  text += "\n[limits]\nmax_tunnels = " + std::to_string(std::max(16U, 2 * plan.tunnels())) +
          "\nmax_routes = " + std::to_string(std::max(65'536U, 4 * plan.tunnels())) +
          "\nhandshake_queue = 8192\n";
  return text;
}

std::string wg_conf(const Plan& plan, uint16_t mtu) {
  std::string text = "[Interface]\nPrivateKey = " + to_base64(plan.gateway_private_key().bytes()) +
                     "\nListenPort = " + std::to_string(plan.listen_port()) +
                     "\nMTU = " + std::to_string(mtu) + "\nTable = off\n";
  for (uint32_t tunnel = 0; tunnel < plan.tunnels(); ++tunnel) {
    text += "\n[Peer]\nPublicKey = " + to_base64(x25519_public(plan.peer_key(tunnel))) +
            "\nAllowedIPs = " + IpPrefix::host(plan.client(tunnel)).to_string() + "\n";
  }
  return text;
}

std::string swanctl_conf(const Options& options, const Plan& plan) {
  const EspWish wish{options.esp_algorithm, options.esp_in_udp, options.esp_esn};
  return std::string("connections {\n  load {\n    version = 2\n") +
         "    proposals = aes256gcm16-prfsha256-x25519\n    local_addrs = " +
         plan.gateway_outside().to_string() +
         "\n    mobike = no\n"
         "    local {\n      auth = psk\n      id = " +
         Plan::kGatewayName +
         "\n    }\n    remote {\n      auth = psk\n    }\n"
         "    children {\n      net {\n        local_ts = " +
         plan.hosts().to_string() + "\n        remote_ts = " + plan.clients().to_string() +
         "\n        esp_proposals = " + esp_proposal(wish) +
         "\n        rekey_time = 0\n        life_time = 0\n      }\n    }\n  }\n}\n"
         "secrets {\n  ike-load {\n    secret = " +
         plan.ike_secret() + "\n  }\n}\n";
}

}  // namespace

Result<std::vector<WrittenFile>> gateway_files(const Options& options, const Plan& plan,
                                               const std::string& folder, unsigned cpu) {
  if (options.plan.gateway_key) {
    return errorf(
        "--gateway-key: a gateway that keeps its own key has a configuration of its own; "
        "leave one of --gateway-key and --write-gateway-config out");
  }
  std::error_code failure;
  const std::string absolute = std::filesystem::absolute(folder, failure).lexically_normal();
  std::vector<WrittenFile> files = {{"penstock.conf", penstock_conf(options, plan, absolute, cpu)}};
  uint16_t largest = 1420;
  for (const SizeMix& mix : options.sizes) largest = std::max(largest, mix.largest_bytes());
  if (plan.protocol() == Protocol::kWireguard) {
    files.push_back({"wg.conf", wg_conf(plan, largest)});
  } else if (plan.protocol() == Protocol::kEsp) {
    files.push_back({"swanctl.conf", swanctl_conf(options, plan)});
  }
  return files;
}

Status write_files(const std::vector<WrittenFile>& files, const std::string& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder + "/state", failure);
  if (failure) {
    return errorf("--write-gateway-config %s: cannot make the folder: %s", folder.c_str(),
                  failure.message().c_str());
  }
  for (const WrittenFile& file : files) {
    const std::string path = folder + "/" + file.name;
    const int to = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = to >= 0;
    for (size_t at = 0; written && at < file.text.size();) {
      const ssize_t count = ::write(to, file.text.data() + at, file.text.size() - at);
      written = count > 0;
      if (written) at += static_cast<size_t>(count);
    }
    const int error = errno;
    if (to >= 0) ::close(to);
    if (!written) {
      return errorf("--write-gateway-config: cannot write %s: %s", path.c_str(),
                    std::strerror(error));
    }
  }
  return {};
}

}  // namespace penstock::load

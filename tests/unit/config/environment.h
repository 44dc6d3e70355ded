// Files and names as a test wants them, in place of the machine's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gateway/config/config.h"

namespace penstock::config {

inline const std::string kPrivateKey = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
inline const std::string kPublicKey = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
inline const std::string kOtherPublicKey = "ljskaMoIaE59Y5HK6Vd3rWrn+g6ehF2n5hOW2T9dnno=";

inline Environment environment_of(std::map<std::string, FileText> files) {
  Environment environment;
  environment.read_file = [files = std::move(files)](const std::string& path) -> Result<FileText> {
    const auto file = files.find(path);
    if (file == files.end()) return Error{"No such file or directory"};
    return file->second;
  };
  environment.resolve = [](const std::string& host, uint16_t port) -> Result<Endpoint> {
    if (host != "gw.example.org") return Error{"Name or service not known"};
    return Endpoint{*IpAddress::parse("203.0.113.9"), port};
  };
  return environment;
}

inline Environment usual_environment() {
  return environment_of(
      {{"/etc/wireguard/wg0.conf",
        {"[Interface]\nPrivateKey = " + kPrivateKey +
             "\nListenPort = 51820\nAddress = 10.200.0.1/24, fd00:200::1/64\n[Peer]\nPublicKey = " +
             kPublicKey + "\nAllowedIPs = 10.200.0.2/32\nEndpoint = gw.example.org:5\n",
         false}},
       {"/etc/wireguard/two.conf",
        {"[Interface]\nPrivateKey = " + kPrivateKey + "\n[Peer]\nPublicKey = " + kPublicKey +
             "\n[Peer]\nPublicKey = " + kOtherPublicKey + "\n",
         false}},
       {"/etc/wireguard/key", {kPrivateKey + "\n", false}}});
}

inline std::vector<std::string> lines_of(const Diagnostics& diagnostics) {
  std::vector<std::string> lines;
  for (const Diagnostic& d : diagnostics) lines.push_back(d.to_string());
  return lines;
}

inline Outcome parse(const std::string& text, const std::vector<Override>& overrides = {}) {
  return parse_config(text, "p.conf", overrides, usual_environment());
}

// 10 lines: a mistake in what follows is in line 11 or later.
inline const std::string kTwoPorts =
    "[port.outside]\n"
    "device = net_af_packet0,iface=veth0\n"
    "role = outside\n"
    "address = 192.0.2.1/24\n"
    "address = 2001:db8::1/64\n"
    "[port.inside]\n"
    "device = 0000:3b:00.1\n"
    "role = inside\n"
    "address = 10.0.0.1/24\n"
    "address = fd00::1/64\n";

}  // namespace penstock::config

#include <algorithm>
#include <map>

#include "gateway/base/text.h"
#include "gateway/config/check.h"

namespace penstock::config {

namespace {

constexpr size_t kMaxFileAddresses = 64;

// Reads a file that holds keys; its text is wiped by the caller.
std::optional<FileText> read_keys(Draft& draft, const Environment& environment,
                                  const std::string& path, const Location& said_at) {
  Result<FileText> file = environment.read_file(path);
  if (!file) {
    draft.error(said_at, "cannot read " + path + ": " + file.error().text);
    return std::nullopt;
  }
  if (file->world_readable) {
    draft.warn({path, 0, ""}, "every user can read this file, and it holds keys");
  }
  return std::move(file).value();
}

void load_private_key(Draft& draft, WireguardConfig& interface, const Environment& environment) {
  const Location where = draft.where("wireguard." + interface.name + ".private_key_file");
  auto file = read_keys(draft, environment, interface.private_key_file, where);
  if (!file) return;
  const std::string_view text = trim(file->text);
  auto bytes = text.size() == 44 ? from_base64(text) : std::nullopt;
  if (bytes && bytes->size() == 32) {
    interface.device.private_key = Secret<32>::copy_of(*bytes);
  } else {
    draft.error({interface.private_key_file, 1, ""},
                "must hold one key: 32 bytes in base64, 44 characters");
  }
  if (bytes) wipe(*bytes);
  wipe_text(file->text);
}

// What the interface's section says wins over the file; what the file says keeps its place there.
void merge_file(Draft& draft, WireguardConfig& interface, wireguard::WgQuickFile& file) {
  const std::string prefix = "wireguard." + interface.name + ".";
  const auto from_file = [&](const char* name, size_t line, const char* key) {
    draft.note_taken(prefix + name, {interface.file, line, key});
  };
  const auto inline_port = interface.device.listen_port;
  interface.device = std::move(file.device);
  if (inline_port) interface.device.listen_port = inline_port;
  if (!inline_port && file.listen_port_line != 0) {
    from_file("listen_port", file.listen_port_line, "ListenPort");
  }
  if (file.private_key_line != 0) from_file("private_key", file.private_key_line, "PrivateKey");
  if (!draft.given(prefix + "table")) interface.routes = file.routes;
  if (!draft.given(prefix + "mtu") && file.mtu) {
    interface.mtu = *file.mtu;
    from_file("mtu", file.mtu_line, "MTU");
  }
  if (draft.given(prefix + "address")) return;
  for (size_t i = 0; i < file.addresses.size(); ++i) {
    const InterfaceAddress& own = file.addresses[i];
    const Location where{interface.file, file.address_lines[i], "Address"};
    if (own.address.is_unspecified() || own.address.is_multicast() || own.address.is_loopback()) {
      draft.error(where, own.to_string() + " cannot be an address of the gateway");
    } else if (interface.addresses.size() == kMaxFileAddresses) {
      draft.error(where, "more than 64 addresses");
      return;
    } else {
      interface.addresses.push_back(own);
      from_file("address", where.line, "Address");
    }
  }
}

void load_file(Draft& draft, WireguardConfig& interface, const Environment& environment) {
  const Location where = draft.where("wireguard." + interface.name + ".file");
  auto text = read_keys(draft, environment, interface.file, where);
  if (!text) return;
  Diagnostics found;
  wireguard::WgQuickFile file =
      wireguard::parse_wg_quick(text->text, interface.file, draft.config.hooks, found);
  wipe_text(text->text);
  if (!has_errors(found)) {
    interface.unresolved =
        wireguard::resolve_endpoints(file, interface.file, environment.resolve, found);
  }
  draft.diagnostics.insert(draft.diagnostics.end(), found.begin(), found.end());
  merge_file(draft, interface, file);
  if (!interface.device.private_key && interface.private_key_file.empty()) {
    draft.warn({interface.file, 0, "PrivateKey"},
               "is missing: no handshake succeeds until wg(8) sets a key");
  }
}

void settle_mtu(Draft& draft, WireguardConfig& interface) {
  const std::string name = "wireguard." + interface.name + ".mtu";
  const uint16_t outside = smallest_outside_mtu(draft.config);
  if (outside == 0) return;  // no such port: reported elsewhere
  const auto fits = static_cast<uint16_t>(outside - kTunnelOverheadBytes);
  if (!draft.taken(name)) {
    interface.mtu = fits;
  } else if (interface.mtu > fits) {
    draft.warn(draft.where(name), "the outside MTU of " + std::to_string(outside) +
                                      " leaves room for " + std::to_string(fits) +
                                      ": larger packets are fragmented or dropped outside");
  }
}

}  // namespace

void load_wireguards(Draft& draft, const Environment& environment) {
  for (WireguardConfig& interface : draft.config.wireguards) {
    const std::string prefix = "wireguard." + interface.name + ".";
    if (!interface.file.empty()) load_file(draft, interface, environment);
    if (!interface.private_key_file.empty()) load_private_key(draft, interface, environment);
    settle_mtu(draft, interface);
    for (size_t i = 0; i < interface.addresses.size(); ++i) {
      draft.own_addresses.push_back({interface.addresses[i], "interface " + interface.name, false,
                                     draft.where(prefix + "address", i)});
    }
  }
}

namespace {

void check_listen_ports(Draft& draft) {
  std::map<uint16_t, std::string> owners;
  for (const WireguardConfig& interface : draft.config.wireguards) {
    const uint16_t port = interface.device.listen_port.value_or(0);
    if (port == 0) continue;
    if (draft.config.ipsec.enabled && (port == 500 || port == 4500)) {
      draft.error(draft.where("wireguard." + interface.name + ".listen_port"),
                  std::to_string(port) + " is IKE's port, and [ipsec] is on");
    }
    const auto [entry, first] = owners.emplace(port, interface.name);
    if (!first) {
      draft.error(draft.where("wireguard." + interface.name + ".listen_port"),
                  std::to_string(port) + " is already the port of interface " + entry->second);
    }
  }
}

void check_private_keys(Draft& draft) {
  for (const WireguardConfig& interface : draft.config.wireguards) {
    for (const WireguardConfig& earlier : draft.config.wireguards) {
      if (&earlier == &interface) break;
      if (!interface.device.private_key || !earlier.device.private_key) continue;
      if (*interface.device.private_key == *earlier.device.private_key) {
        draft.warn(draft.where("wireguard." + interface.name + ".private_key"),
                   "interface " + earlier.name + " has the same private key");
      }
    }
  }
}

// Two interfaces cannot both take the packets for one network.
void check_allowed_ips(Draft& draft) {
  std::map<IpPrefix, std::string> owners;
  for (const WireguardConfig& interface : draft.config.wireguards) {
    if (!interface.routes) continue;
    for (const auto& peer : interface.device.peers) {
      for (const auto& allowed : peer.allowed_ips) {
        const auto [owner, first] = owners.emplace(allowed.prefix, interface.name);
        if (first || owner->second == interface.name) continue;
        draft.error(draft.where("wireguard." + interface.name + ".file"),
                    allowed.prefix.to_string() + " is an allowed IP of interface " + owner->second +
                        " too: one of them needs table = off");
      }
    }
  }
}

}  // namespace

void check_wireguards(Draft& draft) {
  check_listen_ports(draft);
  check_private_keys(draft);
  check_allowed_ips(draft);
  size_t peers = 0;
  for (const WireguardConfig& interface : draft.config.wireguards) {
    peers += interface.device.peers.size();
  }
  if (peers > draft.config.limits.max_tunnels) {
    draft.error(draft.where("limits.max_tunnels"),
                "the files have " + std::to_string(peers) + " peers, more than max_tunnels (" +
                    std::to_string(draft.config.limits.max_tunnels) + ")");
  }
}

}  // namespace penstock::config

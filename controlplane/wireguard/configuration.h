// A WireGuard device's configuration as the tools change and read it (wg(8), the userspace API,
// wg-quick files): plain values, no behaviour.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/clock.h"
#include "gateway/base/net.h"
#include "gateway/base/secret.h"

namespace penstock::wireguard {

using PublicKey = std::array<uint8_t, 32>;  // X25519, as on the wire

struct AllowedIpChange {
  IpPrefix prefix;
  bool remove = false;
};

// One peer of a `set`: fields that are absent stay as they are.
struct PeerChange {
  PublicKey public_key{};
  bool remove = false;
  bool update_only = false;                 // do nothing where the peer does not exist
  std::optional<Secret<32>> preshared_key;  // all zeros: none
  std::optional<Endpoint> endpoint;
  std::optional<uint16_t> persistent_keepalive_s;  // 0: off
  bool replace_allowed_ips = false;
  std::vector<AllowedIpChange>
      allowed_ips;  // in the order given; a prefix moves from its old owner
};

// A whole `set`: parsed and checked first, then applied in order.
struct DeviceChange {
  std::optional<Secret<32>> private_key;  // all zeros: removes it
  std::optional<uint16_t> listen_port;    // 0: choose one
  std::optional<uint32_t> fwmark;         // remembered and shown; the dataplane has no use for it
  bool replace_peers = false;
  std::vector<PeerChange> peers;
};

struct PeerStatus {
  PublicKey public_key{};
  Secret<32> preshared_key;
  std::optional<Endpoint> endpoint;
  uint16_t persistent_keepalive_s = 0;
  std::vector<IpPrefix> allowed_ips;
  Nanoseconds last_handshake_wall_ns = 0;  // since 1970; 0: never
  uint64_t rx_bytes = 0;
  uint64_t tx_bytes = 0;
  // For `penstock tunnels`: why there is no session, or the last thing that went wrong.
  std::string state;       // "up", "handshaking", "idle", "never"
  std::string last_error;  // empty: none
};

// Somebody whose initiations are refused because no peer has its key.
struct StrangerStatus {
  PublicKey public_key{};  // zeros: unknown, as it does not have our public key
  Endpoint endpoint;       // of the last attempt
  uint64_t attempts = 0;
  Nanoseconds last_wall_ns = 0;  // since 1970
};

struct DeviceStatus {
  Secret<32> private_key;
  PublicKey public_key{};  // derived; zeros without a private key
  uint16_t listen_port = 0;
  uint32_t fwmark = 0;
  std::vector<PeerStatus> peers;
  std::vector<StrangerStatus> strangers;  // the latest few
};

}  // namespace penstock::wireguard

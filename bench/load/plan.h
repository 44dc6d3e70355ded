// Who is who: the addresses and keys of the generator's peers, clients and hosts and of the gateway
// under test. All of it follows from few options, so that the generator and the configuration that
// it writes for the gateway agree.
//
//   peers ─── next hop ── outside ══ gateway ══ inside ── next hop ─── hosts
//   (tunnel i: peer address i outside, client address i in the tunnel, talks to a host per flow)
//
// In clear there is no tunnel: the clients themselves are outside, and the peers' addresses theirs.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "bench/load/profile.h"
#include "controlplane/wireguard/configuration.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock::load {

inline constexpr uint32_t kMaxTunnels = 1'000'000;
inline constexpr uint16_t kPeerPort = 51820;  // of every WireGuard peer

struct PlanOptions {
  Protocol protocol = Protocol::kWireguard;
  uint32_t tunnels = 1;
  uint32_t flows = 1;  // in each tunnel and direction
  bool outer_v6 = false, inner_v6 = false;
  // Empty: the default of the family.
  std::optional<InterfaceAddress> outside, inside;
  std::optional<IpAddress> gateway_outside, gateway_inside;
  std::optional<IpPrefix> peers, clients, hosts;
  uint16_t listen_port = 51820;  // of the gateway's WireGuard
  std::string seed = "penstock-load";
  // Of a gateway that has a key of its own. Else it is made of the seed, like all others.
  std::optional<wireguard::PublicKey> gateway_key;
};

struct InnerPorts {
  uint16_t source = 0, destination = 0;
};

class Plan {
 public:
  static Result<Plan> make(const PlanOptions& options);

  [[nodiscard]] Protocol protocol() const { return options_.protocol; }
  [[nodiscard]] uint32_t tunnels() const { return options_.tunnels; }
  [[nodiscard]] uint32_t flows() const { return options_.flows; }
  [[nodiscard]] bool outer_v6() const { return outside_.address.is_v6(); }
  [[nodiscard]] bool inner_v6() const { return inside_.address.is_v6(); }
  [[nodiscard]] const InterfaceAddress& outside() const { return outside_; }
  [[nodiscard]] const InterfaceAddress& inside() const { return inside_; }
  [[nodiscard]] const IpAddress& gateway_outside() const { return gateway_outside_; }
  [[nodiscard]] const IpAddress& gateway_inside() const { return gateway_inside_; }
  [[nodiscard]] const IpPrefix& peers() const { return peers_.prefix; }
  [[nodiscard]] const IpPrefix& clients() const { return clients_.prefix; }
  [[nodiscard]] const IpPrefix& hosts() const { return hosts_.prefix; }
  [[nodiscard]] uint16_t listen_port() const { return options_.listen_port; }

  [[nodiscard]] IpAddress peer(uint32_t tunnel) const { return peers_.at(tunnel); }
  [[nodiscard]] IpAddress client(uint32_t tunnel) const { return clients_.at(tunnel); }
  [[nodiscard]] IpAddress host(uint32_t flow) const { return hosts_.at(flow); }
  // The tunnel whose peer address this is; UINT32_MAX: none.
  [[nodiscard]] uint32_t tunnel_of_peer(const IpAddress& address) const;

  // WireGuard keys. That of the gateway is wrong where it has a key of its own.
  [[nodiscard]] Secret<32> peer_key(uint32_t tunnel) const;
  [[nodiscard]] Secret<32> gateway_private_key() const;
  [[nodiscard]] wireguard::PublicKey gateway_public_key() const;
  // The pre-shared key of IKEv2, for all peers, and who they say they are.
  [[nodiscard]] std::string ike_secret() const;
  [[nodiscard]] static std::string ike_name(uint32_t tunnel);
  static constexpr const char* kGatewayName = "gateway.load.test";

  // --- per packet
  // Source and destination as they lie in an inner header: 8 bytes, or 32 of IPv6.
  void write_inner_addresses(uint32_t tunnel, uint32_t flow, bool down, uint8_t* to) const {
    const size_t bytes = inner_v6() ? 16 : 4;
    clients_.write(tunnel, to + (down ? bytes : 0), bytes);
    hosts_.write(flow, to + (down ? 0 : bytes), bytes);
  }
  // A peer's source and the gateway's address, as they lie in an outer header.
  void write_outer_addresses(uint32_t tunnel, uint8_t* to) const {
    const size_t bytes = outer_v6() ? 16 : 4;
    peers_.write(tunnel, to, bytes);
    std::memcpy(to + bytes, gateway_outside_.bytes().data(), bytes);
  }
  [[nodiscard]] InnerPorts inner_ports(uint32_t flow, bool down) const {
    const auto client = static_cast<uint16_t>(20'000 + flow % 20'000);
    constexpr uint16_t kHost = 7;  // echo; nobody listens
    return down ? InnerPorts{kHost, client} : InnerPorts{client, kHost};
  }
  // The tunnel whose peer, whose client has an address of 4 or 16 bytes; UINT32_MAX: none.
  [[nodiscard]] uint32_t tunnel_of_peer(const uint8_t* address) const {
    const uint32_t tunnel = peers_.number_of(address, outer_v6() ? 16 : 4);
    return tunnel < tunnels() ? tunnel : UINT32_MAX;
  }
  [[nodiscard]] uint32_t tunnel_of_client(const uint8_t* address) const {
    const uint32_t tunnel = clients_.number_of(address, inner_v6() ? 16 : 4);
    return tunnel < tunnels() ? tunnel : UINT32_MAX;
  }

 private:
  // The addresses of a prefix, counted from the one after the network's. Their last four bytes
  // differ.
  struct Pool {
    IpPrefix prefix;
    uint32_t first = 0;  // the last four bytes of address 0
    void set(const IpPrefix& to);
    [[nodiscard]] IpAddress at(uint32_t number) const;
    void write(uint32_t number, uint8_t* to, size_t bytes) const {
      std::memcpy(to, prefix.address.bytes().data(), bytes - 4);
      store_unaligned(to + bytes - 4, Be32(first + number));
    }
    [[nodiscard]] uint32_t number_of(const uint8_t* address, size_t bytes) const {
      if (std::memcmp(address, prefix.address.bytes().data(), bytes - 4) != 0) return UINT32_MAX;
      return load_unaligned<Be32>(address + bytes - 4).get() - first;
    }
  };

  Plan() = default;
  Status choose_addresses();
  Status check_addresses() const;
  [[nodiscard]] Secret<32> derive(std::string_view what, uint32_t number) const;

  PlanOptions options_;
  InterfaceAddress outside_, inside_;
  IpAddress gateway_outside_, gateway_inside_;
  Pool peers_, clients_, hosts_;
};

}  // namespace penstock::load

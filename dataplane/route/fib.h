// The forwarding table: routes, resolved neighbours and the gateway's own addresses in one
// longest-prefix match, and the next hops they lead to.
//
// Threads: the control thread changes it; workers read it under RCU. A worker that caches a next
// hop beyond its turn keeps the version that it read before the look-up, and looks up again when
// the version has moved.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/api/route.h"
#include "dataplane/route/prefix_trie.h"
#include "gateway/base/result.h"

namespace penstock {

inline constexpr size_t kMaxPorts = 16;
inline constexpr size_t kMaxInterfaces = 64;
inline constexpr uint32_t kNoNextHop = 0;

// What a worker needs to send a packet on: one line.
struct alignas(64) NextHopEntry {
  // From kConnected on: leads on to somewhere else.
  enum class Kind : uint8_t {
    kNone,
    kBlackhole,
    kBroadcast,  // of a connected IPv4 network
    kLocal,
    kConnected,
    kGateway,
    kNeighbour,  // a resolved neighbour on-link
    kTunnel,
  };
  // The first eight bytes of the Ethernet header: destination and the begin of our source address.
  // 0: not resolved.
  std::atomic<uint64_t> ethernet_start{0};
  uint32_t ethernet_source_rest = 0;  // the other four bytes of our source address
  Kind kind = Kind::kNone;
  uint16_t port = 0;
  uint16_t interface = 0;
  std::atomic<uint16_t> mtu{0};  // of the port or tunnel interface
  IpAddress gateway;

  // Leads out of a port, resolved or not.
  [[nodiscard]] bool is_port() const { return kind >= Kind::kConnected && kind != Kind::kTunnel; }
  [[nodiscard]] bool leads_on() const { return kind >= Kind::kConnected; }
};
static_assert(sizeof(NextHopEntry) == 64);

// The address that a port or interface speaks from, for ICMP errors and tunnels without a fixed
// one. Zero: none.
struct OwnAddress {
  std::atomic<uint32_t> v4{0};       // network order
  std::atomic<uint64_t> v6[2] = {};  // network order
};

struct FibPort {
  MacAddress mac;
  uint16_t mtu = 1500;
};

class Fib {
 public:
  static Result<std::unique_ptr<Fib>> create(std::vector<FibPort> ports, size_t capacity_bytes,
                                             TrieDefer defer);

  // --- workers ----------------------------------------------------------------------------------
  [[nodiscard]] uint32_t lookup_v4(const uint8_t* address) const {
    return read_v4_.lookup(address);
  }
  [[nodiscard]] uint32_t lookup_v6(const uint8_t* address) const {
    return read_v6_.lookup(address);
  }
  // Never fails: kNoNextHop is an entry of kind kNone.
  [[nodiscard]] const NextHopEntry& next_hop(uint32_t index) const { return next_hops_[index]; }
  [[nodiscard]] uint32_t version() const { return version_.load(std::memory_order_acquire); }
  [[nodiscard]] const OwnAddress& port_address(uint16_t port) const {
    return port_addresses_[port];
  }
  [[nodiscard]] const OwnAddress& interface_address(uint16_t interface) const {
    return interface_addresses_[interface];
  }

  // --- control thread ---------------------------------------------------------------------------
  Status set_route(const IpPrefix& prefix, const NextHop& next_hop);
  void remove_route(const IpPrefix& prefix);
  [[nodiscard]] std::vector<RouteInfo> routes() const;
  [[nodiscard]] bool has_route(const IpPrefix& prefix) const { return routes_.contains(prefix); }
  [[nodiscard]] size_t route_count(Family family) const {
    return family == Family::kIpv4 ? ipv4_routes_ : routes_.size() - ipv4_routes_;
  }
  Status set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac);
  void remove_neighbour(PortId port, const IpAddress& address);
  void set_interface_mtu(InterfaceId interface, uint16_t mtu);
  [[nodiscard]] const NextHopEntry& find(const IpAddress& destination) const {
    return next_hops_[trie_->lookup(destination)];
  }

 private:
  struct NextHopOrder {
    bool operator()(const NextHop& a, const NextHop& b) const;
  };
  struct SharedNextHop {
    uint32_t index = kNoNextHop;
    uint32_t users = 0;
  };
  using Route = std::pair<const IpPrefix, NextHop>;
  using NeighbourKey = std::pair<PortId, IpAddress>;
  struct Neighbour {
    MacAddress mac;
    uint32_t index = kNoNextHop;
  };

  Fib() = default;
  Result<uint32_t> allocate();
  void release(uint32_t index);
  Result<uint32_t> acquire_next_hop(const NextHop& next_hop);
  void drop_next_hop(const NextHop& next_hop);
  void resolve(uint32_t index, PortId port, const MacAddress& mac);
  [[nodiscard]] const Route* covering_route(const IpAddress& address) const;
  Status sync_host(const IpAddress& address);
  [[nodiscard]] uint32_t implied_host_value(const IpAddress& address) const;
  void forget_kind(const IpPrefix& prefix, const NextHop& next_hop);
  void sync_network(const IpPrefix& network);
  void refresh_own_addresses();
  void changed() { version_.fetch_add(1, std::memory_order_release); }

  TrieReader<4> read_v4_;
  TrieReader<16> read_v6_;
  std::unique_ptr<IpPrefixTrie> trie_;
  std::unique_ptr<NextHopEntry[]> next_hops_;
  std::atomic<uint32_t> version_{1};
  OwnAddress port_addresses_[kMaxPorts];
  OwnAddress interface_addresses_[kMaxInterfaces];

  TrieDefer defer_;
  std::vector<FibPort> ports_;
  std::vector<uint32_t> free_next_hops_;
  std::map<IpPrefix, NextHop> routes_;
  size_t ipv4_routes_ = 0;
  std::map<IpPrefix, PortId> connected_;  // of routes_: those of kind kConnected
  std::map<IpPrefix, NextHop> locals_;    // of routes_: those of kind kLocal
  std::map<NextHop, SharedNextHop, NextHopOrder> shared_;
  std::map<NeighbourKey, Neighbour> neighbours_;
  uint32_t broadcast_index_ = kNoNextHop;
  uint16_t interface_mtu_[kMaxInterfaces] = {};
};

}  // namespace penstock

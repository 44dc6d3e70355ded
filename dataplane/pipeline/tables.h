// What all workers read and the control thread publishes.
#pragma once

#include <rte_ring.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/api/route.h"
#include "dataplane/pipeline/lending_board.h"
#include "dataplane/policy/policy_table.h"
#include "dataplane/route/fib.h"
#include "dataplane/route/prefix_trie.h"
#include "dataplane/sa/tunnel_tables.h"

namespace penstock {

// Fixed at start, but for the link.
struct PortRuntime {
  PortRole role = PortRole::kInside;
  SourceCheck source_check = SourceCheck::kLoose;
  bool plain_forward = true;           // clear packets may pass to and from here
  bool transmit_udp_checksum = false;  // the port fills in UDP checksums over IPv6
  uint16_t mtu = 1500;
  uint64_t mac48 = 0;  // as the first six bytes of a frame read, little-endian
  std::atomic<bool> link_up{true};
};

struct InterfaceRuntime {
  std::atomic<IpPrefixTrie*> allowed_ips{nullptr};  // values: tunnel + 1. nullptr: not WireGuard's
  std::atomic<const PolicyTable*> policies{nullptr};  // of an ESP interface
  std::atomic<TunnelProtocol> protocol{TunnelProtocol::kWireguard};
  std::atomic<uint16_t> mtu{1420};
  std::atomic<uint8_t> traffic_class_mask{0};  // kTrafficClassEcnOnly or kTrafficClassAll
};

// Punts are kept apart by who might flood them, so that handshakes cannot push out ARP.
// kIkeInitial: what needs no SA of IKE, and unknown SPIs.
enum class PuntClass : uint8_t { kHandshake, kNeighbour, kWaiting, kIke, kIkeInitial, kCount };
inline constexpr size_t kPuntClasses = static_cast<size_t>(PuntClass::kCount);

struct WorkerRings {
  std::array<rte_ring*, kPuntClasses> punt{};  // worker → control, one producer, one consumer
  rte_ring* inject = nullptr;                  // control → worker
  rte_ring* hand_over = nullptr;               // workers → worker, many producers
};

inline constexpr uint8_t kListenerIke = 254;           // UDP/500
inline constexpr uint8_t kListenerNatTraversal = 255;  // UDP/4500
static_assert(kPolicyInterface.value == kMaxInterfaces && kMaxInterfaces + 1 < kListenerIke);

struct SharedTables {
  SharedTables() {
    InterfaceRuntime& runtime = interfaces[kPolicyInterface.value];
    runtime.protocol.store(TunnelProtocol::kEsp, std::memory_order_relaxed);
    runtime.mtu.store(0, std::memory_order_relaxed);  // that of each tunnel's path
  }

  std::unique_ptr<TunnelTables> tunnels;
  std::unique_ptr<Fib> fib;
  std::array<PortRuntime, kMaxPorts> ports;
  uint16_t port_count = 0;
  // The last one is kPolicyInterface.
  std::array<InterfaceRuntime, kMaxInterfaces + 1> interfaces;
  // By UDP destination port as it lies in the packet: interface + 1, kListenerIke,
  // kListenerNatTraversal, or 0.
  std::array<std::atomic<uint8_t>, 65536> listeners{};
  std::atomic<bool> accept_esp{false};  // as IP protocol
  std::array<WorkerRings, 64> rings;
  uint16_t worker_count = 1;
  std::unique_ptr<LendingBoard> lending;  // nullptr: no worker ciphers for another
};

}  // namespace penstock
